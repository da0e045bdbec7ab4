"""From frames to power spectra: what the spectral features share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from ser_ray.features.feature import BANDS, Array, Batch
from ser_ray.features.frames import FramedFeature, Frames, centred_frames, overlapping
from ser_ray.parameters import parameter

# The 2,048 samples at 16 kHz that librosa takes; 25 ms do not tell the harmonics of low voices apart.
LONG_WINDOW_S = 0.128
SILENCE = np.float32(1e-10)  # power of a floor of -100 dB


@dataclass(frozen=True, kw_only=True)
class SpectralFeature(FramedFeature):
    """Parameters of a feature that is computed from the spectra of Hann-windowed frames.

    Attributes:
        window: Samples in a frame; 25 ms unless given.
        hop: Samples between frames; 10 ms unless given.
        n_fft: Length of the FFT in samples; the next power of two of `window` unless given.
    """

    n_fft: int = parameter(own=lambda f: power_of_two(f.window), low=16, high=131_072)

    def _check(self) -> None:
        if self.n_fft < self.window:
            raise self._refusal("n_fft", self.n_fft, f"the window has {self.window} samples")

    @property
    def hz(self) -> npt.NDArray[np.float64]:
        """Frequency of each bin of a spectrum [n_fft / 2 + 1]."""
        # In this order the last bin lies at half the rate exactly.
        return np.arange(self.n_fft // 2 + 1, dtype=np.float64) * self.rate / self.n_fft

    @property
    def emphasis(self) -> float:
        """Coefficient of a first-order high-pass before the frames are cut; 0 for none."""
        return 0.0

    def _power(self, batch: Batch) -> Spectrogram:
        """Power spectra of the batch, frames centred on multiples of the hop; shared by features."""
        if not batch.shared:
            return Spectrogram.of(batch.waves, self)
        key = ("power", self.window, self.hop, self.n_fft, self.emphasis)
        return batch.once(key, lambda: Spectrogram.of(batch.waves, self, kept=True))


@dataclass(frozen=True, kw_only=True)
class BandedFeature(SpectralFeature):
    """Parameters of a feature that looks at a range of frequencies.

    Attributes:
        window: Samples in a frame; 25 ms unless given.
        hop: Samples between frames; 10 ms unless given.
        n_fft: Length of the FFT in samples; the next power of two of `window` unless given.
        fmin: Lower edge in Hz; the band's unless given.
        fmax: Upper edge in Hz; the band's, or half the rate, unless given.
    """

    fmin: float = parameter(own=lambda f: BANDS[f.band].low, low=0.0)
    fmax: float = parameter(own=lambda f: min(BANDS[f.band].high, f.rate / 2), low=0.0)

    def _check(self) -> None:
        super()._check()
        if not self.fmin < self.fmax <= self.rate / 2:
            raise self._refusal("fmax", self.fmax, f"it must lie between fmin and {self.rate / 2:g} Hz")
        if self.bins.stop - self.bins.start < 2:
            step = self.rate / self.n_fft
            raise self._refusal("fmax", self.fmax, f"from fmin to fmax there must be two bins of {step:g} Hz")

    @property
    def bins(self) -> slice:
        """The bins of a spectrum from fmin to fmax, both included."""
        hz = self.hz
        first, after = np.searchsorted(hz, self.fmin), np.searchsorted(hz, self.fmax, side="right")
        return slice(int(first), int(after))


@dataclass(frozen=True)
class Spectrogram:
    """Power spectra of the frames of several waves.

    Attributes:
        blocks: [BLOCK, n_fft / 2 + 1] each; all waves' frames one after the other, the last filled up.
            A list where they are kept for several features; else they are computed as they are read, once,
            and memory is used again while the processor still has it at hand.
        counts: frames of each wave.
    """

    blocks: Iterable[Array]
    counts: list[int]

    @classmethod
    def of(cls, waves: list[Array], feature: SpectralFeature, kept: bool = False) -> Spectrogram:
        """With frames centred on multiples of the hop, like librosa."""
        window, hop = feature.window, feature.hop
        emphasised = (emphasise(wave, feature.emphasis) for wave in waves)
        before = (window + 1) // 2
        frames = Frames([centred_frames(wave, window, hop, before=before) for wave in emphasised])
        blocks = power_spectra(frames, feature)
        return cls(list(blocks) if kept else blocks, frames.counts)

    def map(self, compute: Callable[[Array], Array]) -> list[Array]:
        """`compute` of every block, joined and cut into one array [frames, ...] for each wave."""
        rows = np.concatenate([compute(block) for block in self.blocks])
        return split(rows[: sum(self.counts)], self.counts)


def power_of_two(length: int) -> int:
    """The smallest power of two that is not below `length`."""
    return 1 << (length - 1).bit_length()


def decibel(power: Array) -> Array:
    """`power` in dB, with a floor of -100 dB that keeps silence finite."""
    return np.asarray(10.0 * np.log10(np.maximum(power, SILENCE)), dtype=np.float32)


def limit_range(levels: Array, top_db: float) -> Array:
    """`levels` with nothing further than `top_db` dB below their maximum; 0 leaves them alone."""
    return np.maximum(levels, levels.max() - np.float32(top_db)) if top_db else levels


def split(rows: Array, counts: list[int]) -> list[Array]:
    """Rows of several waves, cut into those of each wave."""
    return np.split(rows, np.cumsum(counts)[:-1])


def whole_frames(waves: list[Array], feature: SpectralFeature) -> Frames:
    """Frames that lie within the wave; a wave shorter than a window is filled up."""
    emphasised = (emphasise(wave, feature.emphasis) for wave in waves)
    filled = (np.pad(wave, (0, max(0, feature.window - wave.size))) for wave in emphasised)
    return Frames([overlapping(wave, feature.window, feature.hop) for wave in filled])


def power_spectra(frames: Frames, feature: SpectralFeature) -> Iterator[Array]:
    """Power spectra [BLOCK, n_fft / 2 + 1] of the tapered frames, block by block."""
    for block in frames.blocks(taper(feature.window), feature.n_fft):
        bins = rfft(block, axis=1)
        yield np.square(bins.real) + np.square(bins.imag)


def emphasise(wave: Array, coefficient: float) -> Array:
    """The wave through a first-order high-pass, 1 - coefficient / z; 0 leaves it alone."""
    if not coefficient:
        return wave
    emphasised = wave.copy()
    emphasised[1:] -= np.float32(coefficient) * wave[:-1]
    return emphasised


@lru_cache(maxsize=32)
def taper(window: int) -> Array:
    """The periodic Hann window [window]."""
    return np.hanning(window + 1)[:-1].astype(np.float32)
