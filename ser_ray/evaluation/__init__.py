"""Figures of recognition, with intervals."""

from ser_ray.evaluation.metrics import Interval, Report, measure, ua

__all__ = ["Interval", "Report", "measure", "ua"]
