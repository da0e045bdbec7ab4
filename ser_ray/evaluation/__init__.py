"""Figures of recognition, with intervals."""

from ser_ray.evaluation.metrics import (
    Interval,
    Report,
    average_precision,
    compare,
    measure,
    unweighted_accuracy,
)

__all__ = ["Interval", "Report", "average_precision", "compare", "measure", "unweighted_accuracy"]
