"""Standardisation by the figures of all frames, and of each frame by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ser_ray.errors import UsageError
from ser_ray.models import family
from ser_ray.models.networks.classifier import NetworkClassifier
from ser_ray.models.networks.registry import KINDS
from ser_ray.models.networks.scaling import Scaling, moments


def utterances(count: int = 11, columns: int = 3) -> list[tuple[np.ndarray, ...]]:
    """Of 4 to 9 frames, each frame about its own place."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(4, 10, count)
    return [((rng.normal(size=(n, columns)) + 10 * np.arange(n)[:, None]).astype(np.float32),) for n in sizes]


def test_moments_are_those_of_all_frames_in_a_row_however_many_utterances():
    for count in (1, 2, 3, 7, 8, 11):
        examples = utterances(count)
        frames = np.concatenate([array for (array,) in examples]).astype(np.float64)
        found = moments(examples)
        assert found.frames == (len(frames),)
        np.testing.assert_allclose(found.means[0], frames.mean(axis=0))
        np.testing.assert_allclose(found.squares[0], frames.var(axis=0) * len(frames))


def test_each_of_the_first_frames_is_standardised_by_itself_and_later_ones_as_the_last():
    examples = utterances()
    scaling = moments(examples, first=6).scaling
    padded = np.stack([array[np.minimum(np.arange(6), len(array) - 1)] for (array,) in examples])
    np.testing.assert_allclose(scaling.means[0], padded.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaling.deviations[0], padded.std(axis=0), rtol=1e-5)
    for (array,) in examples:
        (scaled,) = scaling((array,))
        assert (scaled.shape, scaled.dtype) == (array.shape, np.float32)
        for place, frame in enumerate(array):
            at = min(place, 5)
            expected = (frame - padded.mean(axis=0)[at]) / padded.std(axis=0)[at]
            np.testing.assert_allclose(scaled[place], expected, rtol=1e-4, atol=1e-5)


def test_a_place_where_nothing_changes_is_only_centred():
    examples = [(np.array([[1.0], [k]], np.float32),) for k in (2.0, 4.0)]
    scaling = moments(examples, first=2).scaling
    assert scaling.deviations[0].tolist() == [[1.0], [1.0]]
    assert scaling(examples[0])[0].tolist() == [[0.0], [-1.0]]


def test_a_network_keeps_what_it_was_standardised_by(tmp_path):
    rng = np.random.default_rng(0)
    X = np.empty(12, object)
    for row in range(12):
        X[row] = (rng.normal(row % 2, 1.0, (40, 8)) + np.arange(40)[:, None]).astype(np.float32)
    settings = {**family("cnn1d").defaults, "channels": "4-4", "epochs": 2, "held_out": 0.0}
    made = NetworkClassifier(KINDS["cnn1d"], settings | {"standardise_frames": 30}, 0).fit(
        X, np.arange(12) % 2
    )
    assert made.scaling.means[0].shape == (30, 8)
    assert made.shapes == ((None, 8),)
    made.save(tmp_path)
    loaded = NetworkClassifier.load(KINDS["cnn1d"], tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), made.predict_proba(X))
    other = replace(made.scaling, means=(made.scaling.means[0] + 1,))
    assert isinstance(other, Scaling)
    loaded.scaling = other
    assert not np.allclose(loaded.predict_proba(X), made.predict_proba(X))
    with pytest.raises(UsageError, match=r"standardise_frames=-1 is too small\. Set it to 0 or more"):
        NetworkClassifier(KINDS["cnn1d"], settings | {"standardise_frames": -1}, 0).fit(X, np.arange(12) % 2)
