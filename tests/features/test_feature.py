import dataclasses
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray import errors, features

SPECS = (
    "waveform",
    "mfcc",
    "mfcc(deltas=2,cmvn=true)",
    "logmel",
    "mfcc_stats",
    "mfcc(band=telephone)",
    "mfcc_stats(band=telephone)",
    "is09_lld",
    "is09_lld(band=telephone,smooth=1,deltas=false)",
    "image(of=contrast,height=40,width=30)",
    "image(band=telephone,height=40,width=30)",
    "colour_image",
    "colour_image(band=telephone,of=mfcc,per_row=true)",
    "log_stft",
    "log_stft(band=telephone)",
    "chroma",
    "chroma(band=telephone)",
    "contrast",
    "contrast(band=telephone)",
    "tonnetz",
    "rms",
    "rms(band=telephone)",
    "zcr",
    "f0",
    "f0(band=telephone)",
    "pitch_stats",
    "pitch_stats(band=telephone)",
    "spectral_shape",
    "spectral_shape(band=telephone)",
)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS)
def test_result_has_the_shape_and_names_it_declares(spec):
    feature = features.get(spec)
    values = feature(noise(feature.rate))
    assert values.dtype == np.float32
    assert values.shape == tuple(len(values) if size is None else size for size in feature.shape)
    assert len(set(feature.names)) == len(feature.names) == values.shape[-1]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("samples", [1, 100, 1000, 9999])
def test_silence_and_waves_below_one_window_give_finite_values(spec, samples):
    feature = features.get(spec)
    silent = feature(np.zeros(samples, np.float32))
    short = feature(noise(samples))
    assert np.isfinite(silent).all()
    assert np.isfinite(short).all()
    assert short.shape == silent.shape


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("value", [0.25, -1.0, 1e-4])
def test_a_constant_wave_gives_finite_values(spec, value):
    assert np.isfinite(features.get(spec)(np.full(8000, value, np.float32))).all()


@pytest.mark.parametrize("spec", SPECS)
def test_a_batch_equals_single_calls(spec):
    feature = features.get(spec)
    waves = [noise(samples, seed) for seed, samples in enumerate((1, 399, 5000, 16000, 16001, 48000, 700))]
    for wave, values in zip(waves, feature.batch(waves), strict=True):
        np.testing.assert_allclose(values, feature(wave), rtol=1e-5, atol=1e-5)  # BLAS rounds by shape


@pytest.mark.parametrize("spec", SPECS)
def test_a_call_leaves_the_wave_as_it_was(spec):
    wave = noise(8000)
    features.get(spec)(wave)
    np.testing.assert_array_equal(wave, noise(8000))


def test_an_empty_batch_gives_no_arrays():
    assert [features.get(spec).batch([]) for spec in SPECS] == [[]] * len(SPECS)


@pytest.mark.parametrize("spec", SPECS)
def test_a_wave_without_samples_is_unreadable(spec):
    with pytest.raises(errors.UnreadableAudio) as caught:
        features.get(spec)(np.zeros(0, np.float32))
    assert caught.value.kind == "no_samples"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_wave_with_samples_that_are_not_finite_is_unreadable(bad):
    wave = noise(1000)
    wave[500] = bad
    with pytest.raises(errors.UnreadableAudio) as caught:
        features.get("mfcc").batch([noise(1000), wave])
    assert caught.value.kind == "not_finite"


def test_a_stereo_wave_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 100\)"):
        features.get("mfcc")(np.zeros((2, 100), np.float32))


def test_spec_lists_only_what_differs_from_the_defaults():
    assert features.get("mfcc(n=40, rate=16000,window=400)").spec == "mfcc"
    assert features.get(" mfcc( n=50 ,rate=44100,window=2048,hop=512)").spec == (
        "mfcc(rate=44100,window=2048,hop=512,n=50)"
    )
    assert features.get("mfcc(band=telephone,rate=8000,fmin=300)").spec == "mfcc(band=telephone)"


def test_defaults_that_depend_on_the_rate_follow_it():
    feature = features.get("mfcc(rate=44100)")
    assert (feature.window, feature.hop, feature.n_fft, feature.fmax) == (1102, 441, 2048, 22050.0)


def test_the_telephone_variant_has_its_rate_and_filter_edges():
    feature = features.with_band("mfcc", "telephone")
    assert feature == features.get("mfcc(band=telephone)")
    assert (feature.rate, feature.window, feature.hop, feature.n_fft) == (8000, 200, 80, 256)
    assert (feature.fmin, feature.fmax) == (300.0, 3400.0)


def test_the_telephone_variant_keeps_overrides_and_frame_lengths():
    wide = features.get("mfcc(n=50,rate=44100,window=2048,hop=512,cmvn=true)")
    narrow = features.with_band(wide, "telephone")
    assert (narrow.rate, narrow.n, narrow.cmvn) == (8000, 50, True)
    assert narrow.window / narrow.rate == pytest.approx(2048 / 44100, abs=1 / 8000)
    assert narrow.hop / narrow.rate == pytest.approx(512 / 44100, abs=1 / 8000)


@pytest.mark.parametrize("spec", SPECS)
def test_with_band_returns_to_where_it_began(spec):
    feature = features.get(spec)
    other = "wide" if feature.band == "telephone" else "telephone"
    assert feature.with_band(feature.band) is feature
    assert feature.with_band(other).with_band(feature.band) == feature


def test_a_changed_parameter_moves_what_follows_from_it_and_nothing_else():
    feature = features.get("mfcc(n=20,rate=44100)")
    changed = feature.changed(rate=22050)
    assert changed == features.get("mfcc(n=20,rate=22050)")
    assert feature.changed(n=13) == features.get("mfcc(n=13,rate=44100)")
    assert feature.changed() == feature
    with pytest.raises(errors.UsageError, match="feature mfcc has no 'size'"):
        feature.changed(size=3)


def test_unknown_feature_names_its_neighbours():
    with pytest.raises(errors.UnknownName) as caught:
        features.get("mfc")
    assert "mfcc" in caught.value.near


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mfcc(", "not of the form name"),
        ("mfcc(n=1)x", "not of the form name"),
        ("mfcc(n)", "'n' is not of the form key=value"),
        ("mfcc(n=)", "'n=' is not of the form key=value"),
        ("mfcc(n=1,)", "'' is not of the form key=value"),
        ("mfcc(coefficients=3)", "no parameter 'coefficients', only band, rate, window"),
        ("mfcc(n=4,n=5)", "n is given twice"),
        ("mfcc(n=4.5)", "n=4.5 will not do, it must be int"),
        ("mfcc(cmvn=1)", "cmvn=1 will not do, it must be true or false"),
        ("mfcc(fmax=high)", "fmax=high will not do, it must be float"),
        ("mfcc(fmax=nan)", "fmax=nan will not do"),
        ("mfcc(n=0)", "n=0 will not do, it must be a number from 1"),
        ("mfcc(n=90)", "there are n_mels=80 bands"),
        ("mfcc(band=narrow)", "one of wide, telephone"),
        ("mfcc(n_fft=256)", "the window has 400 samples"),
        ("mfcc(fmax=9000)", "between fmin and 8000 Hz"),
        ("mfcc(fmin=4000,fmax=3000)", "between fmin and 8000 Hz"),
        ("logmel(bands=300)", "300 mel bands from 0 to 8000 Hz are too many"),
    ],
)
def test_a_wrong_specification_is_refused_with_the_reason(spec, message):
    with pytest.raises(errors.UsageError) as caught:
        features.get(spec)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "override", [{"n": 20.0}, {"n": True}, {"cmvn": 1}, {"band": 8000}, {"rate": "16000"}]
)
def test_a_constructor_checks_types_too(override):
    with pytest.raises(errors.UsageError, match=next(iter(override))):
        features.FEATURES["mfcc"](**override)


@given(
    band=st.sampled_from(["wide", "telephone"]),
    rate=st.sampled_from([8000, 16000, 22050, 44100]),
    window=st.none() | st.integers(400, 2048),
    hop=st.none() | st.integers(80, 1024),
    fmin=st.floats(0, 500),
    mel=st.sampled_from(["slaney", "htk"]),
    n=st.integers(1, 20),
    preemphasis=st.floats(0, 0.97),
    cmvn=st.booleans(),
)
def test_get_reads_back_every_spec(**values):
    given_values = {key: value for key, value in values.items() if value is not None}
    feature = features.FEATURES["mfcc"](n_mels=20, **given_values)
    assert features.get(feature.spec) == feature
    assert features.get(feature.spec).fingerprint == feature.fingerprint


CHANGES = {
    "preemphasis": 0.5, "n": 12, "n_mels": 70, "deltas": 1, "lifter": 22, "top_db": 70.0,
    "voicing": 0.4, "smooth": 5, "height": 50, "width": 60, "size": 70, "tuning": 0.1, "quantile": 0.1,
    "voiced": 0.6, "start_s": 0.5, "seconds": 2.0,
}  # fmt: skip
NEAR = {
    "rate": lambda value: value + 200,
    "window": lambda value: value - 10,
    "hop": lambda value: value + 4,
    "n_fft": lambda value: 2 * value,
    "fmin": lambda value: value + 10,
    "fmax": lambda value: 0.97 * value,
    "first": lambda value: 1.1 * value,
    "bands": lambda value: value - 1,
}


def another_value(feature, field):
    """A value that this parameter may have, and has not."""
    value = getattr(feature, field.name)
    if isinstance(value, bool):
        return not value
    if field.metadata["choices"]:
        return next(choice for choice in field.metadata["choices"] if choice != value)
    return NEAR[field.name](value) if field.name in NEAR else CHANGES[field.name]


@pytest.mark.parametrize("spec", SPECS)
def test_fingerprint_changes_with_every_parameter_and_with_the_version(spec):
    feature = features.get(spec)
    seen = {feature.fingerprint}
    for field in dataclasses.fields(feature):
        changed = dataclasses.replace(feature, **{field.name: another_value(feature, field)})
        seen.add(changed.fingerprint)
    newer = type("Newer", (type(feature),), {"version": type(feature).version + 1})
    seen.add(newer(**{k: v for k, v in feature.to_dict().items() if k != "name"}).fingerprint)
    assert len(seen) == len(dataclasses.fields(feature)) + 2


def test_fingerprint_is_the_same_in_another_process():
    code = f"from ser_ray import features; print(*(features.get(s).fingerprint for s in {SPECS}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [features.get(spec).fingerprint for spec in SPECS]


@pytest.mark.parametrize("spec", SPECS)
def test_a_feature_travels_by_pickle(spec):
    feature = features.get(spec)
    assert pickle.loads(pickle.dumps(feature)) == feature
