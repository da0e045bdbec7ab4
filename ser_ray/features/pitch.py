"""Pitch and harmonicity of frames, from the spectra that the other descriptors use."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import irfft, rfft

from ser_ray.features.feature import Array

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
REFERENCE_HZ = 55.0  # 0 semitones
_STEPS = 4  # lags in a semitone
_CORRELATED_HZ = (50.0, 2000.0)  # without direct current and hum below, without hiss above
_OCTAVE_COST = 0.02


def track_pitch(
    spectra: Array, rate: int, taper: Array, lowest: float = LOWEST_HZ, highest: float = HIGHEST_HZ
) -> tuple[Array, Array]:
    """Pitch and harmonicity of each frame by itself.

    The normalised autocorrelation of Boersma (1993), divided by that of the taper, at lags spaced evenly
    in semitones: one product of the spectra with cosines. The highest peak wins, with a
    small cost for long periods against octave errors.

    Args:
        spectra: Power spectra [frames, n_fft / 2 + 1]; or their square roots, for the generalised
            autocorrelation of Tolonen and Karjalainen (2000), which hears less of formants, and more noise.
        rate: Sampling rate in Hz.
        taper: The window of the frames [window]; n_fft - window must not be below rate / lowest.
        lowest: The pitch lies above this, Hz.
        highest: The pitch lies below this, Hz.

    Returns:
        Semitones above 55 Hz [frames] and peak of the autocorrelation, at most 1 [frames]. Frames without
        a peak have harmonicity 0.
    """
    low, high, cosines = _lag_cosines(rate, 2 * (spectra.shape[1] - 1), taper.tobytes(), lowest, highest)
    used = spectra[:, low:high]
    correlation = (used @ cosines) / np.maximum(used.sum(axis=1, keepdims=True), np.float32(1e-10))
    lags = correlation.shape[1]
    favour = correlation + np.float32(_OCTAVE_COST / 12 / _STEPS) * np.arange(lags, dtype=np.float32)
    inner = favour[:, 1:-1]
    peaks = np.where((inner >= favour[:, :-2]) & (inner > favour[:, 2:]), inner, np.float32(-1.0))
    best = peaks.argmax(axis=1) + 1
    rows = np.arange(len(best))
    left, top, right = (correlation[rows, best + step] for step in (-1, 0, 1))
    curve = np.minimum(left - 2 * top + right, np.float32(-1e-6))
    shift = np.clip(0.5 * (left - right) / curve, -0.5, 0.5)
    semitones = np.float32(12 * np.log2(lowest / REFERENCE_HZ)) + (best + shift) / np.float32(_STEPS)
    found = peaks[rows, best - 1] > 0
    return semitones.astype(np.float32), np.where(found, np.clip(top, 0.0, 1.0), np.float32(0.0))


def smooth_pitch(semitones: Array) -> Array:
    """Median of five frames, which mends single octave errors."""
    around = np.arange(5)[:, None] + np.arange(-2, len(semitones) - 2)
    return np.asarray(np.sort(semitones.take(around, mode="clip"), axis=0)[2])


@lru_cache(maxsize=8)
def _lag_cosines(
    rate: int, n_fft: int, taper: bytes, lowest: float, highest: float
) -> tuple[int, int, Array]:
    """First and last bin used, and cosines [bins, lags] from the longest lag to the shortest."""
    low, high = (round(edge * n_fft / rate) for edge in _CORRELATED_HZ)
    semitones = np.arange(round(12 * np.log2(highest / lowest) * _STEPS) + 1) / _STEPS
    lags = rate / lowest * 2.0 ** (-semitones / 12)
    spectrum = np.abs(rfft(np.frombuffer(taper, dtype=np.float32).astype(np.float64), n_fft)) ** 2
    window = irfft(spectrum, n_fft)
    fading = np.interp(lags, np.arange(n_fft // 2), window[: n_fft // 2] / window[0])
    cosines = np.cos(2 * np.pi / n_fft * np.outer(np.arange(low, high), lags)) / fading
    return low, high, np.asarray(cosines, dtype=np.float32)
