"""Fusion of members: rules, stacking, the ensemble."""

from ser_ray.fusion.ensemble import Ensemble, Fusion, fit_fusion, load_ensemble, save_ensemble
from ser_ray.fusion.rules import RULES, STACKING, check_rule

__all__ = [
    "RULES",
    "STACKING",
    "Ensemble",
    "Fusion",
    "check_rule",
    "fit_fusion",
    "load_ensemble",
    "save_ensemble",
]
