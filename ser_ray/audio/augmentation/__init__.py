"""Augmentation: changed copies of training waves, named and parameterised like features."""

from ser_ray.audio.augmentation.augmentation import Augmentation
from ser_ray.audio.augmentation.chain import augment, chain, describe, parse
from ser_ray.audio.augmentation.registry import AUGMENTATIONS, get

__all__ = ["AUGMENTATIONS", "Augmentation", "augment", "chain", "describe", "get", "parse"]
