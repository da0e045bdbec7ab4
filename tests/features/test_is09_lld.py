import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from ser_ray import errors, features
from ser_ray.features.is09_lld import Is09Lld

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[2] / "../shared/data"))
RAW = Is09Lld(smooth=1, deltas=False)
RMS, MFCC, ZCR, VOICING, F0 = 0, slice(1, 13), 13, 14, 15


def sixteen_bit(wave: np.ndarray) -> np.ndarray:
    """What openSMILE makes of float samples, so that both see the same."""
    return (np.trunc(wave * 32768) / 32768).astype(np.float32)


def voice(hz, seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    """Harmonics of a pitch (a number, or a function of time) with a falling spectrum."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(hz(t) if callable(hz) else np.full(len(t), hz)) / rate
    return sum(0.2 / k * np.sin(k * phase) for k in range(1, 12)).astype(np.float32)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def tone(hz: float, samples: int = 8000, rate: int = 16000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(samples) / rate + 0.3).astype(np.float32)


def emodb(count: int) -> list[np.ndarray]:
    paths = sorted((CORPORA / "emodb/wav").glob("*.wav"))
    if not paths:
        pytest.skip(f"EMO-DB is not below {CORPORA}; set SER_RAY_CORPORA")
    return [soundfile.read(path, dtype="float32")[0] for path in paths[:: len(paths) // count]]


def opensmile_level(wave: np.ndarray, level: str, rate: int = 16000):
    opensmile = pytest.importorskip("opensmile", reason="the extra [opensmile] is not installed")
    place = Path(opensmile.__file__).parent / "core/config/is09-13/IS09_emotion.conf"
    smile = opensmile.Smile(feature_set=str(place), feature_level=level)
    return smile.process_signal(wave, rate)


def test_names_and_order_are_those_of_the_challenge():
    names = Is09Lld().names
    assert len(names) == 32
    assert names[:3] == ("pcm_RMSenergy_sma", "pcm_fftMag_mfcc_sma[1]", "pcm_fftMag_mfcc_sma[2]")
    assert names[12:16] == ("pcm_fftMag_mfcc_sma[12]", "pcm_zcr_sma", "voiceProb_sma", "F0_sma")
    assert names[16:18] == ("pcm_RMSenergy_sma_de", "pcm_fftMag_mfcc_sma_de[1]")
    assert names[31] == "F0_sma_de"
    assert RAW.names[12:] == ("pcm_fftMag_mfcc[12]", "pcm_zcr", "voiceProb", "F0")


@pytest.mark.parametrize("rate", [16000, 8000])
def test_opensmile_gives_the_same_names_and_values(rate):
    """RMS and voicing within 1e-5, MFCC within 2e-4; openSMILE leaves one pair of samples out of the ZCR."""
    hiss = noise(2 * rate, 3) / 100
    wave = sixteen_bit(voice(lambda t: 150 + 60 * t, 2.0, rate) + hiss)
    wave[rate // 2 : rate] = sixteen_bit(100 * hiss[rate // 2 : rate])
    descriptors, deltas = (opensmile_level(wave, level, rate) for level in ("lld", "lld_de"))
    feature = Is09Lld(rate=rate)
    assert feature.names == (*descriptors.columns, *deltas.columns)
    ours = feature(wave)[:-3]  # openSMILE appends a frame, so the last deltas differ
    theirs = np.concatenate([table.to_numpy()[: len(ours)] for table in (descriptors, deltas)], axis=1)
    for first in (0, 16):
        np.testing.assert_allclose(ours[:, first + RMS], theirs[:, first + RMS], atol=1e-5)
        cepstra = slice(first + MFCC.start, first + MFCC.stop)
        np.testing.assert_allclose(ours[:, cepstra], theirs[:, cepstra], atol=2e-4)
        np.testing.assert_allclose(ours[:, first + ZCR], theirs[:, first + ZCR], atol=1.01 / feature.window)
        np.testing.assert_allclose(ours[:, first + VOICING], theirs[:, first + VOICING], atol=1e-5)
    settled = np.arange(110, len(ours))  # some frames after the hiss, since openSMILE smooths the pitch
    assert theirs[settled, VOICING].min() > 0.6
    np.testing.assert_allclose(ours[settled, F0], theirs[settled, F0], rtol=0.02)


def test_opensmile_gives_the_same_values_of_speech():
    """As above, voicing in 99.9 % of frames; F0, which openSMILE smooths, within 4 % in half of them."""
    waves = emodb(5)
    found = [Is09Lld()(wave)[:-3] for wave in waves]
    ours = np.concatenate(found)
    parts = []
    for wave, part in zip(waves, found, strict=True):
        tables = [opensmile_level(wave, level).to_numpy()[: len(part)] for level in ("lld", "lld_de")]
        parts.append(np.concatenate(tables, axis=1))
    theirs = np.concatenate(parts)
    np.testing.assert_allclose(ours[:, RMS], theirs[:, RMS], atol=1e-4)
    for first in (0, 16):
        cepstra = slice(first + MFCC.start, first + MFCC.stop)
        np.testing.assert_allclose(ours[:, cepstra], theirs[:, cepstra], atol=5e-4)
    assert np.corrcoef(ours[:, ZCR], theirs[:, ZCR])[0, 1] > 0.998  # it counts zeros too
    assert np.mean(np.abs(ours[:, VOICING] - theirs[:, VOICING]) < 1e-4) > 0.999
    assert np.corrcoef(ours[:, F0], theirs[:, F0])[0, 1] > 0.8
    clear = (ours[:, VOICING] > 0.7) & (ours[:, F0] > 60) & (theirs[:, F0] > 60)
    assert clear.sum() > 100
    apart = np.abs(ours[clear, F0] / theirs[clear, F0] - 1)
    assert np.mean(apart < 0.2) > 0.75
    assert np.median(apart) < 0.04


def test_pitch_of_speech_is_that_of_the_tracker_with_longer_frames():
    """Within 5 % in 95 % of the frames that both are sure of."""
    apart = []
    for wave in emodb(10):
        ours = RAW(wave)
        longer = features.get("f0")(wave)[1 : len(ours) + 1]  # frames around almost the same times
        sure = (ours[:, F0] > 0) & (ours[:, VOICING] > 0.6) & (longer[:, 1] > 0.95)
        apart.append(np.abs(ours[sure, F0] / longer[sure, 0] - 1))
    apart = np.concatenate(apart)
    assert len(apart) > 300
    assert np.mean(apart < 0.05) > 0.95


def test_energy_of_a_tone_is_that_of_the_tapered_frame():
    taper = np.hamming(400)
    found = Is09Lld(smooth=1, deltas=False, preemphasis=0.0)(0.5 * tone(1000))
    np.testing.assert_allclose(found[:, RMS], 0.5 * np.sqrt(np.mean(taper**2) / 2), rtol=1e-3)


def test_preemphasis_begins_anew_in_each_frame():
    level = RAW(np.full(400, 0.5, np.float32))[0, RMS]
    np.testing.assert_allclose(level, 0.5 * 0.03 * np.sqrt(np.mean(np.hamming(400) ** 2)), rtol=1e-4)


@pytest.mark.parametrize("hz", [250.0, 1000.0, 3900.0])
def test_zero_crossings_of_a_tone_count_twice_its_frequency(hz):
    np.testing.assert_allclose(RAW(tone(hz))[:, ZCR], 2 * hz / 16000, atol=1 / 400)


def test_a_sample_of_zero_has_the_sign_of_the_one_before():
    wave = np.zeros(400, np.float32)
    wave[[10, 20, 21, 30]] = (0.1, 0.2, -0.1, 0.1)
    assert RAW(wave)[0, ZCR] == np.float32(2 / 400)
    assert RAW(-wave)[0, ZCR] == np.float32(2 / 400)


def test_frames_lie_within_the_wave():
    assert [len(RAW(noise(samples))) for samples in (1, 400, 559, 560, 16000)] == [1, 1, 1, 2, 98]


@pytest.mark.parametrize("hz", [130.0, 180.0, 220.0, 311.0, 440.0])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_pitch_of_a_voice_is_right_within_one_percent(hz, rate):
    found = Is09Lld(rate=rate, smooth=1, voicing=0.4)(voice(hz, rate=rate))
    np.testing.assert_allclose(found[:, F0], hz, rtol=0.01)


def test_pitch_follows_a_glide():
    found = RAW(voice(lambda t: 200 + 100 * t))
    centres = 0.0125 + 0.010 * np.arange(len(found))
    np.testing.assert_allclose(found[:, F0], 200 + 100 * centres, rtol=0.01)


def test_a_low_voice_needs_a_lower_cut():
    assert (RAW(voice(100.0))[:, F0] == 0).all()
    lower = Is09Lld(smooth=1, voicing=0.3)(voice(100.0))
    np.testing.assert_allclose(lower[:, F0], 100, rtol=0.01)


def test_noise_and_silence_have_no_pitch():
    found = RAW(noise(16000))
    assert found[:, VOICING].max() < 0.55
    assert (found[:, F0] == 0).all()
    silence = np.zeros(4000, np.float32)
    np.testing.assert_allclose(RAW(silence), 0, atol=1e-4)
    assert (Is09Lld(smooth=1, voicing=0.0)(silence)[:, F0] == 0).all()


def test_below_one_step_of_16_bits_the_cepstrum_is_that_of_silence():
    np.testing.assert_allclose(RAW(noise(4000) * np.float32(1e-7))[:, MFCC], 0, atol=1e-4)


def test_pitch_survives_the_loss_of_the_fundamental_on_the_telephone():
    band = butter(5, (300, 3400), "bandpass", fs=8000, output="sos")
    wave = sosfilt(band, voice(200.0, rate=8000)).astype(np.float32)[800:]
    feature = Is09Lld(band="telephone")
    assert (feature.rate, feature.window, feature.fmin, feature.fmax) == (8000, 200, 300.0, 3400.0)
    np.testing.assert_allclose(feature(wave)[:, F0], 200, rtol=0.01)


@pytest.mark.parametrize("gain", [0.05, 4.0])
def test_gain_scales_the_energy_and_changes_nothing_else(gain):
    wave = voice(lambda t: 200 + 30 * np.sin(6 * t)) + noise(16000) / 10
    louder, found = RAW(np.float32(gain) * wave), RAW(wave)
    np.testing.assert_allclose(louder[:, RMS], gain * found[:, RMS], rtol=1e-5)
    np.testing.assert_allclose(louder[:, 1:], found[:, 1:], rtol=1e-4, atol=1e-3)


def test_the_moving_average_is_centred_and_repeats_the_ends():
    wave = noise(4000)
    raw, smoothed = RAW(wave), Is09Lld(deltas=False)(wave)
    np.testing.assert_allclose(smoothed[1:-1], (raw[:-2] + raw[1:-1] + raw[2:]) / 3, atol=1e-5)
    np.testing.assert_allclose(smoothed[0], (2 * raw[0] + raw[1]) / 3, atol=1e-5)
    np.testing.assert_allclose(smoothed[-1], (2 * raw[-1] + raw[-2]) / 3, atol=1e-5)


def test_deltas_are_the_regression_over_two_frames_to_either_side():
    found = Is09Lld()(noise(8000))
    x = found[:, :16].astype(np.float64)
    for t in range(2, len(x) - 2):
        slope = (x[t + 1] - x[t - 1] + 2 * (x[t + 2] - x[t - 2])) / 10
        np.testing.assert_allclose(found[t, 16:], slope, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smooth": 2}, "odd number of frames"),
        ({"n_fft": 256}, "the window has 400 samples"),
        ({"window": 64, "n_fft": 64}, "four periods of 500 Hz"),
        ({"fmin": 1000.0, "fmax": 1100.0}, "mel bands would be empty"),
    ],
)
def test_settings_that_leave_a_descriptor_undefined_are_refused(settings, message):
    with pytest.raises(errors.UsageError, match=message):
        Is09Lld(**settings)


@pytest.mark.parametrize("settings", [{"rate": 44100}, {"rate": 4000}, {"smooth": 9, "hop": 80}])
def test_other_rates_and_sizes_work(settings):
    feature = Is09Lld(**settings)
    found = feature(voice(250.0, 1.0, feature.rate))
    assert found.shape == (1 + (feature.rate - feature.window) // feature.hop, 32)
    np.testing.assert_allclose(found[:, F0], 250, rtol=0.02)
