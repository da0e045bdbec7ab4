import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt
from sklearn.metrics import recall_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_ray import errors, features
from ser_ray.features.pitch import smooth_pitch, track_pitch
from ser_ray.features.spectrum import power_spectra, taper, whole_frames
from ser_ray.features.statistics import percentiles

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[2] / "../shared/data"))


def voice(hz, seconds: float = 2.0, rate: int = 16000) -> np.ndarray:
    """Harmonics of a pitch (a number, or a function of time) with a falling spectrum."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(hz(t) if callable(hz) else np.full(len(t), hz)) / rate
    return sum(0.2 / k * np.sin(k * phase) for k in range(1, 12)).astype(np.float32)


def noise(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate)).astype(np.float32)


def columns(wave: np.ndarray, spec: str = "mfcc_stats") -> dict[str, float]:
    feature = features.get(spec)
    return dict(zip(feature.names, feature(wave).tolist(), strict=True))


def pitch_of(wave: np.ndarray, rate: int = 16000) -> tuple[np.ndarray, np.ndarray]:
    feature = features.get("mfcc_stats" if rate == 16000 else "mfcc_stats(band=telephone)")
    frames = whole_frames([wave], feature)
    tracks = [track_pitch(power, rate, taper(feature.window)) for power in power_spectra(frames, feature)]
    semitones, harmonicity = (np.concatenate(part)[: len(frames)] for part in zip(*tracks, strict=True))
    return 55 * 2 ** (semitones / 12), harmonicity


@pytest.mark.parametrize("hz", [75.0, 100.0, 143.0, 220.0, 311.0, 440.0])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_pitch_of_a_voice_is_right_within_one_percent(hz, rate):
    found, harmonicity = pitch_of(voice(hz, rate=rate), rate)
    np.testing.assert_allclose(found, hz, rtol=0.01)
    assert harmonicity.min() > 0.9


@pytest.mark.parametrize("hz", [100.0, 200.0])
def test_pitch_survives_the_loss_of_the_fundamental_on_the_telephone(hz):
    band = butter(5, (300, 3400), "bandpass", fs=8000, output="sos")
    found, _ = pitch_of(sosfilt(band, voice(hz, rate=8000)).astype(np.float32)[800:], 8000)
    np.testing.assert_allclose(found, hz, rtol=0.01)


def test_noise_is_not_voiced():
    _, harmonicity = pitch_of(noise(2.0))
    assert np.mean(harmonicity > 0.5) < 0.05


def test_silence_has_no_harmonicity():
    _, harmonicity = pitch_of(np.zeros(16000, np.float32))
    assert harmonicity.max() == 0


def test_a_single_octave_error_is_mended():
    pitch = np.full(20, 12.0, np.float32)
    pitch[7], pitch[15] = 24.0, 0.0
    np.testing.assert_array_equal(smooth_pitch(pitch), 12.0)


def test_pitch_statistics_of_a_glide_over_one_octave():
    found = columns(voice(lambda t: 110 * 2 ** (t / 2)))
    assert found["pitch_mean"] == pytest.approx(18, abs=0.2)
    assert found["pitch_slope"] == pytest.approx(6, abs=0.1)
    assert found["pitch_p10_90"] == pytest.approx(0.8 * 12, abs=0.3)
    assert found["pitch_rising"] > 0.95
    assert found["pitch_change_abs"] == pytest.approx(0.06, abs=0.01)
    assert found["pitch_first_third"] == pytest.approx(-4, abs=0.3)
    assert found["pitch_last_third"] == pytest.approx(4, abs=0.3)


def test_rhythm_counts_voiced_stretches_and_gaps():
    parts = [voice(150, 0.5), 0.3 * noise(0.25), voice(150, 0.5), 0.3 * noise(0.25), voice(150, 0.5)]
    found = columns(np.concatenate(parts))
    assert found["rhythm_voiced_mean_s"] == pytest.approx(0.5, abs=0.05)
    assert found["rhythm_unvoiced_mean_s"] == pytest.approx(0.25, abs=0.05)
    assert found["rhythm_voiced_per_s"] == pytest.approx(3 / 2, abs=0.1)
    assert found["rhythm_voiced"] == pytest.approx(0.75, abs=0.05)
    assert found["rhythm_log_duration"] == pytest.approx(np.log(2), abs=0.05)


@pytest.mark.parametrize(("hz", "column"), [(4, "level_3_5hz"), (10, "level_8_12hz"), (2, "level_1.5_3hz")])
def test_a_modulated_level_peaks_in_its_modulation_band(hz, column):
    time = np.arange(48000) / 16000
    found = columns((noise(3.0) * (1.2 + np.sin(2 * np.pi * hz * time))).astype(np.float32))
    levels = {name: value for name, value in found.items() if name.startswith("level_") and "hz" in name}
    assert max(levels, key=levels.get) == column


def test_silence_around_an_utterance_changes_little():
    wave = voice(lambda t: 150 + 30 * np.sin(6 * t)) * np.float32(0.5) + noise(2.0) / 100
    hush = noise(1.0, seed=3) / 10_000
    alone, framed = columns(wave), columns(np.concatenate([hush, wave, hush]))
    for name in ("mfcc1_mean", "mfcc2_voiced_p50", "pitch_mean", "rhythm_voiced_mean_s", "centroid_mean"):
        assert framed[name] == pytest.approx(alone[name], rel=0.05), name


@pytest.mark.parametrize("gain", [0.05, 4.0])
def test_gain_changes_nothing(gain):
    wave = voice(lambda t: 150 + 30 * np.sin(6 * t)) + noise(2.0) / 10
    feature = features.get("mfcc_stats")
    np.testing.assert_allclose(feature(np.float32(gain) * wave), feature(wave), atol=0.02)


def test_brighter_sound_moves_the_spectral_columns_up():
    wave = noise(2.0)
    dark = sosfilt(butter(2, 1000, fs=16000, output="sos"), wave).astype(np.float32)
    bright, dull = columns(wave), columns(dark)
    for name in ("centroid_mean", "rolloff50_mean", "rolloff90_mean", "slope_mean", "flatness_mean"):
        assert bright[name] > dull[name] + 0.5, name
    for name in ("alpha_ratio_mean", "hammarberg_mean"):
        assert bright[name] < dull[name] - 3, name


@pytest.mark.parametrize("frames", [1, 2, 7, 100])
def test_percentiles_are_those_of_numpy(frames):
    rows = noise(1.0)[: 3 * frames].reshape(3, frames)
    ours = percentiles(rows, (0, 5, 25, 50, 95, 100))
    np.testing.assert_allclose(ours, np.percentile(rows, (0, 5, 25, 50, 95, 100), axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mfcc_stats(n_fft=640)", "a period of 60 Hz"),
        ("mfcc_stats(hop=320)", "modulations to 50 Hz"),
        ("mfcc_stats(fmin=2000)", "below 2 kHz"),
        ("mfcc_stats(fmax=1500)", "above 2 kHz"),
        ("mfcc_stats(n=3)", "n=3 will not do"),
        ("mfcc_stats(n=41)", "n_mels=40"),
    ],
)
def test_settings_that_leave_a_statistic_undefined_are_refused(spec, message):
    with pytest.raises(errors.UsageError) as caught:
        features.get(spec)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "spec", ["mfcc_stats(rate=44100)", "mfcc_stats(hop=8)", "mfcc_stats(n=6,n_mels=8,fmin=1000,fmax=3000)"]
)
def test_other_rates_and_sizes_work(spec):
    feature = features.get(spec)
    values = feature(voice(150, 1.0, feature.rate))
    assert np.isfinite(values).all()
    assert len(values) == len(set(feature.names))


def test_emodb_speakers_left_out_are_recognised():
    """Half of EMO-DB, to stay quick: macro recall of an RBF SVM, each speaker unseen."""
    paths = sorted((CORPORA / "emodb/wav").glob("*.wav"))[::2]
    if not paths:
        pytest.skip(f"EMO-DB is not below {CORPORA}; set SER_RAY_CORPORA")
    feature = features.get("mfcc_stats")
    X = np.stack(feature.batch([soundfile.read(path, dtype="float32")[0] for path in paths]))
    emotions, speakers = [path.name[5] for path in paths], [path.name[:2] for path in paths]
    svm = make_pipeline(StandardScaler(), SVC(C=3, gamma=0.3 / X.shape[1], class_weight="balanced"))
    found = cross_val_predict(svm, X, emotions, groups=speakers, cv=LeaveOneGroupOut())
    assert recall_score(emotions, found, average="macro") > 0.70


def test_direct_current_changes_nothing():
    wave = voice(lambda t: 150 + 30 * np.sin(6 * t)) * np.float32(0.3) + noise(2.0) / 100
    feature = features.get("mfcc_stats")
    np.testing.assert_allclose(feature(wave + np.float32(0.05)), feature(wave), atol=0.01)
