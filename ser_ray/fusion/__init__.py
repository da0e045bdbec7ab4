"""Fusion of members: rules, stacking, the ensemble."""

from ser_ray.fusion.ensemble import Ensemble, load_ensemble, save_ensemble
from ser_ray.fusion.fusion import Fusion, fit_fusion, out_of_fold
from ser_ray.fusion.rules import RULES, STACKING, check_rule

__all__ = [
    "RULES",
    "STACKING",
    "Ensemble",
    "Fusion",
    "check_rule",
    "fit_fusion",
    "load_ensemble",
    "out_of_fold",
    "save_ensemble",
]
