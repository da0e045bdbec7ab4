"""Tonal centroid of the chromagram."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import ClassVar

import numpy as np

from ser_ray.features.chroma import Chroma
from ser_ray.features.feature import Array, Batch


@dataclass(frozen=True, kw_only=True)
class Tonnetz(Chroma):
    """Tonal centroid [frames, 6] after Harte, Sandler and Gasser (2006), 128 ms frames every 10 ms.

    Where the pitch classes lie on the circles of fifths, minor and major thirds, from the `chroma` of the
    same parameters, with which it is shared; a silent frame is all zeros. The values are those of
    `librosa.feature.tonnetz(chroma=...)` of that chromagram; librosa's own default takes a constant-Q one.
    """

    name: ClassVar[str] = "tonnetz"

    @property
    def names(self) -> tuple[str, ...]:
        return ("fifth_x", "fifth_y", "minor_x", "minor_y", "major_x", "major_y")

    def _compute(self, batch: Batch) -> list[Array]:
        chroma = Chroma(**{field.name: getattr(self, field.name) for field in fields(Chroma)})
        return [_centroid(energies) for energies in batch.values(chroma)]


def _centroid(chroma: Array) -> Array:
    total = np.maximum(
        chroma.sum(axis=1, keepdims=True), np.float32(1.0)
    )  # a frame's largest is 1, or all are 0
    return np.asarray(chroma / total @ _circles(chroma.shape[1]))


@lru_cache(maxsize=1)
def _circles(classes: int) -> Array:
    """Place of each pitch class on the circles [classes, 6]; that of major thirds has half the radius."""
    sides = []
    for turn, radius in ((7 / 6, 1.0), (3 / 2, 1.0), (2 / 3, 0.5)):
        angle = np.pi * turn * np.arange(classes)
        sides += [radius * np.sin(angle), radius * np.cos(angle)]
    return np.stack(sides, axis=1).astype(np.float32)
