"""Search spaces as plain data: what a family declares, and what a user makes of it.

A dimension is `{"type": "log" | "float" | "int", "low": ..., "high": ...}` or
`{"type": "choice", "choices": [...]}`. A user fixes one (`C: 10`), lists its values (`[4, 8]`), narrows it
(`{low: 1}`) or gives another; names beginning with `feature.` are parameters of the feature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from ser_ray.errors import UsageError
from ser_ray.models.family import Tunable

FEATURE = "feature."  # what the names of a feature's parameters begin with
RANGES = ("log", "float", "int")
Dimension = Mapping[str, Any]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Space:
    """What is searched, and what is fixed in place of a default.

    Attributes:
        searched: dimension of each name.
        fixed: value of each name.
    """

    searched: Mapping[str, Dimension]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def grid(self, points: int) -> Iterator[Settings]:
        """All combinations: every choice, and so many values of each range, its ends among them."""
        values = [_values(dimension, points) for dimension in self.searched.values()]
        for combination in product(*values):
            yield dict(zip(self.searched, combination, strict=True))

    def holds(self, settings: Settings) -> bool:
        """Whether these settings, all that are searched and no other, lie within the space."""
        return settings.keys() == self.searched.keys() and all(
            value in d["choices"] if d["type"] == "choice" else d["low"] <= value <= d["high"]
            for value, d in ((settings[name], d) for name, d in self.searched.items())
        )

    def grid_size(self, points: int) -> int:
        """How many combinations `grid` has."""
        return math.prod(len(_values(dimension, points)) for dimension in self.searched.values())


def space_of(tunable: Tunable, given: Mapping[str, Any]) -> Space:
    """The space of a family, or of a fusion, as a user wants it.

    Args:
        tunable: whose space it is.
        given: name -> a value that fixes it, a list of values, or a dimension, of which what is left out is
            its own.

    Raises:
        UsageError: a name that is no setting, nothing left to search, or no such dimension.
    """
    searched: dict[str, Dimension] = dict(tunable.space)
    fixed: Settings = {}
    for name, wanted in given.items():
        if not name.startswith(FEATURE) and name not in tunable.defaults:
            raise UsageError(
                f"{tunable.name} has no setting {name!r}. It has: {', '.join(tunable.defaults)}; "
                f"parameters of a feature begin with {FEATURE!r}."
            )
        own = searched.pop(name, {})
        if isinstance(wanted, list):
            searched[name] = {"type": "choice", "choices": wanted}
        elif isinstance(wanted, Mapping):
            searched[name] = {**own, **wanted}
        else:
            fixed[name] = wanted
    for name, dimension in searched.items():
        _check(name, dimension)
    if not searched:
        raise UsageError("nothing is left to search: every setting is fixed. Leave one open.")
    own_fixed = {name: value for name, value in fixed.items() if not name.startswith(FEATURE)}
    typed = tunable.settings(own_fixed)
    return Space(searched, {name: typed.get(name, value) for name, value in fixed.items()})


def _check(name: str, dimension: Dimension) -> None:
    kind = dimension.get("type")
    if kind == "choice":
        if not isinstance(dimension.get("choices"), list) or not dimension["choices"]:
            raise UsageError(f"{name} has no choices. List at least one value.")
        return
    if kind not in RANGES or name.startswith(FEATURE):
        raise UsageError(
            f"{name} needs a list of values."
            if name.startswith(FEATURE)
            else f"{name} is of type {kind!r}, which is none of {', '.join((*RANGES, 'choice'))}."
        )
    low, high = dimension.get("low"), dimension.get("high")
    numbers = [end for end in (low, high) if isinstance(end, int | float) and math.isfinite(end)]
    if len(numbers) < 2 or numbers[0] >= numbers[1]:
        raise UsageError(f"{name} is no range from {low} to {high}. Give low below high.")
    if kind == "log" and numbers[0] <= 0:
        raise UsageError(f"{name} cannot be searched on a logarithmic scale from {low}. Give low above 0.")


def _values(dimension: Dimension, points: int) -> list[Any]:
    kind = dimension["type"]
    if kind == "choice":
        return list(dimension["choices"])
    ends = float(dimension["low"]), float(dimension["high"])
    spaced = np.geomspace(*ends, points) if kind == "log" else np.linspace(*ends, points)
    spaced = spaced.clip(*ends)  # rounding may lead beyond them
    return list(dict.fromkeys(round(value) if kind == "int" else float(value) for value in spaced))
