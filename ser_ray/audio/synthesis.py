"""Speech-like utterances by formant synthesis, told apart in emotion by their prosody.

A source-filter synthesiser after Klatt (1980): glottal pulses and noise drive a cascade of formant
resonators, whose frequencies move through the vowels and consonants of a made-up sentence. Emotions
change what research found them to change: pitch and its range, energy, tempo, spectral tilt, breathiness
and perturbation (Scherer 2003, "Vocal communication of emotion", Speech Communication 40; Juslin & Laukka
2003, "Communication of emotions in vocal expression and music performance", Psychological Bulletin 129).
The sound is for demonstrations and tests: a score reached on it says nothing about real speech.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import fftconvolve
from scipy.signal.windows import hann

from ser_ray.errors import UnknownName, UsageError

Array = NDArray[np.floating[Any]]
Spectra = NDArray[np.complex64]

RATE = 16_000  # Hz
HOP = 80  # samples between two frames of the control tracks and of the filter: 5 ms
WINDOW = 4 * HOP
FFT = 800  # leaves 30 ms for the resonators to ring in
LEVEL_DB = -27.0  # RMS of a neutral utterance, dB below full scale
UPPER_FORMANTS_HZ = np.arange(3500.0, 8000.0, 1000.0)


@dataclass(frozen=True)
class Voice:
    """What stays of a speaker from utterance to utterance."""

    gender: str  # "female" or "male"
    f0_hz: float  # usual pitch
    formant_scale: float  # 1 for a vocal tract of 17 cm, more for a shorter one
    syllable_rate: float  # syllables a second
    tilt_db: float  # spectral slope, dB an octave
    breath_db: float  # aspiration noise against the voice, dB
    level_db: float  # loudness against other speakers, dB


@dataclass(frozen=True)
class Expression:
    """How an utterance differs from the same speaker's neutral one."""

    pitch_st: float  # mean F0, semitones
    range_log2: float  # F0 excursions, octaves of their size
    energy_db: float
    tempo_log2: float  # syllable rate, octaves
    tilt_db: float  # spectral slope, dB an octave: above zero is a pressed, bright voice
    breath_db: float
    jitter_log2: float  # cycle-to-cycle perturbation, octaves of its size
    formants_log2: float  # octaves: above zero is a smile (Tartter 1980)


EXPRESSIONS: dict[str, Expression] = {
    "anger": Expression(3.5, 0.6, 8.0, 0.20, 3.6, -3.0, 0.8, 0.0),
    "boredom": Expression(-2.0, -1.2, -2.0, -0.50, -0.4, -2.0, 0.0, -0.06),
    "fear": Expression(6.0, -0.6, 1.0, 0.40, 0.8, 6.0, 1.2, 0.0),
    "happiness": Expression(4.5, 0.9, 4.0, 0.10, 0.9, 0.0, 0.0, 0.11),
    "neutral": Expression(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "sadness": Expression(-1.0, -0.7, -6.5, -0.35, -3.0, 5.0, 0.3, -0.03),
}
SPREAD = Expression(0.8, 0.2, 1.0, 0.07, 0.35, 1.2, 0.3, 0.01)  # standard deviations between utterances


@dataclass(frozen=True)
class Phone:
    """One steady stretch of sound; `burst` and `breath` are noise levels against a vowel's voice."""

    seconds: float
    formants_hz: tuple[float, float, float]
    voice: float = 1.0
    breath: float = 0.0
    burst: float = 0.0
    burst_hz: float = 4000.0


VOWELS: dict[str, Phone] = {  # formants after Peterson & Barney (1952)
    "a": Phone(0.125, (730, 1090, 2440)),
    "e": Phone(0.120, (530, 1840, 2480)),
    "i": Phone(0.110, (270, 2290, 3010)),
    "o": Phone(0.120, (570, 840, 2410)),
    "u": Phone(0.110, (300, 870, 2240)),
}
CONSONANTS: dict[str, tuple[Phone, ...]] = {
    "b": (Phone(0.055, (250, 900, 2200), 0.15), Phone(0.010, (250, 900, 2200), 0.4, 0, 0.3, 900)),
    "d": (Phone(0.050, (250, 1700, 2600), 0.15), Phone(0.010, (250, 1700, 2600), 0.4, 0, 0.4, 3800)),
    "g": (Phone(0.050, (250, 1900, 2200), 0.15), Phone(0.015, (250, 1900, 2200), 0.4, 0, 0.4, 2000)),
    "p": (Phone(0.070, (300, 900, 2200), 0.0), Phone(0.030, (400, 900, 2200), 0.0, 0.4, 0.3, 1200)),
    "t": (Phone(0.060, (300, 1700, 2600), 0.0), Phone(0.035, (400, 1700, 2600), 0.0, 0.4, 0.6, 4200)),
    "k": (Phone(0.060, (300, 1900, 2200), 0.0), Phone(0.040, (400, 1900, 2200), 0.0, 0.4, 0.5, 2200)),
    "s": (Phone(0.095, (300, 1700, 2600), 0.0, 0.05, 0.45, 5800),),
    "f": (Phone(0.080, (300, 900, 2200), 0.0, 0.05, 0.20, 4500),),
    "z": (Phone(0.070, (280, 1700, 2600), 0.35, 0.05, 0.25, 5500),),
    "m": (Phone(0.070, (250, 1000, 2200), 0.45),),
    "n": (Phone(0.065, (250, 1450, 2400), 0.45),),
    "l": (Phone(0.060, (360, 1200, 2700), 0.65),),
}
SILENCE = Phone(0.06, (500, 1500, 2500), 0.0)


@dataclass(frozen=True)
class Tracks:
    """Control parameters, one value a frame of `HOP` samples; gains are linear."""

    f0_hz: Array  # [frames]
    formants_hz: Array  # [frames, 3]
    gains: Array  # [frames, 3]: voice, breath, burst
    burst_hz: Array  # [frames]


def draw_voice(gender: str, seed: int) -> Voice:
    """A voice of `gender` ("female" or "male"), drawn from `seed`.

    Raises:
        UsageError: another gender.
    """
    if gender not in ("female", "male"):
        raise UsageError(f"no voice of gender {gender!r}: use 'female' or 'male'.")
    rng = np.random.default_rng(seed)
    f0_hz, scale = (205.0, 1.17) if gender == "female" else (118.0, 1.0)
    return Voice(
        gender=gender,
        f0_hz=f0_hz * 2 ** (rng.normal(0, 1.5) / 12),
        formant_scale=scale * rng.uniform(0.96, 1.04),
        syllable_rate=rng.uniform(4.4, 5.4),
        tilt_db=rng.normal(-3.0, 0.4),
        breath_db=rng.normal(-26.0, 3.0),
        level_db=rng.normal(0.0, 1.5),
    )


def draw_sentence(seed: int, syllables: int = 10) -> str:
    """Words of syllables, each a consonant and a vowel ("bato ni selamu")."""
    rng = np.random.default_rng(seed)
    parts = [str(rng.choice(list(CONSONANTS)) + rng.choice(list(VOWELS))) for _ in range(syllables)]
    return "".join(part + str(rng.choice(["", " "])) for part in parts).strip()


def synthesize(voice: Voice, emotion: str, seed: int, sentence: str | None = None) -> Array:
    """One utterance.

    Args:
        voice: the speaker.
        emotion: one of `EXPRESSIONS`.
        seed: draws the utterance's own expression, intonation and noise.
        sentence: words of consonant-vowel syllables; drawn from `seed` where None.

    Returns:
        wave [samples] at `RATE`, peak below 1.

    Raises:
        UnknownName: an emotion that has no expression.
        UsageError: a sentence that is not made of consonant-vowel syllables.
    """
    if emotion not in EXPRESSIONS:
        raise UnknownName("emotion to synthesise", emotion, EXPRESSIONS)
    rng = np.random.default_rng(seed)
    expression = _draw_expression(EXPRESSIONS[emotion], rng)
    tracks = _plan(draw_sentence(seed) if sentence is None else sentence, voice, expression, rng)
    wave = _filter(_excite(tracks, voice, expression, rng), tracks, voice, expression)
    level = LEVEL_DB + voice.level_db + expression.energy_db
    wave *= 10 ** (level / 20) / np.sqrt(np.mean(wave**2))
    return (wave / max(1.0, float(np.abs(wave).max()) / 0.98)).astype(np.float32)


def _draw_expression(mean: Expression, rng: np.random.Generator) -> Expression:
    """A stronger or weaker showing of `mean`, with every part astray by its own."""
    strength = np.clip(rng.normal(1.0, 0.25), 0.3, 1.7)
    drawn = strength * np.array(astuple(mean)) + rng.normal(0.0, astuple(SPREAD))
    return Expression(*map(float, drawn))


def _syllables(sentence: str) -> list[str]:
    """Syllables; one that begins a word keeps the blank before it."""
    syllable = f" ?[{''.join(CONSONANTS)}][{''.join(VOWELS)}]"
    if not re.fullmatch(f"({syllable})+", sentence):
        raise UsageError(
            f"cannot speak {sentence!r}: write words of consonant-vowel syllables, such as 'bato nila', "
            f"consonants {''.join(CONSONANTS)} and vowels {''.join(VOWELS)}."
        )
    return re.findall(syllable, " " + sentence.strip())


def _plan(sentence: str, voice: Voice, expression: Expression, rng: np.random.Generator) -> Tracks:
    """The control tracks of `sentence`: steady targets, then the gestures that join them."""
    spoken: list[tuple[Phone, float, float]] = [(SILENCE, 1.0, 0.0)]  # with duration factor, accent in st
    syllables = _syllables(sentence)
    for number, syllable in enumerate(syllables):
        stressed = syllable.startswith(" ")
        if stressed and number and rng.random() < 0.2:  # a breath between two phrases
            spoken.append((SILENCE, rng.uniform(1.0, 2.0), 0.0))
        slow = 1.5 if number == len(syllables) - 1 else rng.uniform(0.85, 1.15)
        accent = rng.normal(1.8 * stressed, 1.2)
        phones = (*CONSONANTS[syllable[-2]], VOWELS[syllable[-1]])
        spoken += [(phone, slow, accent) for phone in phones]
    spoken.append((SILENCE, 1.5, 0.0))
    stretch = 5.0 / (voice.syllable_rate * 2**expression.tempo_log2)
    durations = np.array([phone.seconds * slow * stretch for phone, slow, _ in spoken])
    held = np.repeat(np.arange(len(spoken)), np.maximum(1, np.rint(durations * RATE / HOP)).astype(int))
    scale = voice.formant_scale * 2**expression.formants_log2 * (1 + 0.02 * _wander(len(held), 12, rng))
    formants = np.array([phone.formants_hz for phone, _, _ in spoken])[held] * scale
    gains = np.array([(phone.voice, phone.breath, phone.burst) for phone, _, _ in spoken])[held]
    gains *= 10 ** (1.5 * _wander(len(held), 30, rng) / 20)
    accents = np.array([accent for _, _, accent in spoken])[held, None]
    return Tracks(
        f0_hz=_intone(_smooth(accents, 25), voice, expression, rng)[:, 0],
        formants_hz=_smooth(formants, 11),
        gains=_smooth(gains, 5),
        burst_hz=np.array([phone.burst_hz for phone, _, _ in spoken])[held] * voice.formant_scale,
    )


def _intone(accents: Array, voice: Voice, expression: Expression, rng: np.random.Generator) -> Array:
    """F0 [frames, 1], Hz: declination, accents, a final fall and a slow drift around the usual pitch."""
    time = np.linspace(0.0, 1.0, len(accents))[:, None]
    declination = 1.5 - 3.0 * time - 3.0 * np.clip((time - 0.85) / 0.15, 0.0, 1.0)
    excursion = (declination + accents) * 2**expression.range_log2
    semitones = expression.pitch_st + excursion + 0.3 * _wander(len(accents), 20, rng)
    return np.clip(voice.f0_hz * 2 ** (semitones / 12), 60.0, 500.0)


def _excite(tracks: Tracks, voice: Voice, expression: Expression, rng: np.random.Generator) -> Array:
    """What drives the vocal tract, and the noise made in front of it: waves [2, samples]."""
    samples = len(tracks.f0_hz) * HOP
    at = np.arange(samples) / HOP
    tracked = np.column_stack([tracks.f0_hz, tracks.gains]).T
    f0, gain, breath, burst = (np.interp(at, np.arange(len(track)), track) for track in tracked)
    phase = np.cumsum(f0 / RATE)
    cycles = np.arange(int(phase[-1]) + 2)
    jitter = 0.006 * 2**expression.jitter_log2
    cycle = np.interp(phase, np.maximum.accumulate(cycles + jitter * rng.normal(size=len(cycles))), cycles)
    shimmer = np.clip(1 + 4 * jitter * rng.normal(size=len(cycles)), 0.3, 1.7)
    openness = np.minimum(cycle % 1.0 / 0.6, 1.0)
    flow = (openness**2 - openness**3) * shimmer[cycle.astype(int)]  # KLGLOTT88, Klatt & Klatt (1990)
    pulses = np.diff(flow, prepend=0.0) * RATE / f0  # differences of a continuous flow alias little
    noise = rng.normal(size=(2, samples))
    leak = 10 ** ((voice.breath_db + expression.breath_db) / 20) * (0.5 + openness * (1 - openness))
    source = gain * pulses + (gain * leak + 0.3 * breath) * noise[0]
    return np.stack([source, 0.5 * burst * noise[1]]).astype(np.float32)


def _filter(waves: Array, tracks: Tracks, voice: Voice, expression: Expression) -> Array:
    """The sound at the lips [samples]: both of `waves` filtered frame by frame, overlapped and added."""
    hz = np.asarray(fft.rfftfreq(FFT, 1 / RATE), np.float32)
    z = np.exp(-2j * np.pi * hz / RATE).astype(np.complex64)
    f1, f2, f3 = tracks.formants_hz.astype(np.float32).T[:, :, None]
    tract = _resonance(f1, 80.0, z) * _resonance(f2, 100.0, z) * _resonance(f3, 140.0, z)
    for formant in UPPER_FORMANTS_HZ[UPPER_FORMANTS_HZ * voice.formant_scale < RATE / 2]:
        tract *= _resonance(formant * voice.formant_scale, 250.0, z)
    tract *= (np.maximum(hz, 150.0) / 500.0) ** ((voice.tilt_db + expression.tilt_db) / (20 * np.log10(2.0)))
    centre = tracks.burst_hz.astype(np.float32)[:, None]
    mouth = np.exp(-0.5 * ((hz / centre - 1) / 0.35) ** 2)
    spectra = _spectra(waves[0]) * tract + _spectra(waves[1]) * mouth
    return _overlap_add(fft.irfft(spectra, FFT))[: waves.shape[1]]


def _resonance(formant_hz: Array | float, bandwidth_hz: float, z: Spectra) -> Spectra:
    """Response [.., bins] of the two-pole resonator of Klatt (1980), unity at 0 Hz."""
    radius = np.float32(np.exp(-np.pi * bandwidth_hz / RATE))
    b = 2 * radius * np.cos(2 * np.pi * formant_hz / RATE)
    c = -(radius**2)
    return np.asarray((1 - b - c) / (1 - b * z - c * z**2), np.complex64)


def _spectra(wave: Array) -> Spectra:
    """Spectra [frames, bins] of overlapping windows, each centred on the start of its hop."""
    padded = np.pad(wave, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: len(wave) : HOP]
    return np.asarray(fft.rfft(frames * (hann(WINDOW, sym=False) / 2).astype(np.float32), FFT))


def _overlap_add(frames: Array) -> Array:
    """Frames [frames, FFT] summed `HOP` samples apart, from the centre of the first window."""
    wave = np.zeros((len(frames) + FFT // HOP, HOP), np.float32)
    for part in range(FFT // HOP):
        wave[part : part + len(frames)] += frames[:, part * HOP : (part + 1) * HOP]
    return wave.ravel()[WINDOW // 2 :]


def _smooth(tracks: Array, width: int) -> Array:
    """Tracks [frames, n] under a Hann kernel of `width` frames, edges held."""
    kernel = hann(width + 2)[1:-1, None]
    padded = np.pad(tracks, ((width // 2, width // 2), (0, 0)), mode="edge")
    return np.asarray(fftconvolve(padded, kernel / kernel.sum(), "valid", axes=0))


def _wander(frames: int, every: int, rng: np.random.Generator) -> Array:
    """A slow random course [frames, 1] of unit variance, with a knot `every` few frames."""
    knots = np.arange(0, frames + every, every)
    return np.interp(np.arange(frames), knots, rng.normal(size=len(knots)))[:, None]
