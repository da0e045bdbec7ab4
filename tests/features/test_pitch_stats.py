import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.signal import butter, sosfilt

from ser_ray.features.f0 import F0
from ser_ray.features.feature import Batch
from ser_ray.features.mfcc import delta
from ser_ray.features.pitch_stats import CONTOURS, STATISTICS, PitchStats, describe, mend

FRAME_S = 0.010
NAMES = PitchStats().names


def voice(hz, seconds: float = 2.0, rate: int = 16000) -> np.ndarray:
    """Harmonics of a pitch (a number, or a function of time) with a falling spectrum."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(hz(t) if callable(hz) else np.full(len(t), hz)) / rate
    return sum(0.2 / k * np.sin(k * phase) for k in range(1, 12)).astype(np.float32)


def noise(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate)).astype(np.float32)


def of_contour(f0) -> dict[str, float]:
    return dict(zip(NAMES, describe(np.asarray(f0, np.float32), FRAME_S).tolist(), strict=True))


def of_wave(wave: np.ndarray, **settings) -> dict[str, float]:
    return dict(zip(NAMES, PitchStats(**settings)(wave).tolist(), strict=True))


def test_names_are_fourteen_statistics_of_four_contours():
    assert len(NAMES) == 56
    assert len(STATISTICS) == 14
    assert NAMES[:3] == ("f0_mean", "f0_std", "f0_min")
    assert {name.rpartition("_")[0] for name in NAMES} == {"f0", "d_f0", "dd_f0", "log_f0"}


def test_statistics_of_five_frames_by_hand():
    found = of_contour([0, 100, 200, 400, 300, 0, 0, 500, 0])
    wanted = {
        "mean": 300.0, "std": np.sqrt(20000.0), "min": 100.0, "max": 500.0, "range": 400.0,
        "q1": 200.0, "median": 300.0, "q3": 400.0, "iqr": 200.0, "skewness": 0.0,
        "kurtosis": (2 * 200**4 + 2 * 100**4) / 5 / 20000**2 - 3,
    }  # fmt: skip
    assert {name: found[f"f0_{name}"] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    times = np.array([0, 1, 2, 3, 6]) * FRAME_S
    slope, offset = np.polyfit(times, [100, 200, 400, 300, 500], 1)
    assert found["f0_slope"] == pytest.approx(slope, rel=1e-5)
    assert found["f0_offset"] == pytest.approx(offset, rel=1e-5)
    left = np.array([100, 200, 400, 300, 500]) - offset - slope * times
    assert found["f0_error"] == pytest.approx(np.mean(left**2), rel=1e-4)


@given(
    arrays.arrays(np.float32, st.integers(3, 60), elements=st.floats(60, 500, width=32)).filter(
        lambda values: values.std() > 1
    )
)
def test_statistics_are_those_of_scipy(values):
    found = of_contour(values)
    line = stats.linregress(np.arange(len(values)) * FRAME_S, values.astype(np.float64))
    wanted = {
        "mean": values.mean(), "std": values.std(), "q1": np.percentile(values, 25), "iqr": stats.iqr(values),
        "skewness": stats.skew(values), "kurtosis": stats.kurtosis(values), "slope": line.slope,
    }  # fmt: skip
    assert {name: found[f"f0_{name}"] for name in wanted} == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_log_is_the_natural_logarithm():
    found = of_contour([100, 200, 400])
    assert found["log_f0_median"] == pytest.approx(np.log(200), rel=1e-6)
    assert found["log_f0_slope"] == pytest.approx(np.log(2) / FRAME_S, rel=1e-5)
    assert found["log_f0_error"] == pytest.approx(0, abs=1e-9)


def test_deltas_of_a_straight_line_are_its_slope_per_second():
    """Away from the ends, which are repeated, 2 Hz a frame are 200 Hz/s and no acceleration."""
    found = of_contour(100 + 2 * np.arange(100))
    assert found["d_f0_median"] == pytest.approx(200, rel=1e-5)
    assert found["d_f0_max"] == pytest.approx(200, rel=1e-5)
    assert found["d_f0_min"] == pytest.approx(200 * 0.5, rel=1e-5)
    assert found["dd_f0_median"] == pytest.approx(0, abs=1e-2)
    assert (found["f0_slope"], found["f0_offset"]) == pytest.approx((200, 100), rel=1e-5)


def test_deltas_are_the_regression_within_each_voiced_stretch():
    stretches = [200 + 50 * np.sin(np.arange(n) / 3 + n) for n in (20, 1, 7, 2)]
    f0 = np.concatenate([np.append(part, [0, 0]) for part in stretches])
    found = of_contour(f0)
    slopes = [delta(part.astype(np.float32)[:, None]) for part in stretches]
    bends = [delta(part) for part in slopes]
    velocity, acceleration = np.concatenate(slopes) / FRAME_S, np.concatenate(bends) / FRAME_S**2
    assert found["d_f0_mean"] == pytest.approx(velocity.mean(), rel=1e-4)
    assert found["d_f0_max"] == pytest.approx(velocity.max(), rel=1e-5)
    assert found["dd_f0_std"] == pytest.approx(acceleration.std(), rel=1e-4)


def test_a_jump_across_a_pause_is_no_movement():
    found = of_contour([150] * 10 + [0] + [300] * 10)
    moved = {name: value for name, value in found.items() if name.startswith(("d_", "dd_"))}
    assert set(moved.values()) == {0.0}
    assert found["f0_range"] == 150


def test_a_single_octave_error_is_mended_within_its_stretch():
    f0 = np.array([0, 200, 200, 400, 202, 202, 0, 0, 100, 300, 0], np.float32)
    np.testing.assert_array_equal(mend(f0), [0, 200, 200, 202, 202, 202, 0, 0, 100, 300, 0])


def test_no_voiced_frame_gives_zeros():
    np.testing.assert_array_equal(describe(np.zeros(50, np.float32), FRAME_S), 0)
    np.testing.assert_array_equal(PitchStats()(np.zeros(16000, np.float32)), 0)


def test_one_voiced_frame_has_a_level_and_no_spread():
    found = of_contour([0, 0, 200, 0])
    level = dict.fromkeys(("mean", "min", "max", "q1", "median", "q3", "offset"), 200)
    for name in STATISTICS:
        assert found[f"f0_{name}"] == level.get(name, 0), name
        assert found[f"d_f0_{name}"] == 0, name
        assert found[f"log_f0_{name}"] == pytest.approx(np.log(200) if name in level else 0, rel=1e-6), name


def test_a_constant_contour_has_neither_shape_nor_slope():
    found = of_contour([217.3] * 30)
    for name in ("std", "range", "iqr", "skewness", "kurtosis", "slope", "error"):
        assert [found[f"{contour}_{name}"] for contour in CONTOURS] == pytest.approx([0] * 4, abs=1e-6), name


@given(arrays.arrays(np.float32, st.integers(1, 30), elements=st.sampled_from([0, 60, 61, 250, 500])))
def test_every_contour_gives_finite_values(f0):
    assert np.isfinite(describe(f0, FRAME_S)).all()


def test_frames_before_and_after_the_voice_change_nothing():
    f0 = 200 + 50 * np.sin(np.arange(40) / 3)
    assert of_contour(np.pad(f0, (17, 5))) == of_contour(f0)


def test_a_linear_glide_has_its_slope():
    found = of_wave(voice(lambda t: 120 + 60 * t))
    assert found["f0_slope"] == pytest.approx(60, rel=0.02)
    assert found["f0_offset"] == pytest.approx(120, rel=0.02)
    assert found["f0_mean"] == pytest.approx(180, rel=0.01)
    assert found["f0_std"] == pytest.approx(120 / np.sqrt(12), rel=0.03)
    assert found["f0_error"] < 1
    assert found["d_f0_median"] == pytest.approx(60, rel=0.05)
    assert found["log_f0_median"] == pytest.approx(np.log(180), abs=0.01)


def test_a_pause_between_two_voices_is_left_out():
    wave = np.concatenate([voice(150, 1.0), np.zeros(8000, np.float32), voice(250, 1.0)])
    found = of_wave(wave)
    assert (found["f0_q1"], found["f0_q3"]) == pytest.approx((150, 250), rel=0.01)
    assert found["f0_mean"] == pytest.approx(200, rel=0.02)
    # Covariance and variance of a step of 100 Hz over 0-1 s and 1.5-2.5 s.
    assert found["f0_slope"] == pytest.approx(50 * 0.75 / (0.75**2 + 1 / 12), rel=0.05)


@pytest.mark.parametrize("gain", [0.05, 4.0])
def test_gain_changes_little(gain):
    wave = voice(lambda t: 150 + 30 * np.sin(6 * t))
    for name, value in of_wave(np.float32(gain) * wave).items():
        assert value == pytest.approx(of_wave(wave)[name], rel=0.02, abs=0.05), name


def test_the_telephone_line_keeps_the_pitch():
    band = butter(5, (300, 3400), "bandpass", fs=8000, output="sos")
    wave = sosfilt(band, voice(lambda t: 120 + 60 * t, rate=8000)).astype(np.float32)
    feature = PitchStats().with_band("telephone")
    assert feature.rate == 8000
    found = dict(zip(NAMES, feature(wave).tolist(), strict=True))
    assert found["f0_slope"] == pytest.approx(60, rel=0.1)
    assert found["f0_median"] == pytest.approx(180, rel=0.02)


def test_the_contour_is_computed_once_for_a_batch():
    def computed_again():
        raise AssertionError

    batch = Batch([voice(150.0)])
    batch.values(PitchStats())
    (contour,) = batch.once(F0(), computed_again)
    np.testing.assert_array_equal(describe(mend(contour[:, 0]), FRAME_S), batch.values(PitchStats())[0])
