"""From power spectra to mel bands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ser_ray import errors
from ser_ray.features.feature import Array, Batch
from ser_ray.features.spectrum import BandedFeature, decibel, limit_range
from ser_ray.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class MelFeature(BandedFeature):
    """Parameters of a feature that is computed from Hann-windowed frames and mel filters.

    Attributes:
        window: Samples in a frame; 25 ms unless given.
        hop: Samples between frames; 10 ms unless given.
        n_fft: Length of the FFT in samples; the next power of two of `window` unless given.
        fmin: Lower edge of the filters in Hz; the band's unless given.
        fmax: Upper edge of the filters in Hz; the band's, or half the rate, unless given.
        mel: `slaney` (filters of equal area, as librosa) or `htk` (filters of equal height).
        preemphasis: Coefficient of the first-order high-pass; 0 for none.
    """

    mel: str = parameter("slaney", choices=("slaney", "htk"))
    preemphasis: float = parameter(0.0, low=0.0, high=0.999)

    @property
    def emphasis(self) -> float:
        return self.preemphasis

    def filters(self, bands: int) -> Array:
        """Mel filters [n_fft / 2 + 1, bands]; raises UsageError where one would be empty."""
        filters = mel_filters(self.rate, self.n_fft, bands, self.fmin, self.fmax, self.mel)
        if not filters.any(axis=0).all():
            raise errors.UsageError(
                f"feature {self.name}: {bands} mel bands from {self.fmin:g} to {self.fmax:g} Hz are too many "
                f"for n_fft={self.n_fft}; ask for fewer bands or a larger n_fft."
            )
        return filters

    def _log_mel(self, batch: Batch, bands: int, top_db: float) -> list[Array]:
        """Mel band levels in dB [frames, bands] of each wave, frames centred on multiples of the hop."""
        filters = self.filters(bands)
        mel = self._power(batch).map(lambda power: decibel(power @ filters))
        return [limit_range(part, top_db) for part in mel]


@lru_cache(maxsize=32)
def mel_filters(rate: int, n_fft: int, bands: int, fmin: float, fmax: float, scale: str) -> Array:
    """Triangular filters, equally spaced on the mel scale.

    Args:
        rate: Sampling rate in Hz.
        n_fft: Length of the FFT in samples.
        bands: Number of filters.
        fmin: Lower edge in Hz.
        fmax: Upper edge in Hz.
        scale: `slaney` (Auditory Toolbox: linear to 1 kHz, equal area) or `htk` (equal height).

    Returns:
        float32 [n_fft / 2 + 1, bands].
    """
    edges = mel_edges(bands, fmin, fmax, scale)
    hz = np.arange(n_fft // 2 + 1)[:, None] * (rate / n_fft)
    rising = (hz - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - hz) / np.diff(edges)[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        filters *= 2.0 / (edges[2:] - edges[:-2])
    return np.asarray(filters, dtype=np.float32)


def mel_edges(bands: int, fmin: float, fmax: float, scale: str) -> npt.NDArray[np.float64]:
    """Lower edge, centres and upper edge of mel filters, Hz [bands + 2]."""
    return _mel_to_hz(np.linspace(_hz_to_mel(fmin, scale), _hz_to_mel(fmax, scale), bands + 2), scale)


_LINEAR_HZ = 200.0 / 3.0
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = math.log(6.4) / 27.0


def _hz_to_mel(hz: float, scale: str) -> float:
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    return hz / _LINEAR_HZ if hz < _BREAK_HZ else _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: npt.NDArray[np.float64], scale: str) -> npt.NDArray[np.float64]:
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    curved = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, curved)
