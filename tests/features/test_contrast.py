import librosa
import numpy as np
import pytest

from ser_ray import errors, features


def noise(samples: int, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(7).normal(0, level, samples).astype(np.float32)


def tone(hz: float, rate: int = 16000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)


@pytest.mark.parametrize(
    ("spec", "rate", "settings"),
    [
        ("contrast", 16000, {"n_fft": 2048, "hop_length": 160, "n_bands": 6}),
        ("contrast(window=400)", 16000, {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_bands": 6}),
        (
            "contrast(rate=44100,window=2048,hop=512)",
            44100,
            {"n_fft": 2048, "hop_length": 512, "n_bands": 6},
        ),
        ("contrast(rate=8000)", 8000, {"n_fft": 1024, "hop_length": 80, "n_bands": 5}),
        (
            "contrast(bands=3,quantile=0.1,first=300)",
            16000,
            {"n_fft": 2048, "hop_length": 160, "n_bands": 3, "quantile": 0.1, "fmin": 300},
        ),
    ],
)
def test_contrast_is_that_of_librosa_within_a_hundredth_of_a_decibel(spec, rate, settings):
    wave = noise(rate) + tone(440, rate) + 0.3 * tone(3000, rate)
    theirs = librosa.feature.spectral_contrast(y=wave, sr=rate, **settings)
    np.testing.assert_allclose(features.get(spec)(wave), theirs.T, atol=1e-2)


@pytest.mark.parametrize(
    ("spec", "edges"),
    [
        ("contrast", [0, 200, 400, 800, 1600, 3200, 6400, 8000]),
        ("contrast(rate=44100)", [0, 200, 400, 800, 1600, 3200, 6400, 22050]),
        ("contrast(rate=8000)", [0, 200, 400, 800, 1600, 3200, 4000]),
        ("contrast(band=telephone)", [300, 600, 1200, 2400, 3400]),
        ("contrast(bands=2)", [0, 200, 400, 8000]),
    ],
)
def test_sub_bands_are_octaves_that_fit_into_the_band(spec, edges):
    feature = features.get(spec)
    step = feature.rate / feature.n_fft
    assert len(feature.names) == feature.shape[1] == len(edges) - 1
    assert [band.first * step for band in feature.sub_bands] == pytest.approx(edges[:-1], abs=step)
    assert [band.last * step for band in feature.sub_bands] == pytest.approx(edges[1:], abs=1.01 * step)


@pytest.mark.parametrize(
    ("hz", "band"), [(100, 0), (300, 1), (600, 2), (1200, 3), (2400, 4), (4800, 5), (7000, 6)]
)
def test_a_tone_in_noise_raises_the_contrast_of_its_sub_band_only(hz, band):
    feature = features.get("contrast")
    change = (feature(noise(16000) + tone(hz)) - feature(noise(16000)))[50]
    assert change.argmax() == band
    assert change[band] > 8
    assert np.abs(np.delete(change, band)).max() < 1


def test_telephone_contrast_does_not_hear_what_lies_beyond_the_line():
    feature = features.get("contrast(band=telephone)")
    wave = noise(8000)
    changed = feature(wave + tone(3700, 8000) + tone(100, 8000))
    np.testing.assert_allclose(changed[10:-10], feature(wave)[10:-10], atol=0.5)


def test_peaks_and_valleys_stay_within_the_range_below_their_maximum():
    # Contrast takes 10 log10 of magnitude, so the tail lies 60 dB below the head.
    wave = np.concatenate([noise(16000), noise(16000, 1e-7)])
    limited, free = (features.get(f"contrast(top_db={top_db})")(wave) for top_db in (20, 0))
    np.testing.assert_allclose(limited[120:] - limited[150], 0, atol=1e-4)
    assert free[120:-10].std(axis=0).min() > 0.1


def test_gain_changes_nothing():
    feature = features.get("contrast")
    np.testing.assert_allclose(feature(0.1 * noise(8000)), feature(noise(8000)), atol=1e-3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("contrast(bands=7)", "bands=7 will not do, the last octave would begin above 8000 Hz"),
        ("contrast(first=9000,bands=1)", "first=9000.0 will not do"),
        ("contrast(fmin=7000)", "first=14000.0 will not do, it must lie between 7000 and 8000 Hz"),
        ("contrast(fmin=250,first=200)", "it must lie between 250 and 8000 Hz"),
        ("contrast(window=64)", "n_fft=64 will not do, a sub-band would hold no bin"),
    ],
)
def test_sub_bands_that_do_not_fit_are_refused(spec, message):
    with pytest.raises(errors.UsageError) as caught:
        features.get(spec)
    assert message in str(caught.value)
