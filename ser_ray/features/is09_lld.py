"""Low-level descriptors of the INTERSPEECH 2009 Emotion Challenge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft

from ser_ray.features.feature import BANDS, Array, Batch
from ser_ray.features.frames import Frames, overlapping
from ser_ray.features.mel import mel_edges
from ser_ray.features.mfcc import cosines, delta
from ser_ray.features.spectrum import BandedFeature, split
from ser_ray.parameters import parameter

CEPSTRA, MEL_BANDS, LIFTER = 12, 26, 22
HIGHEST_HZ = 500.0  # of the pitch; its longest period is half an FFT, 62.5 Hz at 16 kHz
_LOWEST_LEVEL = np.float32(1 / 32767)  # of a mel band: HTK's floor of 1 for 16-bit samples
_SILENT = np.float32(1e-20)  # mean power of a spectrum, to which nothing is relative


@dataclass(frozen=True, kw_only=True)
class Is09Lld(BandedFeature):
    """The 16 descriptors of Schuller, Steidl and Batliner (2009) and their deltas [frames, 32].

    In order: RMS energy, MFCC 1-12, zero-crossing rate, voicing probability and F0 in Hz, each smoothed
    by a moving average; then their regression deltas over two frames to either side. Frames lie within
    the wave, 25 ms every 10 ms. Names, order and values are those of openSMILE's `IS09_emotion`, but:

    - F0 is the cepstral peak of each frame by itself; openSMILE also smooths it over time. It is 0 where
      the voicing probability is below `voicing`, and the moving average takes these zeros in.
    - A sample that is exactly zero has the sign of the one before, so digital silence crosses zero never;
      in openSMILE it does at every sample.

    The voicing probability is the highest peak of the autocorrelation's magnitude, tapered frame and all.
    The taper lowers it for long periods: at the challenge's 0.55 many frames of low voices are unvoiced.

    Attributes:
        fmin: Lower edge of the mel filters in Hz; the band's unless given.
        fmax: Upper edge of the mel filters in Hz; 8 kHz, or the band's, or half the rate unless given.
        preemphasis: Coefficient of the first-order high-pass.
        voicing: Voicing probability from which a frame has a pitch.
        smooth: Frames in the moving average, odd; 1 for none.
        deltas: Whether the deltas stand beside the descriptors.
    """

    name: ClassVar[str] = "is09_lld"

    fmax: float = parameter(own=lambda f: min(BANDS[f.band].high, 8000.0, f.rate / 2), low=0.0)
    preemphasis: float = parameter(0.97, low=0.0, high=0.999)
    voicing: float = parameter(0.55, low=0.0, high=1.0)
    smooth: int = parameter(3, low=1, high=99)
    deltas: bool = parameter(True)

    def _check(self) -> None:
        super()._check()
        if self.smooth % 2 == 0:
            raise self._refusal("smooth", self.smooth, "a centred average has an odd number of frames")
        if self.n_fft < 4 * self.rate / HIGHEST_HZ:
            raise self._refusal("n_fft", self.n_fft, f"four periods of {HIGHEST_HZ:g} Hz do not fit")
        if not _mel_filters(self.rate, self.n_fft, self.fmin, self.fmax).any(axis=0).all():
            raise self._refusal("n_fft", self.n_fft, f"one of the {MEL_BANDS} mel bands would be empty")

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, len(self.names))

    @property
    def names(self) -> tuple[str, ...]:
        smoothed = "_sma" if self.smooth > 1 else ""
        mfcc = [("pcm_fftMag_mfcc", f"[{k}]") for k in range(1, CEPSTRA + 1)]
        descriptors = [("pcm_RMSenergy", ""), *mfcc, ("pcm_zcr", ""), ("voiceProb", ""), ("F0", "")]
        orders = ("", "_de") if self.deltas else ("",)
        return tuple(f"{word}{smoothed}{order}{k}" for order in orders for word, k in descriptors)

    def _compute(self, batch: Batch) -> list[Array]:
        waves = [np.pad(wave, (0, max(0, self.window - wave.size))) for wave in batch.waves]
        frames = Frames([overlapping(wave, self.window, self.hop) for wave in waves])
        whole = np.ones(self.window, dtype=np.float32)
        rows = np.concatenate([self._describe(block) for block in frames.blocks(whole, self.window)])
        parts = split(rows[: len(frames)], frames.counts)
        return [self._finish(wave, part) for wave, part in zip(waves, parts, strict=True)]

    def _describe(self, frames: Array) -> Array:
        """RMS energy, MFCC, voicing probability and F0 [frames, CEPSTRA + 3]."""
        before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        tapered = (frames - np.float32(self.preemphasis) * before) * _hamming(self.window)
        energy = np.sqrt(np.square(tapered).mean(axis=1))
        bins = rfft(tapered, self.n_fft, axis=1)
        power = np.square(bins.real) + np.square(bins.imag)
        levels = np.sqrt(power) @ _mel_filters(self.rate, self.n_fft, self.fmin, self.fmax)
        cepstra = np.log(np.maximum(levels, _LOWEST_LEVEL)) @ _liftered_cosines()
        return np.column_stack([energy, cepstra, *self._pitch(power)])

    def _pitch(self, power: Array) -> tuple[Array, Array]:
        """Voicing probability and F0 in Hz of power spectra, [frames] each."""
        # Relative to the frame's mean power, the logarithm squeezes the same peaks whatever the gain.
        relative = power / np.maximum(power.mean(axis=1, keepdims=True), _SILENT)
        correlation = irfft(relative, axis=1)[:, : self.n_fft // 2]
        cepstrum = irfft(np.log1p(relative), axis=1)[:, : self.n_fft // 2]
        shortest = int(self.rate / HIGHEST_HZ)
        _, voicing = _highest_peak(np.abs(correlation), shortest - 1)
        voicing /= np.maximum(correlation[:, 0], _SILENT)
        lag, height = _highest_peak(cepstrum, shortest)
        voiced = (voicing >= np.float32(self.voicing)) & (height > 0)
        return voicing, np.where(voiced, np.float32(self.rate) / lag, np.float32(0))

    def _finish(self, wave: Array, described: Array) -> Array:
        """All descriptors of one wave in their order, smoothed, and their deltas."""
        crossings = _zero_crossings(wave, self.window, self.hop)
        columns = np.insert(described, 1 + CEPSTRA, crossings, axis=1)
        smoothed = _moving_average(columns, self.smooth)
        return np.concatenate([smoothed, delta(smoothed)], axis=1) if self.deltas else smoothed


def _zero_crossings(wave: Array, window: int, hop: int) -> Array:
    """Zero crossings in each frame, divided by its samples [frames]."""
    sounding = wave != 0
    latest = np.maximum.accumulate(np.where(sounding, np.arange(wave.size), sounding.argmax()))
    positive = wave[latest] > 0
    until = np.cumsum(np.diff(positive, prepend=positive[:1]))
    return np.asarray((until[window - 1 :] - until[: -window + 1])[::hop] / window, dtype=np.float32)


def _highest_peak(curves: Array, first: int) -> tuple[Array, Array]:
    """Lag, refined by a parabola, and height of the highest peak at lag `first` or above [frames].

    Where there is no peak, the height is 0.
    """
    inner = curves[:, first:-1]
    peaks = np.where((inner > curves[:, first - 1 : -2]) & (inner > curves[:, first + 1 :]), inner, 0)
    best = peaks.argmax(axis=1) + first
    rows = np.arange(len(best))
    left, top, right = (curves[rows, best + step] for step in (-1, 0, 1))
    curve = np.minimum(left - 2 * top + right, -_SILENT)
    lag = best + np.clip(0.5 * (left - right) / curve, -0.5, 0.5)
    return lag.astype(np.float32), peaks[rows, best - first]


def _moving_average(columns: Array, frames: int) -> Array:
    """Mean of each column over `frames` frames around each, the ends repeated."""
    padded = np.pad(columns, ((frames // 2, frames // 2), (0, 0)), mode="edge")
    total = sum(padded[k : k + len(columns)] for k in range(frames))
    return np.asarray(total / np.float32(frames), dtype=np.float32)


@lru_cache(maxsize=32)
def _hamming(window: int) -> Array:
    """The symmetric Hamming window [window]."""
    return np.hamming(window).astype(np.float32)


@lru_cache(maxsize=32)
def _mel_filters(rate: int, n_fft: int, fmin: float, fmax: float) -> Array:
    """HTK's filters [n_fft / 2 + 1, MEL_BANDS]: triangles on the mel scale rather than in Hz."""
    edges = _mel(mel_edges(MEL_BANDS, fmin, fmax, "htk"))
    mel = _mel(np.arange(n_fft // 2 + 1) * rate / n_fft)[:, None]
    rising, falling = (mel - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - mel) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1127 * np.log1p(hz / 700))


@lru_cache(maxsize=1)
def _liftered_cosines() -> Array:
    """DCT [MEL_BANDS, CEPSTRA] to coefficients 1 and up, liftered as in HTK."""
    lifter = 1 + LIFTER / 2 * np.sin(np.pi * np.arange(1, CEPSTRA + 1) / LIFTER)
    return np.asarray(cosines(MEL_BANDS, CEPSTRA + 1)[:, 1:] * lifter, dtype=np.float32)
