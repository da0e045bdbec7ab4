"""Features: from one mono wave to one array, by name and parameters."""

from ser_ray.features.feature import Band, Feature, together
from ser_ray.features.registry import FEATURES, get, with_band

__all__ = ["FEATURES", "Band", "Feature", "get", "together", "with_band"]
