import librosa
import numpy as np
import pytest

from ser_ray import features
from ser_ray.features.chroma import PITCH_CLASSES, pitch_class_filters

A4 = 440.0


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 0.1, samples).astype(np.float32)


def tone(hz: float, rate: int = 16000, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize(("rate", "n_fft"), [(16000, 2048), (8000, 1024), (44100, 2048), (16000, 512)])
@pytest.mark.parametrize("tuning", [0.0, 0.3, -0.5])
def test_filters_are_those_of_librosa(rate, n_fft, tuning):
    theirs = librosa.filters.chroma(sr=rate, n_fft=n_fft, tuning=tuning)
    np.testing.assert_allclose(pitch_class_filters(rate, n_fft, tuning), theirs.T, atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "rate", "settings"),
    [
        ("chroma", 16000, {"n_fft": 2048, "hop_length": 160}),
        ("chroma(window=400)", 16000, {"n_fft": 512, "win_length": 400, "hop_length": 160}),
        ("chroma(tuning=0.25,hop=512)", 16000, {"n_fft": 2048, "hop_length": 512, "tuning": 0.25}),
        ("chroma(rate=44100,window=2048,hop=512)", 44100, {"n_fft": 2048, "hop_length": 512}),
        ("chroma(band=telephone)", 8000, {"n_fft": 1024, "hop_length": 80}),
    ],
)
def test_chroma_is_that_of_librosa(spec, rate, settings):
    wave = noise(rate) + tone(A4, rate) + tone(660, rate)
    theirs = librosa.feature.chroma_stft(y=wave, sr=rate, **({"tuning": 0.0} | settings))
    np.testing.assert_allclose(features.get(spec)(wave), theirs.T, atol=1e-5)


@pytest.mark.parametrize("semitones", range(12))
@pytest.mark.parametrize("spec", ["chroma", "chroma(band=telephone)"])
def test_a_tone_peaks_in_its_pitch_class(spec, semitones):
    feature = features.get(spec)
    frame = feature(tone(A4 * 2 ** (semitones / 12), feature.rate))[50]
    assert feature.names[frame.argmax()] == PITCH_CLASSES[(9 + semitones) % 12]
    assert frame.max() == 1.0
    assert np.sort(frame)[-2] < 0.4  # the neighbours, a semitone away


def test_concert_a_is_named_a():
    assert features.get("chroma").names[features.get("chroma")(tone(A4))[50].argmax()] == "a"


def test_tuning_moves_the_classes_with_the_instrument():
    sharp = tone(A4 * 2 ** (0.4 / 12))
    straight, tuned = (features.get(spec)(sharp)[50] for spec in ("chroma", "chroma(tuning=0.4)"))
    in_tune = features.get("chroma")(tone(A4))[50]
    assert np.abs(tuned - in_tune).max() < 0.1 < np.abs(straight - in_tune).max()


def test_gain_changes_neither_chroma_nor_tonnetz():
    for name in ("chroma", "tonnetz"):
        feature = features.get(name)
        np.testing.assert_allclose(feature(0.01 * noise(8000)), feature(noise(8000)), atol=1e-5)


@pytest.mark.parametrize("name", ["chroma", "tonnetz"])
def test_silent_frames_are_zeros(name):
    wave = np.concatenate([tone(A4), np.zeros(16000, np.float32)])
    values = features.get(name)(wave)
    assert values[:100].any(axis=1).all()
    assert not values[110:].any()


@pytest.mark.parametrize(
    "spec", ["(hop=512)", "(band=telephone)", "(rate=44100,window=2048,hop=512,tuning=0.2)"]
)
def test_tonnetz_is_that_of_librosa_on_the_same_chroma(spec):
    feature = features.get("tonnetz" + spec)
    wave = noise(feature.rate) + tone(A4, feature.rate)
    chroma = features.get("chroma" + spec)(wave)
    np.testing.assert_allclose(feature(wave), librosa.feature.tonnetz(chroma=chroma.T).T, atol=1e-5)


def test_tonnetz_of_tones_a_fifth_apart_is_a_twelfth_of_the_circle_of_fifths_away():
    feature = features.get("tonnetz")
    low, high = (feature(tone(hz))[50, :2] for hz in (A4, 1.5 * A4))
    angle = np.degrees(np.arctan2(*high) - np.arctan2(*low)) % 360
    assert min(angle, 360 - angle) == pytest.approx(30, abs=3)
