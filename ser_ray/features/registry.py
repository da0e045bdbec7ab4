"""Features by name: `mfcc`, or with overrides `mfcc(n=50,rate=44100)`."""

from __future__ import annotations

from ser_ray.features.feature import Band, Feature
from ser_ray.features.logmel import LogMel
from ser_ray.features.mfcc import Mfcc
from ser_ray.features.mfcc_stats import MfccStats
from ser_ray.parameters import build

FEATURES: dict[str, type[Feature]] = {
    "logmel": LogMel,
    "mfcc": Mfcc,
    "mfcc_stats": MfccStats,
}


def get(spec: str) -> Feature:
    """Build the feature that a specification names.

    Args:
        spec: A name, or a name with overrides: `mfcc(n=50,rate=44100)`.

    Returns:
        The feature; its `spec` is the canonical form of the text.

    Raises:
        UnknownName: No feature has that name.
        UsageError: The text is malformed, or a parameter is unknown, of the wrong type or out of range.

    Examples:
        >>> get("mfcc(n=50, rate=44100)").spec
        'mfcc(rate=44100,n=50)'
    """
    return build(spec, Feature.kind, FEATURES)


def with_band(feature: str | Feature, band: Band) -> Feature:
    """The variant of a feature, or of the one a specification names, for `wide` or `telephone` audio."""
    return (get(feature) if isinstance(feature, str) else feature).with_band(band)
