"""Figures of recognition, with intervals."""

from ser_ray.evaluation.metrics import Interval, Report, measure

__all__ = ["Interval", "Report", "measure"]
