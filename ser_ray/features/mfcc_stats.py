"""Pooled statistics of the frame descriptors: one vector for one utterance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.features import statistics
from ser_ray.features.descriptors import SHAPE, Descriptors, describe
from ser_ray.features.feature import Array, Batch
from ser_ray.features.mel import MelFeature
from ser_ray.features.pitch import LOWEST_HZ
from ser_ray.features.spectrum import power_of_two
from ser_ray.parameters import parameter

HIGHEST_FMIN, LOWEST_FMAX = 1000.0, 3000.0  # Hz
LONGEST_HOP_S = 0.011  # with room for the rounding of 10 ms to samples


@dataclass(frozen=True, kw_only=True)
class MfccStats(MelFeature):
    """Statistics [columns] of MFCC, spectral shape, pitch, rhythm and modulation over an utterance.

    Descriptors come from 40 ms frames; their statistics are taken apart over active, voiced and
    unvoiced frames, in the manner of eGeMAPS (Eyben et al., 2016), with the modulation spectrum of
    Wu, Falk and Chan (2011). The mean of the wave is taken out and levels are relative to the
    utterance's loud frames, so direct current and gain change nothing.

    Attributes:
        n: Number of MFCC.
        n_mels: Number of mel bands below them.
    """

    name: ClassVar[str] = "mfcc_stats"

    window: int = parameter(own=lambda f: round(0.040 * f.rate), low=16, high=65536, samples=True)
    n_fft: int = parameter(own=lambda f: power_of_two(f.window + _longest_period(f)), low=16, high=131_072)
    mel: str = parameter("htk", choices=("slaney", "htk"))
    n: int = parameter(20, low=statistics.THIRDS, high=512)
    n_mels: int = parameter(40, low=8, high=512)

    def _check(self) -> None:
        super()._check()
        if self.n_fft < self.window + _longest_period(self):
            raise self._refusal("n_fft", self.n_fft, f"window and a period of {LOWEST_HZ:g} Hz do not fit")
        if self.hop > LONGEST_HOP_S * self.rate:
            raise self._refusal(
                "hop", self.hop, f"modulations to 50 Hz need {1000 * LONGEST_HOP_S:g} ms or less"
            )
        if self.fmin > HIGHEST_FMIN:
            raise self._refusal("fmin", self.fmin, f"levels below 2 kHz need {HIGHEST_FMIN:g} Hz or less")
        if self.fmax < LOWEST_FMAX:
            raise self._refusal("fmax", self.fmax, f"levels above 2 kHz need {LOWEST_FMAX:g} Hz or more")
        if self.n > self.n_mels:
            raise self._refusal("n", self.n, f"there are n_mels={self.n_mels} bands")
        self.filters(self.n_mels)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (len(self.names),)

    @property
    def names(self) -> tuple[str, ...]:
        descriptors = [*(f"mfcc{k}" for k in range(self.n)), *SHAPE]
        tracks = ["level", *(f"bands{k}" for k in range(8))]
        return (
            *(f"{descriptor}_{statistic}" for statistic in statistics.POOLED for descriptor in descriptors),
            *(f"mel{k}_{statistic}" for statistic in statistics.BANDS for k in range(self.n_mels)),
            *(f"pitch_{statistic}" for statistic in statistics.PITCH),
            *(f"rhythm_{statistic}" for statistic in statistics.RHYTHM),
            *(f"{track}_{low:g}_{high:g}hz" for track in tracks for low, high in statistics.MODULATION_HZ),
            *(f"mfcc{k}_third{part}" for part in (1, 2, 3) for k in range(statistics.THIRDS)),
        )

    def _compute(self, batch: Batch) -> list[Array]:
        return [self._pooled(frames) for frames in describe(batch.waves, self, self.n_mels, self.n)]

    def _pooled(self, frames: Descriptors) -> Array:
        frame_s = self.hop / self.rate
        parts = (
            statistics.pool(frames),
            statistics.pool_bands(frames),
            statistics.describe_pitch(frames, frame_s),
            statistics.describe_rhythm(frames, frame_s),
            statistics.modulation(frames, frame_s),
            statistics.course(frames),
        )
        return np.concatenate(parts, dtype=np.float32)


def _longest_period(feature: MelFeature) -> int:
    return round(feature.rate / LOWEST_HZ)
