"""Pooled statistics of frame descriptors: one vector for one utterance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.features.feature import Array, parameter
from ser_ray.features.mfcc import cosines, delta
from ser_ray.features.spectrum import (
    SpectralFeature,
    decibel,
    limit_range,
    power_spectra,
    split,
    whole_frames,
)

_STATISTICS = ("mean", "std", "p10", "p50", "p90", "d_std", "d_abs")


@dataclass(frozen=True, kw_only=True)
class MfccStats(SpectralFeature):
    """Statistics over time of MFCC and their deltas [columns].

    Attributes:
        n: Number of coefficients.
        n_mels: Number of mel bands below them.
    """

    name: ClassVar[str] = "mfcc_stats"

    n: int = parameter(40, low=1, high=512)
    n_mels: int = parameter(64, low=1, high=512)

    def _check(self) -> None:
        super()._check()
        self._filters(self.n_mels)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (len(self.names),)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"mfcc{k}_{statistic}" for statistic in _STATISTICS for k in range(self.n))

    def _compute(self, waves: list[Array]) -> list[Array]:
        frames, counts = whole_frames(waves, self)
        filters = self._filters(self.n_mels)
        levels = decibel(
            np.concatenate([power @ filters for power in power_spectra(frames, self)])[: len(frames)]
        )
        matrix = cosines(self.n_mels, self.n)
        return [_pooled(limit_range(part, 80.0) @ matrix) for part in split(levels, counts)]


def _pooled(columns: Array) -> Array:
    slopes = delta(columns)
    percentiles = np.percentile(columns, (10, 50, 90), axis=0).astype(np.float32)
    return np.concatenate(
        [
            columns.mean(axis=0),
            columns.std(axis=0),
            *percentiles,
            slopes.std(axis=0),
            abs(slopes).mean(axis=0),
        ]
    )
