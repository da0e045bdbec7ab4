"""General sounds, made up: what a network may learn from before it hears speech.

Twelve kinds that differ in how their spectrum is shaped and moves: steady or gliding tones, trains of
pulses, struck bodies, filtered noise. Pitch, level, duration and background differ more within a kind than
between kinds, so that hardly any is known by them alone. The sounds stand in for a corpus such as ESC-50 or
FSDKaggle2018 in demonstrations and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ser_ray.errors import UnknownName

Array = NDArray[np.floating[Any]]
Rng = np.random.Generator

RATE = 16_000  # Hz
SHORTEST_S, LONGEST_S = 1.0, 4.0
LEVEL_DB = (-36.0, -14.0)  # RMS, dB below full scale
BACKGROUND_DB = (-50.0, -25.0)  # of pink noise, against the sound
EDGE_S = 0.005  # the sound fades in and out


def draw_sound(kind: str, seed: int) -> Array:
    """One sound.

    Args:
        kind: one of `SOUNDS`.
        seed: draws duration, pitch, level and all else.

    Returns:
        wave float32 [samples] at `RATE`, 1 to 4 s, peak below 1.

    Raises:
        UnknownName: another kind.
    """
    if kind not in SOUNDS:
        raise UnknownName("sound", kind, SOUNDS)
    rng = np.random.default_rng(seed)
    time = np.arange(int(rng.uniform(SHORTEST_S, LONGEST_S) * RATE)) / RATE
    wave = SOUNDS[kind](time, rng)
    wave *= np.clip(np.minimum(time, time[::-1]) / EDGE_S, 0.0, 1.0)
    wave = wave / _rms(wave) + _pink(len(time), rng) * _amplitude(rng.uniform(*BACKGROUND_DB))
    wave *= _amplitude(rng.uniform(*LEVEL_DB)) / _rms(wave)
    return np.asarray(wave / max(1.0, float(np.abs(wave).max()) / 0.98), np.float32)


def _tone_bursts(time: Array, rng: Rng) -> Array:
    """Long tones of one pitch, silence between them."""
    period, share = rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.7)
    return _tone(_octaves(rng, 300, 2000), time) * _gate(time, period, share)


def _beeps(time: Array, rng: Rng) -> Array:
    """Quick short tones of one pitch, with a third harmonic."""
    hz = _octaves(rng, 500, 2200)
    wave = _tone(hz, time) + 0.4 * _tone(3 * hz, time)
    return wave * _gate(time, rng.uniform(0.12, 0.2), 0.5)


def _rising_chirps(time: Array, rng: Rng) -> Array:
    """Glides upwards, one after the other."""
    return _glides(time, rng, rng.uniform(1.5, 3.0))


def _falling_chirps(time: Array, rng: Rng) -> Array:
    """Glides downwards, one after the other."""
    return _glides(time, rng, -rng.uniform(1.5, 3.0))


def _siren(time: Array, rng: Rng) -> Array:
    """A tone with overtones whose pitch swings up and down."""
    swing = rng.uniform(0.3, 0.6) * np.sin(2 * np.pi * rng.uniform(0.6, 1.6) * time + rng.uniform(0, 6.28))
    hz = _octaves(rng, 500, 1100) * 2**swing
    return np.asarray(_tone(hz, time) + 0.5 * _tone(2 * hz, time) + 0.25 * _tone(3 * hz, time))


def _bell(time: Array, rng: Rng) -> Array:
    """Strokes on a body of inharmonic partials, each of which dies away, the high ones first."""
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.74, 3.76])  # after Rossing (1984)
    hz = _octaves(rng, 350, 900) * ratios
    wave = np.zeros_like(time)
    for start in _moments(time, rng.uniform(0.8, 1.6), 0.1, rng):
        after = np.maximum(time - start, 0.0)
        decay = np.exp(-after[:, None] * rng.uniform(1.5, 3.0) * ratios)
        wave += (time >= start) * (np.sin(2 * np.pi * after[:, None] * hz) * decay / ratios**0.7).sum(1)
    return wave


def _knocks(time: Array, rng: Rng) -> Array:
    """Strokes on wood: low resonances that stop at once."""
    hz = _octaves(rng, 150, 400) * np.array([1.0, 2.3, 4.1])
    wave = np.zeros_like(time)
    for start in _moments(time, rng.uniform(0.2, 0.45), 0.2, rng):
        after = np.maximum(time - start, 0.0)
        stroke = (
            np.sin(2 * np.pi * after[:, None] * hz) * np.exp(-after[:, None] * (50.0, 80.0, 140.0))
        ).sum(1)
        wave += (time >= start) * stroke * rng.uniform(0.6, 1.0)
    return wave


def _clicks(time: Array, rng: Rng) -> Array:
    """A steady train of single samples, softened a little."""
    wave = np.zeros_like(time)
    moments = _moments(time, rng.uniform(0.06, 0.14), 0.02, rng)
    wave[(moments * RATE).astype(int)] = 1.0
    return _shaped(wave, lambda hz: hz / (hz + 1500.0))


def _hum(time: Array, rng: Rng) -> Array:
    """Many steady harmonics of a low pitch, as of a transformer."""
    pitch, slope = _octaves(rng, 80, 240), rng.uniform(0.5, 1.0)
    numbers = np.arange(1, int(3500 / pitch))
    phases = rng.uniform(0, 2 * np.pi, len(numbers))
    return np.asarray((np.sin(2 * np.pi * pitch * numbers * time[:, None] + phases) / numbers**slope).sum(1))


def _engine(time: Array, rng: Rng) -> Array:
    """Rough pulses of low noise whose rate goes up and down, with a rumble."""
    drift = 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * time + rng.uniform(0, 6.28))
    turns = np.cumsum(_octaves(rng, 14, 32) * 2**drift) / RATE
    pulses = np.exp(-8.0 * (turns % 1.0)) * rng.normal(size=len(time))
    return _shaped(pulses, lambda hz: 1.0 / (1.0 + (hz / rng.uniform(300, 700)) ** 2))


def _rain(time: Array, rng: Rng) -> Array:
    """Many drops at random moments, each a short splash of high noise, over a soft hiss."""
    struck = rng.random(len(time)) < rng.uniform(60, 180) / RATE
    drops = struck * rng.exponential(1.0, len(time))
    ring = np.exp(-np.arange(160) / 25.0) * rng.normal(size=160)
    wave = np.convolve(drops, ring)[: len(time)] + 0.05 * rng.normal(size=len(time))
    return _shaped(wave, lambda hz: hz**2 / (hz**2 + 2500.0**2))


def _wind(time: Array, rng: Rng) -> Array:
    """Noise in a band that widens and narrows, in gusts."""
    centre, width = _octaves(rng, 300, 900), rng.uniform(0.5, 0.9)
    noise = _shaped(
        rng.normal(size=len(time)),
        lambda hz: np.exp(-0.5 * (np.log2(np.maximum(hz, 1.0) / centre) / width) ** 2),
    )
    gusts = np.sin(2 * np.pi * rng.uniform(0.3, 0.8) * time + rng.uniform(0, 6.28))
    return np.asarray(noise * _amplitude(8.0 * gusts))


SOUNDS: dict[str, Callable[[Array, Rng], Array]] = {
    "tone_bursts": _tone_bursts,
    "rising_chirps": _rising_chirps,
    "falling_chirps": _falling_chirps,
    "knocks": _knocks,
    "wind": _wind,
    "hum": _hum,
    "bell": _bell,
    "siren": _siren,
    "rain": _rain,
    "engine": _engine,
    "beeps": _beeps,
    "clicks": _clicks,
}


def _glides(time: Array, rng: Rng, octaves: float) -> Array:
    """Tones that glide by so many octaves, their middle at any pitch."""
    place = (time / rng.uniform(0.3, 0.7) + rng.random()) % 1.0
    hz = _octaves(rng, 700, 1400) * 2.0 ** (octaves * (place - 0.5))
    return np.asarray(_tone(hz, time) * np.sin(np.pi * place) ** 0.5)


def _tone(hz: float | Array, time: Array) -> Array:
    """A sine of a frequency that may change with time."""
    return np.asarray(np.sin(2 * np.pi * np.cumsum(np.broadcast_to(hz, time.shape)) / RATE))


def _gate(time: Array, period_s: float, share: float) -> Array:
    """On for a share of each period, with soft edges of 5 ms."""
    place = time % period_s
    return np.asarray(np.clip(np.minimum(place, share * period_s - place) / EDGE_S, 0.0, 1.0))


def _moments(time: Array, period_s: float, astray: float, rng: Rng) -> Array:
    """Seconds within `time`, a period apart, each astray by a share of it."""
    regular = np.arange(rng.uniform(0.02, 0.2), time[-1] - 0.02, period_s)
    return np.clip(regular + rng.normal(0.0, astray * period_s, len(regular)), 0.0, time[-1])


def _octaves(rng: Rng, low_hz: float, high_hz: float) -> float:
    """A frequency between two, every octave as likely."""
    return float(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz))))


def _shaped(wave: Array, gain: Callable[[Array], Array]) -> Array:
    """A wave whose spectrum is multiplied by a gain of the frequency in Hz."""
    hz = fft.rfftfreq(len(wave), 1 / RATE)
    return np.asarray(fft.irfft(fft.rfft(wave) * gain(hz), len(wave)))


def _pink(samples: int, rng: Rng) -> Array:
    """Noise of equal power in every octave, RMS 1."""
    wave = _shaped(rng.normal(size=samples), lambda hz: 1.0 / np.sqrt(np.maximum(hz, 20.0)))
    return wave / _rms(wave)


def _rms(wave: Array) -> float:
    return float(np.sqrt(np.mean(wave**2)))


def _amplitude(db: float | Array) -> Any:
    return 10.0 ** (db / 20.0)
