import numpy as np
import torch

from ser_ray.features.inference import Windows, cut, groups, merge, moments


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_windows_are_of_one_length_and_lose_no_sample():
    wave = noise(1000)
    parts = cut(wave, Windows(1, longest=300))
    assert [len(part) for part in parts] == [250] * 4
    np.testing.assert_array_equal(np.concatenate(parts), wave)
    assert [len(part) for part in cut(wave[:301], Windows(1, longest=300))] == [151, 150]


def test_groups_hold_equal_lengths_or_little_padding():
    lengths = [5, 9, 5, 7, 9, 9, 40]
    assert list(groups(lengths, 20, padded=False)) == [[6], [1, 4], [5], [3], [0, 2]]
    assert list(groups(lengths, 20, padded=True)) == [[6], [1, 4], [5, 3], [0, 2]]


def test_merged_moments_are_those_of_all_frames():
    frames = torch.from_numpy(np.random.default_rng(0).normal(50, 3, (90, 4)))
    found = merge([moments([part, 2 * part]) for part in frames.split([50, 1, 39])])
    assert found.frames == 90
    np.testing.assert_allclose(found.mean, [frames.mean(dim=0), 2 * frames.mean(dim=0)], rtol=1e-12)
    variance = frames.var(dim=0, correction=0)
    np.testing.assert_allclose(found.variance, [variance, 4 * variance], rtol=1e-12)
