"""Shape of the spectrum of frames: where its energy lies, how it falls, how it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.features.feature import Array, Batch
from ser_ray.features.spectrum import BandedFeature, decibel

ROLLOFFS = (0.25, 0.50, 0.75, 0.85, 0.95)
NAMES = (
    "centroid",
    "bandwidth",
    *(f"rolloff{100 * share:.0f}" for share in ROLLOFFS),
    "flatness",
    "slope",
    "flux",
)


@dataclass(frozen=True, kw_only=True)
class SpectralShape(BandedFeature):
    """Shape of the magnitude spectrum from fmin to fmax [frames, 10], 25 ms frames every 10 ms.

    - centroid and bandwidth: mean and standard deviation of frequency, weighted by magnitude, Hz;
    - roll-offs: frequency below which 25, 50, 75, 85 and 95 % of the magnitude lie, Hz;
    - flatness: geometric over arithmetic mean of the power, 0 for a tone to 1 for silence;
    - slope: of the line fitted to the levels over frequency, dB / kHz;
    - flux: distance from the spectrum of the frame before, both of unit length (Tzanetakis and Cook, 2002),
      0 for the same shape and at most sqrt(2); 0 in the first frame.

    With `window`, `hop` and `n_fft` set alike and the whole band, centroid, bandwidth, roll-off and flatness
    are those of `librosa.feature.spectral_*`. Gain changes nothing, as long as bins stay above -100 dB.
    """

    name: ClassVar[str] = "spectral_shape"

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, len(NAMES))

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES

    def _compute(self, batch: Batch) -> list[Array]:
        bins = self.bins
        hz = self.hz[bins].astype(np.float32)
        last = np.zeros((1, len(hz)), dtype=np.float32)  # the spectrum before the block

        def describe(power: Array) -> Array:
            nonlocal last
            used = np.ascontiguousarray(power[:, bins])
            magnitude = np.sqrt(used)
            columns = [*_distribution(magnitude, hz), *_tilt(used, hz), _flux(magnitude, last)]
            last = magnitude[-1:]
            return np.stack(columns, axis=1)

        shapes = self._power(batch).map(describe)
        for shape in shapes:
            shape[0, NAMES.index("flux")] = 0.0  # the frame before was another wave's
        return shapes


def _distribution(magnitude: Array, hz: Array) -> list[Array]:
    """Centroid, bandwidth and roll-offs; 0 Hz, or the lowest bin, in silence."""
    below = np.cumsum(magnitude, axis=1)
    whole = below[:, -1:]
    share = magnitude / np.maximum(whole, np.finfo(np.float32).tiny)
    centroid = (share * hz).sum(axis=1)
    bandwidth = np.sqrt((share * np.square(hz - centroid[:, None])).sum(axis=1))
    rolloffs = [hz[(below >= np.float32(part) * whole).argmax(axis=1)] for part in ROLLOFFS]
    return [centroid, bandwidth, *rolloffs]


def _tilt(power: Array, hz: Array) -> list[Array]:
    """Flatness, and slope in dB / kHz."""
    levels = decibel(power)
    mean = np.maximum(power, np.float32(1e-10)).mean(axis=1)
    flatness = 10 ** (levels.mean(axis=1) / 10) / mean
    khz = (hz - hz.mean()) / np.float32(1000)
    slope = (levels * (khz / np.square(khz).sum())).sum(axis=1)
    return [np.minimum(flatness, 1), slope]


def _flux(magnitude: Array, last: Array) -> Array:
    """Distance of each spectrum from the one before; `last` [1, bins] is that before the first."""
    every = np.concatenate([last, magnitude])
    length = np.sqrt(np.square(every).sum(axis=1, keepdims=True))
    unit = every / np.maximum(length, np.finfo(np.float32).tiny)
    return np.asarray(np.sqrt(np.square(np.diff(unit, axis=0)).sum(axis=1)))
