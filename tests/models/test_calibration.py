import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from ser_ray.models.calibration import FLOOR, Calibration, fit_calibration


def predictions(rows=600, classes=4, sharpness=1.0, seed=0, shares=None):
    """Posteriors that are right for equal priors where `sharpness` is 1, and truths drawn from them."""
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, size=rows, p=shares)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), y] += 1.0  # two unit normals 1 apart: the log-likelihood ratio is the logit
    return softmax(sharpness * logits, axis=1), y


def balanced_log_loss(y, p):
    return log_loss(y, p, sample_weight=1.0 / np.bincount(y)[y])


@pytest.mark.parametrize("sharpness", [4.0, 0.2])
def test_probabilities_too_sharp_or_too_flat_are_put_right(sharpness):
    p, y = predictions(sharpness=sharpness)
    unseen, truth = predictions(sharpness=sharpness, seed=1)
    calibration = fit_calibration(p, y)
    assert calibration.scale == pytest.approx(1 / sharpness, rel=0.2)
    before, after = balanced_log_loss(truth, unseen), balanced_log_loss(truth, calibration(unseen))
    right = balanced_log_loss(truth, predictions(seed=1)[0])
    assert after < before - 0.1
    assert after == pytest.approx(right, abs=0.02)


def test_the_fit_is_the_best_scale():
    p, y = predictions(sharpness=3.0)
    best = fit_calibration(p, y).scale
    losses = [balanced_log_loss(y, Calibration(s)(p)) for s in (0.9 * best, best, 1.1 * best)]
    assert losses[1] < min(losses[0], losses[2])


def test_how_often_an_emotion_was_recorded_says_nothing():
    """Rows of one class that are there ten times weigh no more than once."""
    p, y = predictions(rows=600, sharpness=3.0)
    often = np.concatenate([np.arange(600), np.repeat(np.flatnonzero(y == 0), 9)])
    assert fit_calibration(p[often], y[often]).scale == pytest.approx(fit_calibration(p, y).scale, rel=1e-4)


posteriors = st.integers(2, 5).flatmap(
    lambda k: st.lists(
        st.lists(st.floats(0, 1), min_size=k, max_size=k).filter(lambda row: sum(row) > 0.01),
        min_size=2,
        max_size=20,
    )
)


@settings(max_examples=60, deadline=None)
@given(posteriors, st.data())
def test_the_most_probable_class_never_changes(rows, data):
    p = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    y = np.array(data.draw(st.lists(st.integers(0, p.shape[1] - 1), min_size=len(p), max_size=len(p))))
    q = fit_calibration(p, y)(p)
    ranked = np.sort(np.maximum(p, FLOOR), axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 1e-6
    np.testing.assert_array_equal(q.argmax(axis=1)[clear], p.argmax(axis=1)[clear])
    np.testing.assert_allclose(q.sum(axis=1), 1.0)


@pytest.mark.parametrize("right", [True, False])
def test_certainties_give_finite_calibrations(right):
    y = np.array([0, 1, 2] * 5)
    p = np.eye(3)[y if right else (y + 1) % 3]
    calibration = fit_calibration(p, y)
    q = calibration(p)
    assert np.isfinite(q).all()
    assert np.isfinite(calibration.scale)
    assert (q.argmax(axis=1) == y).all() == right
    assert calibration.scale > 0


def test_a_class_without_rows_becomes_improbable_not_impossible():
    p, y = predictions(classes=3)
    padded = np.column_stack([p, np.full(len(p), FLOOR)])
    q = fit_calibration(padded, y)(padded)
    assert 0 < q[:, 3].max() < 0.01


def test_the_neutral_calibration_changes_nothing():
    p, _ = predictions()
    np.testing.assert_allclose(Calibration(1.0)(p), p, atol=1e-6)
