"""Chromagram: the energy of each pitch class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from ser_ray.features.feature import Array, Batch
from ser_ray.features.spectrum import LONG_WINDOW_S, SpectralFeature
from ser_ray.parameters import parameter

PITCH_CLASSES = ("c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b")
_CONCERT_A_HZ = 440.0
# The middle of speech counts most: a bell of two octaves' deviation around the fifth above 27.5 Hz, 880 Hz.
_CENTRE_OCTAVE, _OCTAVES = 5.0, 2.0


@dataclass(frozen=True, kw_only=True)
class Chroma(SpectralFeature):
    """Share of the twelve pitch classes, C to B [frames, 12], 128 ms frames every 10 ms.

    Energies of the spectrum's bins, folded into one octave (Ellis, 2007) and divided by the largest of the
    frame; a silent frame is all zeros. With `window`, `hop` and `n_fft` set alike, the values are those of
    `librosa.feature.chroma_stft(tuning=...)`. Where librosa estimates the tuning of each file unless told,
    ours is fixed: speech has no tuning, and an estimate would turn each file's classes by another amount.

    Attributes:
        window: Samples in a frame; 128 ms unless given.
        tuning: Deviation from A = 440 Hz in semitones.
    """

    name: ClassVar[str] = "chroma"

    window: int = parameter(own=lambda f: round(LONG_WINDOW_S * f.rate), low=16, high=65536, samples=True)
    tuning: float = parameter(0.0, low=-0.5, high=0.5)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, len(self.names))

    @property
    def names(self) -> tuple[str, ...]:
        return PITCH_CLASSES

    def _compute(self, batch: Batch) -> list[Array]:
        filters = pitch_class_filters(self.rate, self.n_fft, self.tuning)
        return self._power(batch).map(lambda power: _by_largest(power @ filters))


def _by_largest(energies: Array) -> Array:
    largest = energies.max(axis=1, keepdims=True)
    # What is smaller than any normal number cannot be divided by.
    scale = np.where(largest < np.finfo(np.float32).tiny, np.float32(1.0), largest)
    return np.asarray(energies / scale, dtype=np.float32)


@lru_cache(maxsize=32)
def pitch_class_filters(rate: int, n_fft: int, tuning: float) -> Array:
    """How much of each bin goes to each pitch class, after Ellis (2007).

    A bell over the distance from the class in semitones, as wide as a bin but at least one semitone; each
    bin's shares have unit length, and are weighted by a bell over octaves around 880 Hz.

    Args:
        rate: Sampling rate in Hz.
        n_fft: Length of the FFT in samples.
        tuning: Deviation from A = 440 Hz in semitones.

    Returns:
        float32 [n_fft / 2 + 1, 12], C first.
    """
    count = len(PITCH_CLASSES)
    bins = n_fft // 2 + 1
    lowest_a = _CONCERT_A_HZ / 16 * 2 ** (tuning / count)
    semitones = count * np.log2(np.arange(1, bins + 1) * (rate / n_fft) / lowest_a)
    # The bin at 0 Hz has no pitch: one and a half octaves below the first, it spreads over all classes.
    semitones = np.concatenate([[semitones[0] - 1.5 * count], semitones])
    widths = np.maximum(np.diff(semitones), 1.0)
    semitones = semitones[:bins]
    from_c = semitones[:, None] - (np.arange(count) + PITCH_CLASSES.index("c") - PITCH_CLASSES.index("a"))
    distance = (from_c + count / 2) % count - count / 2
    shares = np.exp(-2.0 * (distance / widths[:, None]) ** 2)
    shares /= np.linalg.norm(shares, axis=1, keepdims=True)
    weights = np.exp(-0.5 * ((semitones / count - _CENTRE_OCTAVE) / _OCTAVES) ** 2)
    return np.asarray(shares * weights[:, None], dtype=np.float32)
