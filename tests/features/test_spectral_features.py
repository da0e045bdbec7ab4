import librosa
import numpy as np
import pytest
import torch
import torchaudio

from ser_ray import errors, features
from ser_ray.features.mel import mel_filters
from ser_ray.features.mfcc import delta


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 0.1, samples).astype(np.float32)


def tone(hz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize(("scale", "htk", "norm"), [("slaney", False, "slaney"), ("htk", True, None)])
@pytest.mark.parametrize(
    ("rate", "n_fft", "bands", "low", "high"), [(16000, 512, 64, 0, 8000), (8000, 256, 32, 300, 3400)]
)
def test_mel_filters_are_those_of_librosa(scale, htk, norm, rate, n_fft, bands, low, high):
    ours = mel_filters(rate, n_fft, bands, float(low), float(high), scale)
    theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands, fmin=low, fmax=high, htk=htk, norm=norm)
    np.testing.assert_allclose(ours, theirs.T, atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "rate", "settings"),
    [
        ("mfcc", 16000, {"n_mfcc": 40, "n_mels": 80, "n_fft": 512, "win_length": 400, "hop_length": 160}),
        (
            "mfcc(n=50,n_mels=128,rate=44100,window=2048,hop=512)",
            44100,
            {"n_mfcc": 50, "n_mels": 128, "n_fft": 2048, "win_length": 2048, "hop_length": 512},
        ),
        (
            "mfcc(n=13,lifter=22,mel=htk)",
            16000,
            {"n_mfcc": 13, "n_mels": 80, "n_fft": 512, "win_length": 400, "hop_length": 160, "lifter": 22}
            | {"htk": True, "mel_norm": None},
        ),
        (
            "mfcc(band=telephone,n=20)",
            8000,
            {"n_mfcc": 20, "n_mels": 80, "n_fft": 256, "win_length": 200, "hop_length": 80}
            | {"fmin": 300, "fmax": 3400},
        ),
    ],
)
def test_mfcc_is_that_of_librosa_within_a_thousandth_of_a_decibel(spec, rate, settings):
    wave = noise(rate) + tone(440, rate)
    theirs = librosa.feature.mfcc(y=wave, sr=rate, pad_mode="constant", **settings).T
    np.testing.assert_allclose(features.get(spec)(wave), theirs, atol=1e-3)


def test_logmel_is_that_of_librosa_within_a_thousandth_of_a_decibel():
    wave = noise(16000)
    power = librosa.feature.melspectrogram(
        y=wave, sr=16000, n_mels=64, n_fft=512, win_length=400, hop_length=160, pad_mode="constant"
    )
    np.testing.assert_allclose(features.get("logmel")(wave), librosa.power_to_db(power).T, atol=1e-3)


def test_published_mfcc_settings_give_50_by_216_for_two_and_a_half_seconds():
    feature = features.get("mfcc(n=50,rate=44100,window=2048,hop=512)")
    assert feature(noise(110_250)).shape == (216, 50)


@pytest.mark.parametrize("hz", [150.0, 440.0, 1000.0, 3000.0, 6500.0])
def test_a_tone_peaks_in_the_mel_band_around_its_frequency(hz):
    edges = librosa.mel_frequencies(n_mels=66, fmin=0, fmax=8000)
    levels = features.get("logmel")(tone(hz, 16000))[50]
    band = int(levels.argmax())
    assert edges[band] < hz < edges[band + 2]


def test_ten_times_the_amplitude_is_20_db_more_in_every_band():
    feature = features.get("logmel")
    np.testing.assert_allclose(feature(10 * noise(8000)) - feature(noise(8000)), 20.0, atol=1e-3)


def test_gain_moves_the_zeroth_coefficient_only():
    feature = features.get("mfcc")
    change = feature(10 * noise(8000)) - feature(noise(8000))
    np.testing.assert_allclose(change[:, 0], 20 * np.sqrt(80), atol=1e-2)
    np.testing.assert_allclose(change[:, 1:], 0, atol=1e-2)


def test_levels_stay_within_the_range_below_the_maximum():
    wave = np.concatenate([tone(440, 16000), np.zeros(16000, np.float32)])
    limited = features.get("logmel(top_db=50)")(wave)
    free = features.get("logmel(top_db=0)")(wave)
    assert limited.max() - limited.min() == pytest.approx(50, abs=1e-4)
    assert free.min() == pytest.approx(-100)


def test_preemphasis_lifts_high_bands_and_lowers_low_ones():
    change = features.get("logmel(preemphasis=0.97)")(noise(16000)) - features.get("logmel")(noise(16000))
    assert change[:, 0].mean() < -20
    assert change[:, -1].mean() == pytest.approx(20 * np.log10(1.97), abs=0.5)


def test_deltas_are_those_of_torchaudio():
    columns = noise(400).reshape(100, 4)
    theirs = torchaudio.functional.compute_deltas(torch.from_numpy(columns.T.copy()), win_length=5).T
    np.testing.assert_allclose(delta(columns), theirs.numpy(), atol=1e-6)


def test_the_delta_of_a_ramp_is_its_slope():
    ramp = np.arange(20, dtype=np.float32)[:, None] * 3
    np.testing.assert_allclose(delta(ramp)[2:-2], 3.0, rtol=1e-6)


def test_mfcc_lists_coefficients_then_deltas_then_accelerations():
    feature = features.get("mfcc(n=2,deltas=2)")
    assert feature.names == ("mfcc0", "mfcc1", "d_mfcc0", "d_mfcc1", "dd_mfcc0", "dd_mfcc1")
    values = feature(noise(8000))
    np.testing.assert_array_equal(values[:, 2:4], delta(values[:, :2]))
    np.testing.assert_array_equal(values[:, 4:], delta(values[:, 2:4]))


def test_cmvn_gives_zero_mean_and_unit_variance_over_the_wave():
    values = features.get("mfcc(cmvn=true,deltas=1)")(noise(16000))
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "n_fft", "first", "last"),
    [
        ("log_stft", 512, 0, 256),
        ("log_stft(rate=44100,window=2048,hop=512)", 2048, 0, 1024),
        ("log_stft(rate=22050,window=551)", 1024, 0, 512),
        ("log_stft(rate=44100,window=1000,n_fft=1000)", 1000, 0, 500),
        ("log_stft(band=telephone)", 256, 10, 108),  # 300 and 3400 Hz over 31.25 Hz: 9.6 and 108.8
    ],
)
def test_log_stft_is_that_of_librosa_within_a_hundredth_of_a_decibel(spec, n_fft, first, last):
    feature = features.get(spec)
    wave = noise(feature.rate) + tone(440, feature.rate)
    stft = librosa.stft(wave, n_fft=n_fft, win_length=feature.window, hop_length=feature.hop)
    magnitude = np.abs(stft)[first : last + 1]
    np.testing.assert_allclose(feature(wave), librosa.amplitude_to_db(magnitude, top_db=80).T, atol=1e-2)


def test_log_stft_names_its_bins_and_peaks_at_that_of_a_tone():
    feature = features.get("log_stft(band=telephone)")
    assert (feature.names[0], feature.names[-1]) == ("bin10", "bin108")
    assert feature.names[feature(tone(1000, 8000))[50].argmax()] == "bin32"


def test_log_stft_keeps_the_bins_between_its_edges():
    whole = features.get("log_stft")(noise(16000))
    part = features.get("log_stft(fmin=1000,fmax=2000)")(noise(16000))
    np.testing.assert_array_equal(part, whole[:, 32:65])
    with pytest.raises(errors.UsageError, match=r"there must be two bins of 31\.25 Hz"):
        features.get("log_stft(fmin=1000,fmax=1010)")
