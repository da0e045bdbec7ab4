"""Training step by step: the same end as in one go, and something to be tried at each stop."""

from __future__ import annotations

import numpy as np
import pytest

from ser_ray.corpora.splits import Fold
from ser_ray.models import family
from ser_ray.models.learner import Learner

GROWN = {
    "random_forest": {"trees": 12},
    "xgboost": {"trees": 12},
    "mlp": {"epochs": 6, "hidden": "8", "held_out": 0, "lr": 0.03},
}


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = generator.normal(size=(90, 6)).astype(np.float32)
    X[:, 0] += y
    return X, y, np.arange(90) // 9


@pytest.mark.parametrize("name", GROWN)
def test_training_step_by_step_ends_like_training_in_one_go(
    name: str, rows: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    X, y, speakers = rows
    kind = family(name)
    learner = Learner(kind, kind.settings(GROWN[name]), X, y, speakers, 3)
    fold = learner.folds(3)[0]
    stops = [p for p, _ in learner.grow(fold, (1 / 3, 2 / 3, 1.0))]
    whole = learner.predict(learner.learn(fold.train), fold.test)
    np.testing.assert_allclose(stops[-1], whole, atol=1e-6)
    assert len(stops) == 3
    assert np.abs(stops[0] - whole).max() > 0.01


def test_a_forest_stops_with_the_trees_that_a_smaller_one_would_have(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, y, speakers = rows
    kind = family("random_forest")
    learner = Learner(kind, kind.settings({"trees": 12}), X, y, speakers, 3)
    small = Learner(kind, kind.settings({"trees": 4}), X, y, speakers, 3)
    fold = learner.folds(3)[0]
    first, _ = next(learner.grow(fold, (1 / 3, 1.0)))
    np.testing.assert_allclose(first, small.predict(small.learn(fold.train), fold.test))


def test_a_network_goes_on_from_where_another_growth_stopped(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, y, speakers = rows
    kind = family("mlp")
    learner = Learner(kind, kind.settings(GROWN["mlp"]), X, y, speakers, 3)
    fold = learner.folds(3)[0]
    broken_off = learner.grow(fold, (0.5, 1.0))
    _, state = next(broken_off)
    (went_on,) = (p for p, _ in learner.grow(fold, (1.0,), state))
    np.testing.assert_allclose(went_on, learner.predict(learner.learn(fold.train), fold.test), atol=1e-6)


def test_a_family_without_stages_makes_one_step(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, _ = rows
    kind = family("svm")
    learner = Learner(kind, kind.settings({}), X, y, None, 3)
    fold = Fold("half", np.arange(45), np.arange(45, 90))
    ((p, state),) = learner.grow(fold, (0.1, 1.0))
    assert state is None
    np.testing.assert_allclose(p, learner.predict(learner.learn(fold.train), fold.test))
