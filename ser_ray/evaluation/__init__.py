"""Figures of recognition, with intervals."""

from ser_ray.evaluation.metrics import (
    Interval,
    Report,
    average_precision,
    compare,
    measure,
    unweighted_accuracy,
)
from ser_ray.evaluation.selective import Selection, cross_selected, select, selection_for, selections

__all__ = [
    "Interval",
    "Report",
    "Selection",
    "average_precision",
    "compare",
    "cross_selected",
    "measure",
    "select",
    "selection_for",
    "selections",
    "unweighted_accuracy",
]
