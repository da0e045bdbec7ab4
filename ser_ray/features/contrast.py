"""Spectral contrast: how far the peaks of each octave rise above its valleys."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np

from ser_ray.features.feature import Array, Batch
from ser_ray.features.spectrum import LONG_WINDOW_S, BandedFeature, decibel, limit_range
from ser_ray.parameters import parameter

FIRST_HZ = 200.0
MOST_OCTAVES = 6


class SubBand(NamedTuple):
    """Bins of one sub-band, and how many of them stand for its peaks, and for its valleys."""

    first: int
    last: int
    extremes: int


@dataclass(frozen=True, kw_only=True)
class Contrast(BandedFeature):
    """Spectral contrast [frames, bands + 1] after Jiang et al. (2002), 128 ms frames every 10 ms.

    In each sub-band, the mean of the largest magnitudes over that of the smallest, each as 10 log10 (so a
    level difference counts half). The first sub-band reaches from `fmin` to `first`, each further one over
    an octave, the last up to `fmax`. With `window`, `hop` and `n_fft` set alike, and a lower edge of 0 Hz,
    the values are those of `librosa.feature.spectral_contrast(fmin=first, n_bands=bands)`. On the telephone
    the sub-bands are 300-600, 600-1200, 1200-2400 and 2400-3400 Hz: beyond, there is nothing but the line.

    Attributes:
        window: Samples in a frame; 128 ms unless given.
        first: Upper edge of the first sub-band in Hz; 200, but at least an octave above `fmin`,
            unless given.
        bands: Number of sub-bands above the first; as many octaves as begin below `fmax`, at most six,
            unless given.
        quantile: Share of a sub-band's bins that its peaks, and its valleys, are averaged over.
        top_db: Peaks, and valleys, further below their maximum of the wave are raised to it, in dB; 0 for
            no limit.
    """

    name: ClassVar[str] = "contrast"

    window: int = parameter(own=lambda f: round(LONG_WINDOW_S * f.rate), low=16, high=65536, samples=True)
    first: float = parameter(own=lambda f: max(FIRST_HZ, 2 * f.fmin), low=1.0)
    bands: int = parameter(own=lambda f: _octaves(f.first, f.fmax), low=1, high=16)
    quantile: float = parameter(0.02, low=0.0, high=0.5)
    top_db: float = parameter(80.0, low=0.0, high=200.0)

    def _check(self) -> None:
        super()._check()
        if not self.fmin < self.first < self.fmax:
            raise self._refusal(
                "first", self.first, f"it must lie between {self.fmin:g} and {self.fmax:g} Hz"
            )
        if self.first * 2 ** (self.bands - 1) >= self.fmax:
            raise self._refusal("bands", self.bands, f"the last octave would begin above {self.fmax:g} Hz")
        if any(band.first >= band.last for band in self.sub_bands):
            raise self._refusal("n_fft", self.n_fft, "a sub-band would hold no bin; ask for a larger one")

    @property
    def sub_bands(self) -> list[SubBand]:
        """Bins of each sub-band, the lowest first."""
        hz = self.hz
        edges = [self.fmin, *(self.first * 2**k for k in range(self.bands)), self.fmax]
        bands = []
        for low, high in pairwise(edges):
            inside = np.flatnonzero((hz >= low) & (hz <= high))
            # As in librosa: with the bin below the edge, and the bin at the upper edge counted but not used.
            first = int(inside[0]) - (low > self.fmin) if len(inside) else 0
            count = int(inside[-1]) + 1 - first if len(inside) else 0
            extremes = max(round(self.quantile * count), 1)
            bands.append(SubBand(first, first + count - (high < self.fmax), extremes))
        return bands

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, self.bands + 1)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"contrast{k}" for k in range(self.bands + 1))

    def _compute(self, batch: Batch) -> list[Array]:
        bands = self.sub_bands
        extremes = self._power(batch).map(lambda power: _extremes(power, bands))
        return [self._contrast(decibel(part)) for part in extremes]

    def _contrast(self, levels: Array) -> Array:
        peaks, valleys = levels[:, : self.bands + 1], levels[:, self.bands + 1 :]
        return limit_range(peaks, self.top_db) - limit_range(valleys, self.top_db)


def _extremes(power: Array, bands: list[SubBand]) -> Array:
    """Mean magnitude of the peaks of each sub-band, then of the valleys [frames, 2 * sub-bands]."""
    peaks, valleys = [], []
    for band in bands:
        # Power sorts as magnitude does, so that only the extremes need a square root.
        ordered = np.sort(power[:, band.first : band.last], axis=1)
        peaks.append(np.sqrt(ordered[:, -band.extremes :]).mean(axis=1))
        valleys.append(np.sqrt(ordered[:, : band.extremes]).mean(axis=1))
    return np.stack(peaks + valleys, axis=1)


def _octaves(first: float, limit: float) -> int:
    """How many octaves begin at `first` or above it and below `limit`: one to six."""
    fitting = [k for k in range(MOST_OCTAVES) if first * 2**k < limit]
    return max(1, len(fitting))
