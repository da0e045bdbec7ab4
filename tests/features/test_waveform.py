import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray import errors, features
from ser_ray.features.waveform import Waveform

SPECS = ("waveform", "waveform(band=telephone)", "waveform_16k", "waveform_16k(band=telephone,seconds=4)")


def ramp(samples: int) -> np.ndarray:
    return np.arange(samples, dtype=np.float32) / 2**20


@pytest.mark.parametrize("spec", SPECS)
def test_the_wave_comes_out_as_it_went_in(spec):
    feature = features.get(spec)
    wave = ramp(20000)
    values = feature(wave)
    assert feature.shape == (None, 1)
    assert feature.names == ("amplitude",)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, wave[:, None])
    values[:] = 9.0
    np.testing.assert_array_equal(wave, ramp(20000))


@pytest.mark.parametrize(
    ("overrides", "samples", "first", "last"),
    [
        ("seconds=4", 100_000, 0, 64_000),
        ("seconds=4", 64_000, 0, 64_000),
        ("seconds=4", 1000, 0, 1000),
        ("start_s=0.5", 100_000, 8000, 100_000),
        ("start_s=0.5", 8001, 8000, 8001),
        ("start_s=0.5", 8000, 0, 8000),  # over before the stretch begins: all of it
        ("start_s=0.5,seconds=1", 100_000, 8000, 24_000),
        ("start_s=0.5,seconds=1", 20_000, 4000, 20_000),  # from earlier on
        ("start_s=0.5,seconds=1", 10_000, 0, 10_000),
        ("seconds=0.00001", 100, 0, 1),
        ("rate=44100,start_s=0.5,seconds=1", 100_000, 22_050, 66_150),
        ("band=telephone,start_s=0.5,seconds=1", 100_000, 4000, 12_000),
    ],
)
def test_a_stretch_is_cut_in_seconds(overrides, samples, first, last):
    values = features.get(f"waveform({overrides})")(ramp(samples))
    np.testing.assert_array_equal(values[:, 0], ramp(samples)[first:last])


@given(
    samples=st.integers(1, 3000),
    start_s=st.floats(0, 0.3, allow_subnormal=False),
    seconds=st.floats(0, 0.3, allow_subnormal=False),
)
def test_a_stretch_is_part_of_the_wave_and_as_long_as_it_can_be(samples, start_s, seconds):
    values = Waveform(rate=8000, start_s=start_s, seconds=seconds)(ramp(samples))[:, 0]
    first = round(float(values[0]) * 2**20)
    np.testing.assert_array_equal(values, ramp(samples)[first : first + len(values)])
    if seconds:
        assert len(values) == min(samples, max(1, round(seconds * 8000)))
    assert first <= round(start_s * 8000)


def test_a_batch_equals_single_calls():
    feature = features.get("waveform(start_s=0.1,seconds=0.3)")
    waves = [ramp(samples) for samples in (1, 1600, 5000, 16000)]
    for wave, values in zip(waves, feature.batch(waves), strict=True):
        np.testing.assert_array_equal(values, feature(wave))


def test_the_telephone_variant_has_the_bands_rate_or_stays_at_16_khz():
    narrow = features.with_band("waveform(start_s=1,seconds=4)", "telephone")
    assert (narrow.rate, narrow.start_s, narrow.seconds) == (8000, 1.0, 4.0)
    assert narrow.with_band("wide") == features.get("waveform(start_s=1,seconds=4)")
    narrow = features.with_band("waveform_16k(seconds=8)", "telephone")
    assert (narrow.rate, narrow.band, narrow.seconds) == (16000, "telephone", 8.0)


def test_stretches_are_not_mixed_up_in_a_store():
    specs = [*SPECS, "waveform(seconds=4)", "waveform(start_s=4)", "waveform(rate=8000)"]
    assert len({features.get(spec).fingerprint for spec in specs}) == len(specs)
    assert features.get("waveform(seconds=4.0,start_s=0)").spec == "waveform(seconds=4.0)"


@pytest.mark.parametrize("overrides", ["seconds=-1", "start_s=-0.1", "seconds=1e9", "seconds=long"])
def test_stretches_that_make_no_sense_are_refused(overrides):
    with pytest.raises(errors.UsageError, match="will not do"):
        features.get(f"waveform({overrides})")


def test_the_other_rate_is_refused_where_16_khz_is_needed():
    with pytest.raises(errors.UsageError, match="rate=8000"):
        features.get("waveform_16k(rate=8000)")
