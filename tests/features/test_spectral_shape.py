import librosa
import numpy as np
import pytest

from ser_ray import features

FRAMES = {"n_fft": 512, "win_length": 400, "hop_length": 160}


def noise(samples: int, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(7).normal(0, level, samples).astype(np.float32)


def tone(hz: float, rate: int = 16000, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


def columns(wave: np.ndarray, spec: str = "spectral_shape") -> dict[str, np.ndarray]:
    feature = features.get(spec)
    return dict(zip(feature.names, feature(wave).T, strict=True))


@pytest.mark.parametrize(
    ("spec", "rate", "settings"),
    [
        ("spectral_shape", 16000, FRAMES),
        ("spectral_shape(rate=44100,window=2048,hop=512)", 44100, {"n_fft": 2048, "hop_length": 512}),
        ("spectral_shape(rate=8000)", 8000, {"n_fft": 256, "win_length": 200, "hop_length": 80}),
    ],
)
def test_centroid_bandwidth_rolloff_and_flatness_are_those_of_librosa(spec, rate, settings):
    wave = noise(rate) + tone(440, rate)
    magnitude = np.abs(librosa.stft(wave, pad_mode="constant", **settings))
    ours, theirs = columns(wave, spec), {"S": magnitude, "sr": rate}
    np.testing.assert_allclose(ours["centroid"], librosa.feature.spectral_centroid(**theirs)[0], rtol=1e-4)
    np.testing.assert_allclose(ours["bandwidth"], librosa.feature.spectral_bandwidth(**theirs)[0], rtol=1e-4)
    np.testing.assert_allclose(ours["flatness"], librosa.feature.spectral_flatness(S=magnitude)[0], rtol=1e-4)
    for percent in (25, 50, 75, 85, 95):
        rolloff = librosa.feature.spectral_rolloff(**theirs, roll_percent=percent / 100)[0]
        np.testing.assert_allclose(ours[f"rolloff{percent}"], rolloff, atol=1e-2)


def test_slope_and_flux_are_those_of_their_definitions():
    wave = noise(16000) + tone(440)
    magnitude = np.abs(librosa.stft(wave.astype(np.float64), pad_mode="constant", **FRAMES))
    levels = 20 * np.log10(magnitude)
    unit = magnitude / np.linalg.norm(magnitude, axis=0)
    found = columns(wave)
    np.testing.assert_allclose(found["slope"], np.polyfit(np.arange(257) / 32, levels, 1)[0], atol=1e-3)
    assert found["flux"][0] == 0
    np.testing.assert_allclose(found["flux"][1:], np.linalg.norm(np.diff(unit, axis=1), axis=0), atol=1e-4)


@pytest.mark.parametrize("hz", [500.0, 1000.0, 3000.0])
@pytest.mark.parametrize("spec", ["spectral_shape", "spectral_shape(band=telephone)"])
def test_a_tone_has_its_frequency_for_a_centroid_and_little_of_all_else(hz, spec):
    feature = features.get(spec)
    found = {key: value[50] for key, value in columns(tone(hz, feature.rate), spec).items()}
    assert found["centroid"] == pytest.approx(hz, rel=0.01)
    assert found["rolloff50"] == pytest.approx(hz, abs=40)
    assert found["flatness"] < 1e-4
    assert found["flux"] < 0.01


def test_white_noise_is_spread_evenly():
    found = {key: value.mean() for key, value in columns(noise(160_000)).items()}
    assert found["centroid"] == pytest.approx(4000, rel=0.02)
    assert found["bandwidth"] == pytest.approx(8000 / np.sqrt(12), rel=0.02)
    assert [found[f"rolloff{k}"] for k in (25, 50, 75)] == pytest.approx([2000, 4000, 6000], rel=0.03)
    assert found["flatness"] == pytest.approx(np.exp(-np.euler_gamma), abs=0.02)  # of exponential powers
    assert found["slope"] == pytest.approx(0, abs=0.1)


def test_lowpass_noise_falls_by_what_the_filter_takes_away():
    spectrum = np.fft.rfft(noise(160_000))
    hz = np.fft.rfftfreq(160_000, 1 / 16000)
    falling = np.fft.irfft(spectrum * 10 ** (-6 * hz / 1000 / 20)).astype(np.float32)
    assert columns(falling)["slope"].mean() == pytest.approx(-6, abs=0.1)


def test_flux_rises_where_the_sound_changes():
    wave = np.concatenate([tone(500), tone(2000)])
    flux = columns(wave)["flux"]
    assert 97 <= flux.argmax() <= 103
    assert flux.max() > 0.3
    assert max(flux[5:95].max(), flux[105:195].max()) < 0.01


def test_gain_changes_nothing():
    soft, loud = columns(0.05 * noise(8000)), columns(noise(8000))
    for name in soft:
        np.testing.assert_allclose(soft[name], loud[name], rtol=1e-3, atol=1e-3)


def test_the_telephone_variant_does_not_hear_what_lies_beyond_the_line():
    spec = "spectral_shape(band=telephone)"
    quiet, hum = noise(8000), noise(8000) + tone(50, 8000)
    alone, masked = (columns(wave, spec)["centroid"][2:-2] for wave in (quiet, hum))
    whole = columns(hum, "spectral_shape(rate=8000)")["centroid"][2:-2]
    np.testing.assert_allclose(masked, alone, rtol=0.01)
    assert whole.max() < 0.8 * alone.min()
