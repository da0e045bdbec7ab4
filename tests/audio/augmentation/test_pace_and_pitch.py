from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ser_ray.audio.augmentation import augment, get
from ser_ray.audio.augmentation.speed import paced
from ser_ray.audio.synthesis import draw_voice, synthesize

RATE = 16000
FACTORS = (0.5, 0.8, 0.9, 1.1, 1.2, 2.0)


def harmonic_tone(f0_hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * k * f0_hz * time + k) / k for k in range(1, 12))
    return (0.1 * tone).astype(np.float32)


def pitch_hz(wave: np.ndarray, rate: int = RATE) -> float:
    """F0 of a steady tone: its strongest partial, between two bins by a parabola of the log spectrum."""
    wave = wave[rate // 10 : -rate // 10]
    size = 8 * len(wave)
    levels = np.log(np.abs(np.fft.rfft(wave * np.hanning(len(wave)), size)) + 1e-12)
    k = int(levels.argmax())
    left, middle, right = levels[k - 1 : k + 2]
    return float((k + 0.5 * (left - right) / (left - 2 * middle + right)) * rate / size)


def cents(hz: float, against: float) -> float:
    return float(1200 * np.log2(hz / against))


def bursts(times: list[float], seconds: float) -> np.ndarray:
    wave = np.zeros(round(seconds * RATE), np.float32)
    for time in times:
        start = round((time - 0.04) * RATE)
        wave[start : start + 1280] = harmonic_tone(180, 0.08) * np.hanning(1280)
    return wave


def centres(wave: np.ndarray, times: list[float]) -> list[float]:
    """Where the energy within 0.15 s of each of `times` has its centre, s."""
    found = []
    for time in times:
        start = max(0, round((time - 0.15) * RATE))
        power = wave[start : round((time + 0.15) * RATE)].astype(float) ** 2
        found.append((start + float((power * np.arange(len(power))).sum() / power.sum())) / RATE)
    return found


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 6000), st.floats(0.25, 4.0), st.sampled_from([8000, 16000, 22050, 48000]))
@example(1, 4.0, 16000)
@example(1, 0.25, 48000)
@example(2, 1.0, 8000)
def test_speed_gives_the_length_promised(samples, factor, rate):
    wave = harmonic_tone(200, 1.0)[:samples]
    changed = augment(wave, rate, f"speed(factor={factor!r})", "a")
    assert changed.shape == (max(1, round(len(wave) / factor)),)
    assert np.isfinite(changed).all()


@pytest.mark.parametrize("f0_hz", [82.3, 150.3, 311.1])
@pytest.mark.parametrize("factor", FACTORS)
def test_speed_keeps_the_pitch_within_3_cents(f0_hz, factor):
    tone = harmonic_tone(f0_hz, 3.0)
    assert abs(cents(pitch_hz(paced(tone, RATE, factor)), f0_hz)) < 3


@pytest.mark.parametrize("factor", FACTORS)
def test_speed_keeps_the_level_of_a_steady_tone(factor):
    tone = harmonic_tone(150.3, 2.0)
    changed = paced(tone, RATE, factor)[RATE // 10 : -RATE // 10]
    assert 20 * np.log10(changed.std() / tone.std()) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.2])
def test_speed_moves_what_happens_at_t_to_t_over_factor(factor):
    times = [0.4, 1.0, 1.7, 2.5]
    expected = [time / factor for time in times]
    found = centres(paced(bursts(times, 3.0), RATE, factor), expected)
    assert found == pytest.approx(expected, abs=0.012)


def test_speed_1_gives_the_wave_itself():
    speech = synthesize(draw_voice("female", 3), "anger", 5)
    np.testing.assert_allclose(paced(speech, RATE, 1.0), speech, atol=1e-6)


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_speed_leaves_the_spectrum_of_speech(factor):
    speech = synthesize(draw_voice("male", 3), "neutral", 5)
    before, after = (third_octaves(w) for w in (speech, paced(speech, RATE, factor)))
    assert np.abs(after - before).max() < 1.5  # dB


def third_octaves(wave: np.ndarray) -> np.ndarray:
    """Power density in dB in thirds of an octave from 100 to 6300 Hz."""
    power = np.abs(np.fft.rfft(wave)) ** 2 / len(wave)
    hz = np.fft.rfftfreq(len(wave), 1 / RATE)
    edges = 100 * 2 ** (np.arange(-0.5, 19) / 3)
    bands = [power[(hz >= low) & (hz < high)].mean() for low, high in pairwise(edges)]
    return 10 * np.log10(bands)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6000), st.floats(-12, 12), st.sampled_from([8000, 16000, 44100]))
def test_pitch_keeps_the_length(samples, semitones, rate):
    wave = harmonic_tone(200, 1.0)[:samples]
    assert augment(wave, rate, f"pitch(semitones={semitones!r})", "a").shape == (samples,)


@pytest.mark.parametrize("f0_hz", [110.7, 223.1])
@pytest.mark.parametrize("semitones", [-12, -3, -0.5, 0.5, 2, 4, 12])
def test_pitch_moves_f0_by_the_semitones_within_4_cents(f0_hz, semitones):
    changed = augment(harmonic_tone(f0_hz, 3.0), RATE, f"pitch(semitones={semitones})", "a")
    assert abs(cents(pitch_hz(changed), f0_hz) - 100 * semitones) < 4


@pytest.mark.parametrize("semitones", [-4, 4])
def test_pitch_leaves_things_where_they_happen(semitones):
    times = [0.4, 1.0, 1.7, 2.5]
    changed = augment(bursts(times, 3.0), RATE, f"pitch(semitones={semitones})", "a")
    assert centres(changed, times) == pytest.approx(times, abs=0.012)


def test_a_drawn_speed_lies_within_its_spread():
    wave = harmonic_tone(150, 1.0)
    lengths = {len(augment(wave, RATE, "speed(factor=1,spread=.2)", str(k))) for k in range(60)}
    assert round(RATE / 1.2) <= min(lengths) < 0.86 * RATE
    assert 1.2 * RATE < max(lengths) <= round(RATE / 0.8)
    assert get("speed(factor=1,spread=.2)").spec == "speed(spread=0.2,factor=1.0)"
