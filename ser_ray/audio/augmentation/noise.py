"""Noise added to the speech: generated, or from recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from ser_ray import storage
from ser_ray.audio.augmentation.augmentation import Varied, Wave
from ser_ray.audio.augmentation.background import draw_stretch, mean_power, recordings
from ser_ray.parameters import parameter

FRAME_S = 0.020
ACTIVE_SHARE = 1e-3  # of the loudest frame's power: 30 dB below it speech ends

LOWEST_PINK = 20.0  # Hz; below it, nobody hears the greater part of pink noise
VOICES, SYLLABLES = 8, 8.0  # of a crowd: how many, and knots of their loudness a second
# Long-term average spectrum of speech, dB in thirds of an octave, every other one (Byrne et al. 1994, "An
# international comparison of long-term average speech spectra", JASA 96, women and men together).
SPEECH_HZ = (63, 100, 160, 250, 400, 630, 1000, 1600, 2500, 4000, 6300, 10000, 16000)
SPEECH_DB = (38.6, 54.4, 56.8, 60.3, 62.1, 60.5, 53.7, 52.0, 48.1, 45.6, 44.3, 43.4, 40.7)


@dataclass(frozen=True, kw_only=True)
class Noise(Varied):
    """Additive noise at a signal-to-noise ratio; the length stays.

    The ratio is the `active_power` of the speech over the mean power of the noise added. A silent wave
    has no level to hold noise against and stays as it is.

    Attributes:
        snr_db: Signal-to-noise ratio in dB.
        folder: URI of recordings of noise; one of them, from any place in it, is drawn for each wave,
            and repeated where it is too short. Another content of the folder gives another draw.
        source: `white`, `pink` (equal power in each octave from 20 Hz), `babble` (noise with the
            spectrum of speech, which swells and ebbs like a crowd), or `recordings` of the folder.
    """

    name: ClassVar[str] = "noise"
    strength: ClassVar[str] = "snr_db"

    snr_db: float = parameter(10.0, low=-40.0, high=100.0)
    folder: str = parameter("")
    source: Literal["white", "pink", "babble", "recordings"] = parameter(
        own=lambda noise: "recordings" if noise.folder else "white",
        choices=("white", "pink", "babble", "recordings"),
    )

    def _check(self) -> None:
        super()._check()
        if self.folder and self.source != "recordings":
            raise self._refusal("source", self.source, "the noise comes from the folder's recordings")
        if self.source == "recordings" and not self.folder:
            raise self._refusal("source", self.source, "folder=URI must say where they are")
        if self.folder:  # absolute, so that workers elsewhere mean the same one
            object.__setattr__(self, "folder", storage.absolute(self.folder))

    def require(self) -> None:
        """Raise `MissingInput` where the folder holds no recordings."""
        if self.folder:
            _ = self._recordings

    @cached_property
    def _recordings(self) -> tuple[str, ...]:
        return recordings(self.folder)

    def _alter(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        ratio = 10 ** (self._drawn(rng) / 10)
        speech = active_power(wave, rate)
        if speech == 0:
            return wave
        if self.folder:
            noise = draw_stretch(self._recordings, len(wave), rate, rng)
        else:
            noise = GENERATED[self.source](len(wave), rate, rng)
        return wave + noise * np.float32(np.sqrt(speech / ratio / mean_power(noise)))


def active_power(wave: Wave, rate: int) -> float:
    """Power of the speech in a wave, its pauses left out.

    Mean square over the frames of 20 ms that lie at most 30 dB below the loudest one; a simple relative
    of the active speech level of ITU-T P.56.

    Args:
        wave: float32 [samples].
        rate: Hz.

    Returns:
        The mean square, 0 for silence.
    """
    starts = np.arange(0, len(wave), max(1, round(FRAME_S * rate)))
    energies = np.add.reduceat(np.square(wave, dtype=np.float64), starts)
    sizes = np.diff(starts, append=len(wave))
    powers = energies / sizes
    active = powers >= ACTIVE_SHARE * powers.max()
    return float(energies[active].sum() / sizes[active].sum())


def white(samples: int, rate: int, rng: np.random.Generator) -> Wave:
    """White Gaussian noise."""
    return rng.standard_normal(samples, np.float32)


def pink(samples: int, rate: int, rng: np.random.Generator) -> Wave:
    """Noise of equal power in each octave from 20 Hz on."""

    def density(hz: np.ndarray) -> np.ndarray:
        return np.asarray((hz >= LOWEST_PINK) / np.maximum(hz, LOWEST_PINK))

    return _shaped(samples, rate, density, rng)


def babble(samples: int, rate: int, rng: np.random.Generator) -> Wave:
    """Noise with the spectrum of speech and the rise and fall of eight voices at once."""

    def density(hz: np.ndarray) -> np.ndarray:
        thirds = np.interp(np.log(np.maximum(hz, 1.0)), np.log(SPEECH_HZ), SPEECH_DB)
        return np.where(hz < SPEECH_HZ[0], 0.0, 10 ** (thirds / 10) / np.maximum(hz, 1.0))

    # Voices that speak with one spectrum add up to one noise; of each, only the loudness is drawn.
    knots = np.arange(0, samples + 2 * rate / SYLLABLES, rate / SYLLABLES)
    loudness = np.exp(rng.normal(0.0, 1.5, (VOICES, len(knots)))).mean(axis=0)
    swell = np.sqrt(np.interp(np.arange(samples), knots, loudness)).astype(np.float32)
    return np.asarray(_shaped(samples, rate, density, rng) * swell)


GENERATED: dict[str, Callable[[int, int, np.random.Generator], Wave]] = {
    "white": white,
    "pink": pink,
    "babble": babble,
}


def _shaped(
    samples: int, rate: int, density: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> Wave:
    """Gaussian noise [samples] whose power density over frequency (Hz) is `density`."""
    from scipy import fft

    size = fft.next_fast_len(max(samples, rate), real=True)  # a second, or low frequencies have no place
    hz = fft.rfftfreq(size, 1 / rate)
    spectrum = rng.standard_normal(2 * len(hz), np.float32).view(np.complex64)
    noise = fft.irfft(spectrum * np.sqrt(density(hz)).astype(np.float32), size)
    return np.asarray(noise[:samples], np.float32)
