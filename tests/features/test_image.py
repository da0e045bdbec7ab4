import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import chirp

from ser_ray import errors
from ser_ray.features.feature import Batch
from ser_ray.features.image import SHOWN, ColourImage, Image, cubehelix, resize
from ser_ray.features.logmel import LogMel

EVERY = [(of, band) for of in SHOWN for band in ("wide", "telephone")]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def rising_tone(rate: int = 16000) -> np.ndarray:
    """From 400 to 3000 Hz in two seconds, and a little hiss."""
    t = np.arange(2 * rate) / rate
    return (chirp(t, 400, 2, 3000) + noise(2 * rate) / 1000).astype(np.float32)


def interpolated(rows: np.ndarray, size: int, antialias: bool) -> np.ndarray:
    wanted = torch.from_numpy(rows).double()[None, None]
    found = torch.nn.functional.interpolate(
        wanted, size=(size, rows.shape[1]), mode="bilinear", align_corners=False, antialias=antialias
    )
    return found[0, 0].numpy()


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 900), size=st.integers(1, 600))
def test_resizing_is_the_antialiased_bilinear_one_of_torch(length, size):
    rows = 10 * noise(3 * length, seed=size).reshape(length, 3)
    found = resize(rows, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, interpolated(rows, size, True), atol=1e-5)


@pytest.mark.parametrize(("length", "size"), [(1, 400), (12, 512), (301, 400), (399, 400), (400, 400)])
def test_enlarging_is_the_plain_bilinear_one_of_torch(length, size):
    rows = 10 * noise(5 * length).reshape(length, 5)
    np.testing.assert_allclose(resize(rows, size), interpolated(rows, size, False), atol=1e-5)


def test_no_frame_of_a_long_utterance_is_passed_over():
    """A single frame of 5,000 reaches the picture with its share of the 12.5 frames in a column."""
    for place in (0, 1234, 2501, 4999):
        rows = np.zeros((5000, 1), np.float32)
        rows[place] = 1.0
        assert resize(rows, 400).sum() == pytest.approx(400 / 5000, rel=0.5)


@pytest.mark.parametrize(("of", "band"), EVERY)
def test_a_picture_reaches_from_zero_to_one(of, band):
    feature = Image(of=of, band=band)
    picture = feature(noise(2 * feature.rate))
    assert picture.shape == (512, 400)
    assert (picture.min(), picture.max()) == (0.0, 1.0)


@pytest.mark.parametrize(("of", "band"), EVERY)
def test_a_picture_is_the_scaled_and_resized_inner_feature(of, band):
    feature = Image(of=of, band=band, height=60, width=50)
    wave = noise(feature.rate)
    rows = interpolated(interpolated(feature.shown(wave), 50, True).T, 60, True)[::-1]
    np.testing.assert_allclose(feature(wave), (rows - rows.min()) / np.ptp(rows), atol=1e-5)


def test_inner_features_have_the_settings_of_the_two_systems():
    columns = {of: Image(of=of).shown.shape[1] for of in SHOWN}
    assert columns == {
        "logmel": 128, "mfcc": 40, "chroma": 12, "contrast": 7, "tonnetz": 6, "log_stft": 257
    }  # fmt: skip
    assert Image(of="mfcc").shown.spec == "mfcc"
    assert Image(of="logmel").shown.spec == "logmel(bands=128)"
    assert ColourImage(of="mfcc", band="telephone").shown.spec == "mfcc(band=telephone)"


@pytest.mark.parametrize(("of", "band"), EVERY)
@pytest.mark.parametrize("rate", [4000, 8000, 22050, 44100, 192_000])
def test_every_rate_can_be_shown(of, band, rate):
    feature = Image(of=of, band=band, rate=rate)
    assert (feature.shown.rate, feature.shown.band) == (rate, band)


@pytest.mark.parametrize("of", ["logmel", "log_stft"])
@pytest.mark.parametrize("band", ["wide", "telephone"])
def test_the_image_of_a_rising_tone_rises_to_the_right(of, band):
    feature = Image(of=of, band=band)
    brightest = feature(rising_tone(feature.rate)).argmax(axis=0)[10:-10]
    assert (np.diff(brightest) <= 0).mean() > 0.99
    assert brightest[0] - brightest[-1] > 100


def test_rows_are_the_bands_from_the_highest_down():
    hz = np.linspace(8000, 0, 512)
    t = np.arange(16000) / 16000
    picture = Image(of="log_stft")(np.sin(2 * np.pi * 6000 * t).astype(np.float32))
    assert hz[picture[:, 200].argmax()] == pytest.approx(6000, abs=40)


def test_time_runs_from_left_to_right():
    picture = Image(of="logmel")(np.concatenate([noise(8000) / 1000, noise(8000)]))
    assert picture[:, 210:].mean() > picture[:, :190].mean() + 0.4


def test_the_zeroth_coefficient_lies_at_the_bottom():
    picture = Image(of="mfcc", height=40)(noise(16000) / 100)
    assert picture[-1].max() < 0.2 < picture[:-1].min()


@pytest.mark.parametrize("of", ["logmel", "chroma", "contrast", "tonnetz", "log_stft"])
def test_an_utterance_that_is_all_alike_gives_zeros(of):
    np.testing.assert_array_equal(Image(of=of)(np.zeros(5000, np.float32)), 0)
    np.testing.assert_array_equal(Image(of=of, per_row=True)(np.zeros(5000, np.float32)), 0)


def test_rows_that_are_all_alike_become_zeros_row_by_row():
    """Silence has a zeroth coefficient unlike the others, but it changes in none."""
    silence = np.zeros(5000, np.float32)
    assert Image(of="mfcc")(silence).max() == 1
    np.testing.assert_array_equal(Image(of="mfcc", per_row=True)(silence), 0)


def test_per_row_lets_every_row_reach_from_dark_to_bright():
    wave = noise(16000) * np.linspace(0.01, 1, 16000, dtype=np.float32)
    together, apart = (Image(of="mfcc", height=40, per_row=per_row)(wave) for per_row in (False, True))
    assert np.ptp(together[:-1], axis=1).max() < 0.2
    np.testing.assert_allclose(np.ptp(apart, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("gain", [0.05, 4.0])
@pytest.mark.parametrize("feature", [*(Image(of=of) for of in SHOWN if of != "mfcc"), ColourImage()])
def test_gain_changes_nothing(feature, gain):
    wave = rising_tone() + noise(32000)
    np.testing.assert_allclose(feature(np.float32(gain) * wave), feature(wave), atol=1e-3)


def test_gain_does_not_change_mfcc_row_by_row():
    wave = rising_tone() + noise(32000)
    feature = Image(of="mfcc", per_row=True)
    np.testing.assert_allclose(feature(np.float32(0.1) * wave), feature(wave), atol=1e-3)
    plain = Image(of="mfcc")
    assert np.abs(plain(np.float32(0.1) * wave) - plain(wave)).max() > 0.05


@pytest.mark.parametrize("feature", [Image(), ColourImage(of="mfcc")])
@pytest.mark.parametrize("samples", [1, 100, 159])
def test_a_wave_below_one_window_gives_a_finite_picture(feature, samples):
    picture = feature(noise(samples))
    assert picture.shape == feature.shape
    assert np.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_what_is_shown_is_computed_once_for_a_batch():
    def computed_again():
        raise AssertionError

    batch = Batch([rising_tone()])
    batch.values(Image(of="mfcc"))
    batch.values(ColourImage(of="mfcc"))
    assert len(batch.once(Image(of="mfcc").shown, computed_again)) == 1


def test_other_code_of_what_is_shown_changes_the_fingerprint(monkeypatch):
    before = Image().fingerprint, Image(of="mfcc").fingerprint
    monkeypatch.setattr(LogMel, "version", LogMel.version + 1)
    assert Image().fingerprint != before[0]
    assert Image(of="mfcc").fingerprint == before[1]


def test_a_colour_image_is_the_coloured_grey_one():
    wave = rising_tone()
    grey = Image(of="logmel", height=224, width=224)(wave)
    np.testing.assert_array_equal(ColourImage()(wave), cubehelix(grey))


def test_the_colours_are_those_of_matplotlib():
    grey = np.arange(256, dtype=np.float32) / 255
    table = matplotlib.colormaps["cubehelix"](np.arange(256))[:, :3]
    np.testing.assert_allclose(cubehelix(grey), table, atol=1e-6)


def test_colours_grow_brighter_from_black_to_white():
    colours = cubehelix(np.linspace(0, 1, 1001, dtype=np.float32))
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[-1].tolist() == [1, 1, 1]
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(luminance).min() > 0


@pytest.mark.parametrize(
    ("feature", "settings", "message"),
    [
        (ColourImage, {"of": "chroma"}, "one of logmel, mfcc"),
        (Image, {"of": "spectrogram"}, "one of logmel, mfcc, chroma, contrast, tonnetz, log_stft"),
        (Image, {"width": 0}, "a number from 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(feature, settings, message):
    with pytest.raises(errors.UsageError, match=message):
        feature(**settings)
