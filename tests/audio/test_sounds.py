import numpy as np
import pytest

from ser_ray.audio.sounds import RATE, SOUNDS, draw_sound
from ser_ray.errors import UnknownName


@pytest.mark.parametrize("kind", SOUNDS)
def test_a_sound_lasts_1_to_4_s_is_heard_and_does_not_clip(kind):
    for seed in range(3):
        wave = draw_sound(kind, seed)
        assert wave.dtype == np.float32
        assert RATE <= len(wave) <= 4 * RATE
        assert 0.01 < np.abs(wave).max() < 1.0
        assert 0.01 < np.sqrt(np.mean(wave.astype(float) ** 2)) < 0.25


@pytest.mark.parametrize("kind", SOUNDS)
def test_the_seed_makes_the_sound_and_another_one_of_its_kind_differs(kind):
    np.testing.assert_array_equal(draw_sound(kind, 1), draw_sound(kind, 1))
    one, other = draw_sound(kind, 1), draw_sound(kind, 2)
    assert len(one) != len(other)
    assert abs(np.std(one) / np.std(other) - 1) > 0.01


def test_chirps_rise_and_fall():
    def drift(kind: str) -> float:
        """Median step of the strongest frequency between frames, Hz."""
        frames = np.lib.stride_tricks.sliding_window_view(draw_sound(kind, 0), 1024)[::256]
        peaks = np.abs(np.fft.rfft(frames * np.hanning(1024))).argmax(axis=1) * RATE / 1024
        return float(np.median(np.diff(peaks)))

    assert drift("rising_chirps") > 10
    assert drift("falling_chirps") < -10


def test_an_unknown_kind_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownName, match="siren"):
        draw_sound("sirens", 0)
