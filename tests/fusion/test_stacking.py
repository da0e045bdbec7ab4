import numpy as np
import pytest

from ser_ray.fusion import stacking
from ser_ray.fusion.stacking import BIAS_PENALTY, WEIGHT_PENALTY, Stacker, cross_fitted, fit_stacking


def members(rows=240, labels=3, seed=0):
    """A member that knows the truth rather well, and one that guesses."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % labels
    good = rng.dirichlet(np.ones(labels), rows)
    good[np.arange(rows), y] += 0.7
    bad = rng.dirichlet(np.ones(labels), rows)
    p = np.stack([good / good.sum(axis=1, keepdims=True), bad])
    groups = np.array([f"s{i}" for i in (np.arange(rows) // labels) % 8])
    return p, y, groups


@pytest.mark.parametrize("labels", [2, 3, 7])
def test_the_fit_minimises_the_penalised_balanced_log_loss(labels):
    p, y, _ = members(labels=labels)
    fitted = fit_stacking(p, y)

    def loss(weight, bias):
        q = Stacker(weight, bias)(p)
        by_label = [-np.log(q[y == k, k]).mean() for k in range(labels)]
        return np.mean(by_label) + WEIGHT_PENALTY * (weight**2).sum() + BIAS_PENALTY * (bias**2).sum()

    best = loss(fitted.weight, fitted.bias)
    rng = np.random.default_rng(0)
    for _ in range(50):
        step = rng.normal(scale=0.05, size=2 + labels)
        assert loss(fitted.weight + step[:2], fitted.bias + step[2:]) > best


def test_stacking_learns_whom_to_believe():
    p, y, _ = members()
    unseen, truth, _ = members(seed=1)
    stacked = (fit_stacking(p, y)(unseen).argmax(axis=1) == truth).mean()
    mean = (unseen.mean(axis=0).argmax(axis=1) == truth).mean()
    assert stacked > mean + 0.05


def test_zeros_and_ones_are_no_trouble():
    p, y, _ = members()
    p[1] = np.eye(3)[(y + 1) % 3]
    q = fit_stacking(p, y)(p)
    assert np.isfinite(q).all()
    np.testing.assert_allclose(q.sum(axis=1), 1.0)


@pytest.mark.parametrize("present", [(0, 2), (1, 2, 3)])
def test_a_label_without_rows_gets_hardly_any_probability(present):
    p, y, _ = members(labels=4)
    kept = np.isin(y, present)
    stacker = fit_stacking(p[:, kept], y[kept])
    q = stacker(p[:, kept])
    absent = [k for k in range(4) if k not in present]
    assert q.shape == (kept.sum(), 4)
    assert q[:, absent].max() < 1e-3
    assert (q.argmax(axis=1) == y[kept]).mean() > 0.6


def test_a_stacker_is_plain_arithmetic():
    stacker = Stacker(np.array([np.log(2.0), 0.0]), np.log([1.0, 3.0]))
    p = np.array([[[1.0, 0.0]], [[0.5, 0.5]]])
    np.testing.assert_allclose(stacker(p), [[2 / 5, 3 / 5]])


def test_cross_fitted_rows_are_predicted_without_their_speaker():
    """Rows that no stacker has learned from: each fold equals a fit on the others alone."""
    p, y, groups = members()
    fused = cross_fitted(p, y, groups, seed=0)
    assert fused.shape == (240, 3)
    np.testing.assert_allclose(fused.sum(axis=1), 1.0)
    for fold in stacking.grouped_folds(y, groups, stacking.FOLDS, 0):
        assert not set(groups[fold.train]) & set(groups[fold.test])
        alone = fit_stacking(p[:, fold.train], y[fold.train])(p[:, fold.test])
        np.testing.assert_array_equal(fused[fold.test], alone)


def test_cross_fitting_does_not_flatter_guessers():
    """Thirty members that guess: what is fitted looks good, what is cross-fitted stays at chance."""
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), (30, 150)), np.arange(150) % 3
    fitted = (fit_stacking(p, y)(p).argmax(axis=1) == y).mean()
    honest = (cross_fitted(p, y, None).argmax(axis=1) == y).mean()
    assert fitted > 0.5
    assert honest < 0.45
