"""From waves to frames, power spectra and mel bands: what the spectral features share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from ser_ray import errors
from ser_ray.features.feature import BANDS, Array, Batch, Feature
from ser_ray.parameters import parameter

# The FFT and the matrix products round differently for different numbers of rows. Blocks of one size
# make a frame's values independent of its neighbours: a batch equals single calls to the last bit.
BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class SpectralFeature(Feature):
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

    window: int = parameter(own=lambda f: round(0.025 * f.rate), low=16, high=65536, samples=True)
    hop: int = parameter(own=lambda f: round(0.010 * f.rate), low=8, high=65536, samples=True)
    n_fft: int = parameter(own=lambda f: power_of_two(f.window), low=16, high=131_072)
    fmin: float = parameter(own=lambda f: BANDS[f.band].low, low=0.0)
    fmax: float = parameter(own=lambda f: min(BANDS[f.band].high, f.rate / 2), low=0.0)
    mel: str = parameter("slaney", choices=("slaney", "htk"))
    preemphasis: float = parameter(0.0, low=0.0, high=0.999)

    def _check(self) -> None:
        if self.n_fft < self.window:
            raise self._refusal("n_fft", self.n_fft, f"the window has {self.window} samples")
        if not self.fmin < self.fmax <= self.rate / 2:
            raise self._refusal("fmax", self.fmax, f"it must lie between fmin and {self.rate / 2:g} Hz")

    def filters(self, bands: int) -> Array:
        """Mel filters [n_fft / 2 + 1, bands]; raises UsageError where one would be empty."""
        filters = mel_filters(self.rate, self.n_fft, bands, self.fmin, self.fmax, self.mel)
        if not filters.any(axis=0).all():
            raise errors.UsageError(
                f"feature {self.name}: {bands} mel bands from {self.fmin:g} to {self.fmax:g} Hz are too many "
                f"for n_fft={self.n_fft}; ask for fewer bands or a larger n_fft."
            )
        return filters

    def _power(self, batch: Batch) -> Spectrogram:
        """Power spectra of the batch, frames centred on multiples of the hop; shared by features."""
        key = ("power", self.window, self.hop, self.n_fft, self.preemphasis)
        return batch.once(key, lambda: Spectrogram.of(batch.waves, self))

    def _log_mel(self, batch: Batch, bands: int, top_db: float) -> list[Array]:
        """Mel band levels in dB [frames, bands] of each wave, frames centred on multiples of the hop."""
        filters = self.filters(bands)
        mel = self._power(batch).map(lambda power: decibel(power @ filters))
        return [limit_range(part, top_db) for part in mel]


@dataclass(frozen=True)
class Spectrogram:
    """Power spectra of the frames of several waves.

    Attributes:
        blocks: [BLOCK, n_fft / 2 + 1] each; all waves' frames one after the other, the last filled up.
        counts: frames of each wave.
    """

    blocks: list[Array]
    counts: list[int]

    @classmethod
    def of(cls, waves: list[Array], feature: SpectralFeature) -> Spectrogram:
        """With frames centred on multiples of the hop."""
        frames, counts = centred_frames(waves, feature)
        return cls(list(power_spectra(frames, feature)), counts)

    def map(self, compute: Callable[[Array], Array]) -> list[Array]:
        """`compute` of every block, joined and cut into one array [frames, ...] for each wave."""
        rows = np.concatenate([compute(block) for block in self.blocks])
        return split(rows[: sum(self.counts)], self.counts)


def power_of_two(length: int) -> int:
    """The smallest power of two that is not below `length`."""
    return 1 << (length - 1).bit_length()


def decibel(power: Array) -> Array:
    """`power` in dB, with a floor of -100 dB that keeps silence finite."""
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-10)), dtype=np.float32)


def limit_range(levels: Array, top_db: float) -> Array:
    """`levels` with nothing further than `top_db` dB below their maximum; 0 leaves them alone."""
    return np.maximum(levels, levels.max() - np.float32(top_db)) if top_db else levels


def split(rows: Array, counts: list[int]) -> list[Array]:
    """Rows of several waves, cut into those of each wave."""
    return np.split(rows, np.cumsum(counts)[:-1])


def centred_frames(waves: list[Array], feature: SpectralFeature) -> tuple[Array, list[int]]:
    """Frames [frames, window] around multiples of the hop, zeros beyond the ends.

    A wave gives 1 + samples // hop frames, like librosa; one shorter than a window is filled up with
    zeros to one window first.
    """
    half = (feature.window + 1) // 2
    padded = [np.pad(_filled(wave, feature), (half, feature.window)) for wave in waves]
    counts = [1 + max(wave.size, feature.window) // feature.hop for wave in waves]
    return _windowed(padded, counts, feature), counts


def whole_frames(waves: list[Array], feature: SpectralFeature) -> tuple[Array, list[int]]:
    """Frames [frames, window] that lie within the wave; one shorter than a window is filled up."""
    filled = [_filled(wave, feature) for wave in waves]
    counts = [1 + (wave.size - feature.window) // feature.hop for wave in filled]
    return _windowed(filled, counts, feature), counts


def power_spectra(frames: Array, feature: SpectralFeature) -> Iterator[Array]:
    """Power spectra [BLOCK, n_fft / 2 + 1] of the frames, block by block; zeros fill up the last."""
    for start in range(0, len(frames), BLOCK):
        block = frames[start : start + BLOCK]
        missing = BLOCK - len(block)
        full = np.pad(block, ((0, missing), (0, 0))) if missing else block
        bins = rfft(full, n=feature.n_fft, axis=1)
        yield np.square(bins.real) + np.square(bins.imag)


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


def _filled(wave: Array, feature: SpectralFeature) -> Array:
    if feature.preemphasis:
        wave = np.append(wave[:1], wave[1:] - np.float32(feature.preemphasis) * wave[:-1])
    return np.pad(wave, (0, max(0, feature.window - wave.size)))


def _windowed(padded: list[Array], counts: list[int], feature: SpectralFeature) -> Array:
    window = taper(feature.window)
    frames = np.empty((sum(counts), feature.window), dtype=np.float32)
    start = 0
    for wave, count in zip(padded, counts, strict=True):
        views = np.lib.stride_tricks.sliding_window_view(wave, feature.window)[:: feature.hop][:count]
        np.multiply(views, window, out=frames[start : start + count])
        start += count
    return frames


@lru_cache(maxsize=32)
def taper(window: int) -> Array:
    """The periodic Hann window [window]."""
    return np.hanning(window + 1)[:-1].astype(np.float32)


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
