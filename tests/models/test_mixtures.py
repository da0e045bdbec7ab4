"""Gaussian mixtures: their densities are scikit-learn's, and an utterance's score depends on it alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from ser_ray.errors import UsageError
from ser_ray.models import mixtures as module
from ser_ray.models.mixtures import BEGIN_WITH, FEWEST, MixtureOptions, Mixtures, fit_mixtures

WIDTH = 5


def utterances(
    rows: int = 30, classes: int = 3, frames: int = 40, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Frame sequences of two clusters, moved with the class, far from mean 0 and scale 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    X = np.empty(rows, object)
    for row in range(rows):
        length = int(rng.integers(frames // 2, frames * 2))
        clusters = 3.0 * rng.integers(0, 2, (length, 1))
        X[row] = (50 + 7 * (rng.normal(size=(length, WIDTH)) + clusters + y[row])).astype(np.float32)
    return X, y


def fitted(**changes: object) -> tuple[Mixtures, np.ndarray, np.ndarray]:
    X, y = utterances()
    return fit_mixtures(X, y, MixtureOptions(**{"components": 4, **changes})), X, y  # type: ignore[arg-type]


def as_in_scikit_learn(mixtures: Mixtures, k: int) -> GaussianMixture:
    """A class's mixture as scikit-learn keeps it."""
    used = mixtures.weights[k] > 0
    machine = GaussianMixture(int(used.sum()), covariance_type="diag")
    machine.weights_, machine.means_ = mixtures.weights[k][used], mixtures.means[k][used]
    machine.covariances_ = 1 / mixtures.precisions[k][used]
    machine.precisions_cholesky_ = np.sqrt(mixtures.precisions[k][used])
    return machine


def test_log_likelihoods_are_those_of_scikit_learn() -> None:
    mixtures, X, _ = fitted()
    frames = np.concatenate(list(X))
    standard = (frames - mixtures.mean) / mixtures.scale
    expected = [as_in_scikit_learn(mixtures, k).score_samples(standard) for k in range(3)]
    np.testing.assert_allclose(mixtures.log_likelihood(frames), np.column_stack(expected), atol=1e-9)


def test_one_component_is_mean_and_variance() -> None:
    mixtures, X, y = fitted(components=1, floor=1e-9)
    frames = np.concatenate(list(X[y == 1]))
    np.testing.assert_allclose(
        mixtures.means[1, 0] * mixtures.scale + mixtures.mean, frames.mean(0), rtol=1e-4
    )
    np.testing.assert_allclose(mixtures.scale**2 / mixtures.precisions[1, 0], frames.var(0), rtol=1e-3)


def test_more_components_find_the_clusters() -> None:
    one, X, y = fitted(components=1)
    two, _, _ = fitted(components=2)
    own = [mixtures.utterance_scores(X)[np.arange(len(y)), y].mean() for mixtures in (one, two)]
    assert own[1] > own[0] + 0.5


def test_an_utterance_scores_alike_alone_and_among_others_of_any_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixtures, X, _ = fitted()
    together = mixtures.utterance_scores(X)
    alone = np.concatenate([mixtures.utterance_scores(X[row : row + 1]) for row in range(len(X))])
    np.testing.assert_allclose(alone, together, atol=1e-9)
    monkeypatch.setattr(module, "TOGETHER", 7)
    np.testing.assert_allclose(mixtures.utterance_scores(X), together, atol=1e-9)
    expected = [mixtures.log_likelihood(frames).mean(axis=0) for frames in X]
    np.testing.assert_allclose(together, expected, atol=1e-9)


def test_the_same_frames_twice_score_as_once() -> None:
    mixtures, X, _ = fitted()
    twice = np.empty(len(X), object)
    for row, frames in enumerate(X):
        twice[row] = np.concatenate([frames, frames[::-1]])
    np.testing.assert_allclose(mixtures.utterance_scores(twice), mixtures.utterance_scores(X), atol=1e-9)


def test_no_utterance_is_no_score() -> None:
    mixtures, X, _ = fitted()
    assert mixtures.utterance_scores(X[:0]).shape == (0, 3)


def test_a_vector_is_one_frame() -> None:
    X, y = utterances()
    vectors = np.stack([frames.mean(axis=0) for frames in X])
    mixtures = fit_mixtures(vectors, y, MixtureOptions(1, 0.01))
    np.testing.assert_array_equal(mixtures.utterance_scores(vectors), mixtures.log_likelihood(vectors))


def test_scores_are_of_one_size_whatever_the_feature() -> None:
    mixtures, X, y = fitted()
    vectors = np.stack([frames.mean(axis=0) for frames in X])
    for found in (mixtures.scores(X), fit_mixtures(vectors, y, MixtureOptions(1, 0.01)).scores(vectors)):
        assert (found - found.mean(axis=1, keepdims=True)).std() == pytest.approx(1.0)


def test_a_class_with_few_frames_has_few_components() -> None:
    X, y = utterances(rows=9)
    X[0], X[3], X[6] = (X[row][:6] for row in (0, 3, 6))
    mixtures = fit_mixtures(X, y, MixtureOptions(8))
    assert (mixtures.weights > 0).sum(axis=1).tolist() == [18 // FEWEST, 8, 8]
    np.testing.assert_allclose(mixtures.weights.sum(axis=1), 1.0)
    assert np.isfinite(mixtures.utterance_scores(X)).all()


def test_a_class_of_one_vector_and_columns_all_alike_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(21, 3)).astype(np.float32), np.arange(21) // 20
    X[:, 1] = 0.1
    mixtures = fit_mixtures(X, y, MixtureOptions(4, 0.1))
    assert np.isfinite(mixtures.scores(X)).all()
    assert mixtures.scale[1] == 1.0


def test_only_so_many_frames_of_a_class_are_learned_from_as_the_seed_draws_them() -> None:
    X, y = utterances()
    first, again, other = (fit_mixtures(X, y, MixtureOptions(2, frames=50, seed=s)) for s in (1, 1, 2))
    for name, array in first.tensors().items():
        np.testing.assert_array_equal(array, again.tensors()[name])
    assert (first.means != other.means).any()


def test_many_frames_are_begun_with_few() -> None:
    rng = np.random.default_rng(0)
    X = np.empty(2, object)
    for row in range(2):
        X[row] = rng.normal(row, 1.0, size=(BEGIN_WITH + 500, 2)).astype(np.float32)
    mixtures = fit_mixtures(X, np.arange(2), MixtureOptions(1, 1e-9))
    found = mixtures.means[:, 0] * mixtures.scale + mixtures.mean
    np.testing.assert_allclose(found, [frames.mean(axis=0) for frames in X], atol=1e-3)


def test_columns_not_chosen_change_nothing() -> None:
    X, y = utterances()
    options = MixtureOptions(2, columns=(3, 0))
    mixtures = fit_mixtures(X, y, options)
    assert mixtures.columns.tolist() == [0, 3]
    noise = np.empty(len(X), object)
    for row, frames in enumerate(X):
        noise[row] = frames.copy()
        noise[row][:, [1, 2, 4]] = row
    np.testing.assert_array_equal(mixtures.scores(noise), mixtures.scores(X))
    np.testing.assert_array_equal(fit_mixtures(noise, y, options).scores(X), mixtures.scores(X))
    with pytest.raises(UsageError, match="no column 5: the feature has 5, from 0 on"):
        fit_mixtures(X, y, MixtureOptions(2, columns=(5,)))


@pytest.mark.parametrize("change", [{"components": 0}, {"frames": 0}, {"floor": 0.0}, {"floor": -1.0}])
def test_options_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="Set all of them above 0"):
        replace(MixtureOptions(), **change)  # type: ignore[arg-type]


def test_what_is_neither_frames_nor_vectors_is_refused() -> None:
    X, y = utterances()
    mixtures = fit_mixtures(X, y, MixtureOptions(2))
    pairs = np.empty(len(X), object)
    for row, frames in enumerate(X):
        pairs[row] = (frames, frames[0])
    with pytest.raises(UsageError, match="read vectors, or the frames of one feature"):
        fit_mixtures(pairs, y, MixtureOptions(2))
    with pytest.raises(UsageError, match="the mixtures know 5 columns"):
        mixtures.scores(np.zeros((3, 4), np.float32))


def test_arrays_come_back_and_others_are_refused() -> None:
    mixtures, X, _ = fitted()
    tensors = mixtures.tensors()
    np.testing.assert_array_equal(Mixtures.of(tensors, 3).scores(X), mixtures.scores(X))
    changes: dict[str, np.ndarray] = {
        "mean": np.zeros(4),
        "scale": np.zeros(WIDTH),
        "columns": np.arange(1, WIDTH + 1),
        "weights": tensors["weights"] * 2,
        "means": tensors["means"][:, :2],
        "precisions": -tensors["precisions"],
        "spread": np.array([np.nan]),
    }
    for name, array in changes.items():
        with pytest.raises(ValueError, match="not those of Gaussian mixtures"):
            Mixtures.of({**tensors, name: array}, 3)
        with pytest.raises(ValueError, match="not those of Gaussian mixtures"):
            Mixtures.of({n: a for n, a in tensors.items() if n != name}, 3)
    for wrong in ({**tensors, "more": np.ones(1)}, {n: a[..., None] for n, a in tensors.items()}):
        with pytest.raises(ValueError, match="not those of Gaussian mixtures"):
            Mixtures.of(wrong, 3)
    with pytest.raises(ValueError, match="mixtures of 4 classes"):
        Mixtures.of(tensors, 4)
