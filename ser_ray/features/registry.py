"""Features by name: `mfcc`, or with overrides `mfcc(n=50,rate=44100)`."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, get_type_hints

from ser_ray import errors
from ser_ray.features.feature import Band, Feature
from ser_ray.features.logmel import LogMel
from ser_ray.features.mfcc import Mfcc
from ser_ray.features.mfcc_stats import MfccStats

FEATURES: dict[str, type[Feature]] = {
    "logmel": LogMel,
    "mfcc": Mfcc,
    "mfcc_stats": MfccStats,
}

_SPEC = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")


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
    match = _SPEC.fullmatch(spec)
    if not match:
        raise errors.UsageError(f"feature {spec!r} is not of the form name or name(key=value,key=value).")
    name, overrides = match.groups()
    if name not in FEATURES:
        raise errors.UnknownName("feature", name, FEATURES)
    return FEATURES[name](**_overrides(FEATURES[name], overrides or ""))


def with_band(feature: str | Feature, band: Band) -> Feature:
    """The variant of a feature, or of the one a specification names, for `wide` or `telephone` audio."""
    return (get(feature) if isinstance(feature, str) else feature).with_band(band)


def _overrides(kind: type[Feature], text: str) -> dict[str, Any]:
    """The keyword arguments of `key=value,key=value`."""
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    values: dict[str, Any] = {}
    for item in text.split(",") if text.strip() else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            raise errors.UsageError(f"feature {kind.name}: {item.strip()!r} is not of the form key=value.")
        if key not in known:
            raise errors.UsageError(f"feature {kind.name} has no parameter {key!r}, only {', '.join(known)}.")
        if key in values:
            raise errors.UsageError(f"feature {kind.name}: {key} is given twice.")
        values[key] = _parsed(kind, key, hints[key], value)
    return values


def _parsed(kind: type[Feature], key: str, hint: Any, text: str) -> Any:
    """`text` in the type of the parameter, without evaluating anything."""
    if hint is bool:
        if text in ("true", "false"):
            return text == "true"
    elif hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            pass
    else:
        return text
    wanted = "true or false" if hint is bool else hint.__name__
    raise errors.UsageError(f"feature {kind.name}: {key}={text} will not do, it must be {wanted}.")
