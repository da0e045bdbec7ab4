"""Features of the waveform's frames, and what all frame features have in common."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray import features
from ser_ray.features.feature import Batch, together

FRAME_FEATURES = (
    *("logmel", "mfcc", "log_stft", "spectral_shape", "chroma", "tonnetz", "contrast", "rms", "zcr", "f0"),
    *("chroma(window=400)", "tonnetz(window=400)", "contrast(window=400)", "mfcc(preemphasis=0.97)"),
)

AT_ANY_RATE = ("log_stft", "spectral_shape", "chroma", "tonnetz", "contrast", "rms", "zcr", "f0")


def noise(samples: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def tone(hz: float, rate: int = 16000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(rate) / rate + 0.1).astype(np.float32)


@pytest.mark.parametrize(
    ("overrides", "rate", "window", "hop"),
    [
        ("", 16000, 400, 160),
        ("(band=telephone)", 8000, 200, 80),
        ("(rate=44100,window=2048,hop=512)", 44100, 2048, 512),
        ("(rate=22050)", 22050, 551, 220),
    ],
)
def test_rms_and_zero_crossings_are_those_of_librosa(overrides, rate, window, hop):
    wave = noise(rate) + 0.05
    frames = {"frame_length": window, "hop_length": hop}
    rms = librosa.feature.rms(y=wave, **frames).T
    crossings = librosa.feature.zero_crossing_rate(wave, **frames).T
    ours = features.get("rms" + overrides)(wave)
    np.testing.assert_allclose(ours[: len(rms)], rms, rtol=1e-5)
    np.testing.assert_allclose(features.get("zcr" + overrides)(wave)[: len(rms)], crossings, atol=1e-6)
    assert len(ours) - len(rms) in (0, 1)  # an odd window of librosa's may miss the last multiple of the hop


@pytest.mark.parametrize("hz", [100.0, 1000.0, 5000.0])
def test_the_rms_of_a_sine_is_its_amplitude_over_the_square_root_of_two(hz):
    found = features.get("rms")(0.5 * tone(hz))[2:-2]
    np.testing.assert_allclose(found, 0.5 / np.sqrt(2), rtol=0.01)


@pytest.mark.parametrize("hz", [100.0, 1000.0, 5000.0])
@pytest.mark.parametrize(("spec", "rate"), [("zcr", 16000), ("zcr(rate=44100)", 44100)])
def test_a_tone_crosses_zero_twice_a_period_give_or_take_one_crossing_a_frame(spec, rate, hz):
    feature = features.get(spec)
    np.testing.assert_allclose(feature(tone(hz, rate))[2:-2], 2 * hz / rate, atol=1.01 / feature.window)


def test_an_offset_larger_than_the_wave_stops_the_crossings():
    assert features.get("zcr")(noise(8000)).mean() == pytest.approx(0.5, abs=0.02)
    assert not features.get("zcr")(noise(8000) + 1).any()


def test_rms_follows_a_step():
    wave = np.concatenate([np.zeros(8000), np.full(8000, 0.5)]).astype(np.float32)
    found = features.get("rms")(wave)[:, 0]
    assert (found[48], found[50], found[53]) == pytest.approx((0, 0.5 / np.sqrt(2), 0.5))


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(AT_ANY_RATE), rate=st.integers(4000, 192_000))
def test_features_exist_at_any_rate(name, rate):
    feature = features.get(f"{name}(rate={rate})")
    values = feature(noise(rate // 10))
    assert values.shape[1] == len(feature.names)
    assert np.isfinite(values).all()


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(1, 20_000), hop=st.integers(50, 400))
def test_features_of_one_hop_have_their_rows_at_the_same_times(samples, hop):
    wave = noise(samples)
    names = ("mfcc", "log_stft", "rms", "zcr", "spectral_shape")
    counts = {len(features.get(f"{name}(hop={hop})")(wave)) for name in names}
    assert counts == {1 + max(samples, 400) // hop}


def test_features_together_equal_each_alone():
    chosen = [features.get(spec) for spec in FRAME_FEATURES]
    waves = [noise(samples, samples) for samples in (20_000, 300, 48_000, 5000, 44_100)]
    for feature, shared in zip(chosen, together(chosen, waves), strict=True):
        for wave, values in zip(waves, shared, strict=True):
            alone = feature(wave)  # BLAS rounds by shape
            np.testing.assert_allclose(values, alone, rtol=1e-5, atol=1e-5, err_msg=feature.spec)


def test_features_of_the_same_frames_share_one_spectrum():
    batch = Batch([noise(16000)], shared=True)
    chroma, tonnetz, contrast = (features.get(name) for name in ("chroma", "tonnetz", "contrast"))
    assert chroma._power(batch) is contrast._power(batch)
    batch.values(tonnetz)
    assert batch.values(chroma) is batch.once(chroma, list)
    assert features.get("mfcc")._power(batch) is features.get("log_stft")._power(batch)
    assert features.get("mfcc(preemphasis=0.9)")._power(batch) is not features.get("mfcc")._power(batch)
    alone = Batch([noise(16000)])
    streamed = features.get("mfcc")._power(alone)
    assert not isinstance(streamed.blocks, list)
    np.testing.assert_array_equal(
        np.concatenate(list(streamed.blocks)), np.concatenate(features.get("mfcc")._power(batch).blocks)
    )
