"""Families of models: trained, calibrated, saved and loaded in one way."""

from ser_ray.models.model import Model, OutOfFold, check_source, load_model, save_model
from ser_ray.models.registry import CLASSICAL, FAMILIES, family

__all__ = [
    "CLASSICAL",
    "FAMILIES",
    "Model",
    "OutOfFold",
    "check_source",
    "family",
    "load_model",
    "save_model",
]
