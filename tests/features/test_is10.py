import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_ray import errors, features
from ser_ray.features import is10, is10_contours

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[2] / "../shared/data"))
FIRST_OF_PITCH = 68 * 21  # column


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def voice(hz, seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    """Harmonics of a pitch (a number, or a function of time) with a falling spectrum."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(hz(t) if callable(hz) else np.full(len(t), hz)) / rate
    return sum(0.2 / k * np.sin(k * phase + k) for k in range(1, 12)).astype(np.float32)


def spoken(rate: int = 16000) -> np.ndarray:
    """A glide, a pause with hiss, and a low voice."""
    hiss = noise(3 * rate, 3) / 20
    hiss[: int(1.2 * rate)] += voice(lambda t: 190 + 60 * t + 10 * np.sin(30 * t), 1.2, rate)
    hiss[2 * rate :] += voice(130.0, 1.0, rate) * np.linspace(1, 0.1, rate, dtype=np.float32)
    return hiss


def emodb(count: int) -> list[np.ndarray]:
    paths = sorted((CORPORA / "emodb/wav").glob("*.wav"))
    if not paths:
        pytest.skip(f"EMO-DB is not below {CORPORA}; set SER_RAY_CORPORA")
    return [soundfile.read(path, dtype="float32")[0] for path in paths[:: len(paths) // count]][:count]


def opensmile_frames(wave: np.ndarray, rate: int = 16000) -> np.ndarray:
    opensmile = pytest.importorskip("opensmile", reason="the extra [opensmile] is not installed")
    levels = ("lld", "lld_de")
    tables = [
        opensmile.Smile(opensmile.FeatureSet.IS10, level).process_signal(wave, rate).to_numpy()
        for level in levels
    ]
    return np.concatenate([table[: len(tables[0])] for table in tables], axis=1)


def by_opensmile(wave: np.ndarray, rate: int = 16000) -> np.ndarray:
    pytest.importorskip("opensmile", reason="the extra [opensmile] is not installed")
    return features.get(f"is10_opensmile(rate={rate})")(wave)


def within(ours: np.ndarray, theirs: np.ndarray, share: float) -> np.ndarray:
    return np.abs(ours - theirs) <= share * np.maximum(np.abs(theirs), 1e-4)


def values(wave: np.ndarray, spec: str = "is10") -> dict[str, float]:
    feature = features.get(spec)
    return dict(zip(feature.names, feature(wave).tolist(), strict=True))


def test_there_are_1582_columns_with_the_names_of_the_challenge():
    names = features.get("is10").names
    assert len(set(names)) == 1582
    assert names[:2] == ("pcm_loudness_sma_maxPos", "pcm_loudness_sma_minPos")
    assert names[FIRST_OF_PITCH] == "F0final_sma_maxPos"
    assert names[-2:] == ("F0final__Turn_numOnsets", "F0final__Turn_duration")


def test_names_are_the_columns_of_opensmile():
    opensmile = pytest.importorskip("opensmile", reason="the extra [opensmile] is not installed")
    for level, levels in (("functionals", ["func"]), ("lld", ["lld"]), ("lld_deltas", ["lld", "lld_de"])):
        theirs = [opensmile.Smile(opensmile.FeatureSet.IS10, part).feature_names for part in levels]
        assert features.get(f"is10(level={level})").names == tuple(name for part in theirs for name in part)


@pytest.mark.parametrize("rate", [16000, 8000])
def test_opensmile_gives_the_same_values(rate):
    """Within 1 %, but for line spectra, which float32 blurs where 4 to 5.5 kHz are empty."""
    wave = spoken(rate)
    alike = within(features.get(f"is10(rate={rate})")(wave), by_opensmile(wave, rate), 0.01)
    assert alike.mean() > (0.97 if rate == 16000 else 0.89)
    assert alike[FIRST_OF_PITCH:].mean() > 0.97
    of_line_spectra = np.array([name.startswith("lsp") for name in features.get("is10").names])
    assert alike[~of_line_spectra].mean() > 0.995


@pytest.mark.parametrize("samples", [1, 900, 1600, 1759, 1760, 4799])
def test_opensmile_gives_the_same_values_of_short_waves(samples):
    wave = spoken()[8000 : 8000 + samples]
    alike = within(features.get("is10")(wave), by_opensmile(wave), 0.01)
    assert alike.mean() > 0.93


def test_opensmile_gives_the_same_frames_of_speech():
    """Each descriptor correlates by .9999, each delta by .999; F0 is the same in 999 of 1,000 frames."""
    waves = emodb(6)
    ours = np.concatenate(features.get("is10(level=lld_deltas)").batch(waves)).astype(np.float64)
    theirs = np.concatenate([opensmile_frames(wave) for wave in waves]).astype(np.float64)
    together = [np.corrcoef(ours[:, k], theirs[:, k])[0, 1] for k in range(76)]
    assert min(together[:34]) > 0.9999
    assert min(together) > 0.98
    f0 = len(is10.DESCRIPTORS)
    assert np.mean(within(ours[:, f0], theirs[:, f0], 0.001)) > 0.999
    apart = np.abs(ours[:, :34] - theirs[:, :34]) / np.maximum(np.abs(theirs[:, :34]), 1e-6)
    assert np.median(apart, axis=0).max() < 1e-3


def test_opensmile_gives_the_same_values_of_speech():
    """99 % of the columns within 1 % on average over the files."""
    for wave in emodb(3):
        assert within(features.get("is10")(wave), by_opensmile(wave), 0.01).mean() > 0.98


def test_pitch_onsets_and_duration_of_two_voices():
    wave = np.concatenate([voice(200.0), np.zeros(8000, np.float32), voice(200.0)])
    found = values(wave + noise(len(wave)) / 1000)
    assert found["F0final_sma_quartile2"] == pytest.approx(200, rel=0.01)
    assert found["F0final__Turn_numOnsets"] == 2
    assert found["F0final__Turn_duration"] == pytest.approx(2.44)


def test_a_steady_voice_has_neither_jitter_nor_shimmer():
    found = values(voice(160.0, 2.0))
    assert found["jitterLocal_sma_quartile3"] < 1e-3
    assert found["shimmerLocal_sma_quartile3"] < 1e-2


@pytest.mark.parametrize(
    "spec", ["is10", "is10(level=lld)", "is10(level=lld_deltas)", "is10(band=telephone)"]
)
def test_a_batch_equals_single_calls(spec):
    feature = features.get(spec)
    waves = [noise(n, n) for n in (1, 8000, 1599, 48000)] + [spoken(feature.rate)]
    for wave, found in zip(waves, feature.batch(waves), strict=True):
        np.testing.assert_allclose(found, feature(wave), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("samples", [1, 400, 1119, 4799])
def test_short_waves_silence_and_constants_give_finite_values(rate, samples):
    feature = features.get(f"is10(rate={rate})")
    waves = [noise(samples), np.zeros(samples, np.float32), np.full(samples, 0.5, np.float32)]
    assert np.isfinite(feature.batch(waves)).all()


def test_silence_has_the_floors_and_no_pitch():
    found = values(np.zeros(8000, np.float32))
    assert found["pcm_loudness_sma_amean"] == 0
    assert found["logMelFreqBand_sma[3]_amean"] == pytest.approx(np.log(1e-12))
    assert found["lspFreq_sma[2]_amean"] == pytest.approx(np.pi / 3, rel=1e-5)
    assert found["lspFreq_sma[2]_stddev"] == found["lspFreq_sma[2]_kurtosis"] == 0
    assert not any(
        value
        for name, value in found.items()
        if name.startswith(("F0", "jitter", "shimmer")) and "duration" not in name
    )


def test_a_short_wave_is_filled_up_and_a_loud_one_clips():
    feature, wave = features.get("is10"), noise(900)
    np.testing.assert_array_equal(feature(wave), feature(np.pad(wave, (0, 700))))
    loud = np.where(voice(150.0) > 0, 1.0, -1.0).astype(np.float32)
    np.testing.assert_array_equal(feature(loud), feature(3 * loud))


def test_levels_have_one_row_for_each_60_ms():
    wave = spoken()
    frames, both = (features.get(f"is10(level={level})")(wave) for level in ("lld", "lld_deltas"))
    assert frames.shape == (1 + (len(wave) - 960) // 160, 38)
    np.testing.assert_array_equal(both[:, :38], frames)
    x = frames.astype(np.float64)
    slope = (x[11] - x[9] + 2 * (x[12] - x[8])) / 10
    np.testing.assert_allclose(both[10, 38:], slope, atol=1e-4)


def test_the_telephone_variant_keeps_mel_bands_within_the_line():
    feature = features.get("is10").with_band("telephone")
    assert (feature.rate, feature.band) == (8000, "telephone")
    filters, _, _ = is10_contours._matrices(8000, 256, 300.0, 3400.0)
    hz = np.arange(129) * 8000 / 256
    assert filters.any(axis=0).all()
    assert not filters[(hz < 300) | (hz > 3400)].any()
    wave = spoken(8000)
    np.testing.assert_array_equal(
        feature(wave)[FIRST_OF_PITCH:], features.get("is10(rate=8000)")(wave)[FIRST_OF_PITCH:]
    )


def test_unknown_levels_and_low_rates_are_refused():
    with pytest.raises(errors.UsageError, match="rate=4000"):
        features.get("is10(rate=4000)")
    with pytest.raises(errors.UsageError, match="functionals, lld, lld_deltas"):
        features.get("is10(level=frames)")


def test_the_pitch_of_one_frame_alone_and_of_an_octave_error_is_mended():
    f0 = np.array([0, 90, 0, 0, 100, 101, 202, 102, 103, 0, 0, 80, 82, 0], np.float32)
    found = is10_contours.smooth_f0(f0)
    np.testing.assert_array_equal(found, [0, 0, 0, 0, 100, 101, 102, 102, 103, 0, 0, 80, 82, 0])


def test_the_envelope_follows_by_a_quarter_and_holds():
    found = is10_contours.envelope(np.array([0, 100, 200, 0, 0, 100], np.float32))
    np.testing.assert_allclose(found, [0, 100, 125, 125, 125, 118.75])
