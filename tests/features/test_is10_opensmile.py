import logging
import pickle
import sys

import numpy as np
import pytest

opensmile = pytest.importorskip("opensmile", reason="the extra opensmile is not installed")

from ser_ray import errors, features  # noqa: E402
from ser_ray.features import is10_opensmile  # noqa: E402


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def tone(hz: float, seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return sum(0.2 / k * np.sin(2 * np.pi * k * hz * t) for k in range(1, 8)).astype(np.float32)


def smile():
    return opensmile.Smile(opensmile.FeatureSet.IS10, opensmile.FeatureLevel.Functionals)


def test_names_are_the_columns_of_opensmile():
    feature = features.get("is10_opensmile")
    assert feature.names == tuple(smile().feature_names)
    assert feature.shape == (1582,)


@pytest.mark.parametrize("spec", ["is10_opensmile", "is10_opensmile(band=telephone)"])
def test_values_are_those_of_opensmile(spec):
    feature = features.get(spec)
    wave = tone(150, rate=feature.rate) + noise(feature.rate) / 10
    expected = smile().process_signal(wave, feature.rate).to_numpy()[0]
    np.testing.assert_array_equal(feature(wave), expected.astype(np.float32))


def test_pitch_and_duration_come_out():
    feature = features.get("is10_opensmile")
    found = dict(zip(feature.names, feature(tone(200, 2.0)), strict=True))
    assert found["F0final_sma_quartile2"] == pytest.approx(200, rel=0.02)
    assert found["F0final__Turn_duration"] == pytest.approx(2.0, abs=0.1)


def test_the_telephone_variant_reads_8_khz():
    assert features.get("is10_opensmile").with_band("telephone").rate == 8000
    with pytest.raises(errors.UsageError, match="rate=4000"):
        features.get("is10_opensmile(rate=4000)")


def test_a_batch_equals_single_calls():
    feature, waves = features.get("is10_opensmile"), [noise(n, n) for n in (1, 8000, 1599, 16000, 8000)]
    for wave, values in zip(waves, feature.batch(waves), strict=True):
        np.testing.assert_array_equal(values, feature(wave))


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("samples", [1, 400, 1119, 1600, 4799])
def test_short_waves_and_silence_give_finite_values(rate, samples):
    feature = features.get(f"is10_opensmile(rate={rate})")
    assert np.isfinite(feature.batch([noise(samples), np.zeros(samples, np.float32)])).all()


def test_a_short_wave_is_filled_up_with_zeros():
    feature, wave = features.get("is10_opensmile"), noise(900)
    np.testing.assert_array_equal(feature(wave), feature(np.pad(wave, (0, 700))))


def test_samples_beyond_full_scale_clip_and_do_not_come_around():
    feature, wave = features.get("is10_opensmile"), tone(150)
    loud = np.where(np.abs(wave) > 0.1, np.sign(wave), 0.0).astype(np.float32)
    np.testing.assert_array_equal(feature(loud), feature(3 * loud))
    np.testing.assert_array_equal(feature(loud), feature(np.clip(loud, -1, 32767 / 32768)))
    assert not np.allclose(feature(loud), smile().process_signal(loud, 16000).to_numpy()[0], atol=1e-3)


def test_the_licence_is_told_once_a_process(caplog):
    is10_opensmile._smile.cache_clear()
    is10_opensmile._say_whose.cache_clear()
    with caplog.at_level(logging.WARNING):
        features.get("is10_opensmile").announce()
        features.get("is10_opensmile").batch([noise(2000), noise(2000)])
        features.get("is10_opensmile(band=telephone)")(noise(2000))
    assert [record.message for record in caplog.records] == [is10_opensmile.NOTICE]
    assert "non-commercial" in is10_opensmile.NOTICE


def test_it_travels_without_opensmile():
    feature = features.get("is10_opensmile")
    feature(noise(2000))
    assert pickle.loads(pickle.dumps(feature)) == feature


def test_without_opensmile_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(errors.UsageError, match=r"pip install 'ser-ray\[opensmile\]'"):
        features.get("is10_opensmile")
