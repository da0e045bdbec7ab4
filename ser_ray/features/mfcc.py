"""Mel-frequency cepstral coefficients, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from ser_ray.features.feature import Array, Batch
from ser_ray.features.mel import MelFeature
from ser_ray.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class Mfcc(MelFeature):
    """MFCC [frames, n * (deltas + 1)] after Davis and Mermelstein (1980), 25 ms frames every 10 ms.

    With `window`, `hop` and `n_mels` set alike, the values are those of `librosa.feature.mfcc`
    (`center=True`, orthonormal DCT-II of mel levels in dB).

    Attributes:
        n: Number of coefficients, the zeroth included.
        n_mels: Number of mel bands below them.
        deltas: 0, 1 or 2 orders of regression over two frames to either side (HTK).
        lifter: Cepstral liftering constant; 0 for none.
        top_db: Levels further below the maximum of the wave are raised to it, in dB; 0 for no limit.
        cmvn: Whether each column is brought to zero mean and unit variance over the wave.
    """

    name: ClassVar[str] = "mfcc"

    n: int = parameter(40, low=1, high=512)
    n_mels: int = parameter(80, low=1, high=512)
    deltas: int = parameter(0, low=0, high=2)
    lifter: int = parameter(0, low=0, high=512)
    top_db: float = parameter(80.0, low=0.0, high=200.0)
    cmvn: bool = parameter(False)

    def _check(self) -> None:
        super()._check()
        if self.n > self.n_mels:
            raise self._refusal("n", self.n, f"there are n_mels={self.n_mels} bands")
        self.filters(self.n_mels)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, self.n * (self.deltas + 1))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(
            f"{order}mfcc{k}" for order in ("", "d_", "dd_")[: self.deltas + 1] for k in range(self.n)
        )

    def _compute(self, batch: Batch) -> list[Array]:
        matrix = cosines(self.n_mels, self.n, self.lifter)
        return [self._finish(levels @ matrix) for levels in self._log_mel(batch, self.n_mels, self.top_db)]

    def _finish(self, cepstrum: Array) -> Array:
        """Deltas beside the coefficients, then the normalisation."""
        orders = [cepstrum]
        for _ in range(self.deltas):
            orders.append(delta(orders[-1]))
        columns = np.concatenate(orders, axis=1)
        if not self.cmvn:
            return columns
        deviation = columns.std(axis=0)
        scale = np.where(deviation > 1e-6, deviation, np.float32(1.0))
        return np.asarray((columns - columns.mean(axis=0)) / scale)


def delta(columns: Array, reach: int = 2) -> Array:
    """Slope of each column of [frames, columns] by regression over `reach` frames to either side.

    Ends are repeated, as in HTK and `torchaudio.functional.compute_deltas`.
    """
    frames = len(columns)
    padded = columns.take(np.arange(-reach, frames + reach), axis=0, mode="clip")

    slope = np.zeros_like(columns)
    for step in range(1, reach + 1):
        ahead, behind = padded[reach + step :][:frames], padded[reach - step :][:frames]
        slope += np.float32(step) * (ahead - behind)
    return slope / np.float32(2 * sum(step * step for step in range(1, reach + 1)))


@lru_cache(maxsize=32)
def cosines(bands: int, coefficients: int, lifter: int = 0) -> Array:
    """Orthonormal DCT-II as a matrix [bands, coefficients], liftered if asked for."""
    angles = np.pi * np.outer(np.arange(bands) + 0.5, np.arange(coefficients)) / bands
    matrix = np.cos(angles) * np.sqrt(2.0 / bands)
    matrix[:, 0] /= np.sqrt(2.0)
    if lifter:
        matrix *= 1.0 + lifter / 2.0 * np.sin(np.pi * np.arange(1, coefficients + 1) / lifter)
    return np.asarray(matrix, dtype=np.float32)
