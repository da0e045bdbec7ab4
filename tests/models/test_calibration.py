import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from ser_ray.models.calibration import (
    FLOOR,
    ISOTONIC,
    KINDS,
    TEMPERATURE,
    Calibration,
    Isotonic,
    choose_kind,
    cross_calibrated,
    fit_calibration,
    fit_isotonic,
    read_calibration,
)


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


def test_isotonic_curves_are_as_reckoned_by_hand():
    """Four rows of two classes: 0.2 and 0.3 are out of order, so they share their half."""
    first = np.array([0.1, 0.2, 0.3, 0.8])
    isotonic = fit_isotonic(np.column_stack([first, 1 - first]), np.array([1, 0, 1, 0]))
    assert isotonic.p[0] == pytest.approx([0.1, 0.2, 0.3, 0.8])
    assert isotonic.share[0] == pytest.approx([1 / 6, 1 / 2, 1 / 2, 5 / 6])  # Laplace: not 0 and 1
    given_ = np.array([0.0, 0.1, 0.25, 0.55, 0.9])  # 0.55 lies halfway from 1/2 to 5/6
    expected = np.array([1 / 6, 1 / 6, 1 / 2, 2 / 3, 5 / 6])
    found = isotonic(np.column_stack([given_, 1 - given_]))
    np.testing.assert_allclose(found, np.column_stack([expected, 1 - expected]))


def bent(p):
    """Probabilities that are right below 0.6 and all taken for 0.99 above: no temperature mends that."""
    q = np.where(
        p.max(axis=1, keepdims=True) > 0.6, np.where(p == p.max(axis=1, keepdims=True), 99.0, 1.0), p
    )
    return q / q.sum(axis=1, keepdims=True)


def test_the_kind_is_chosen_by_held_out_speakers():
    p, y = predictions(rows=1500)
    speakers = np.arange(1500) % 15
    assert choose_kind(bent(p), y, speakers) == choose_kind(bent(p), y, None) == ISOTONIC
    assert choose_kind(predictions(rows=1500, sharpness=3.0)[0], y, speakers) == TEMPERATURE
    few, truth = predictions(rows=60)
    assert choose_kind(few, truth, np.arange(60) % 6) == TEMPERATURE


def test_isotonic_mends_what_a_temperature_cannot():
    p, y = predictions(rows=3000)
    unseen, truth = predictions(rows=3000, seed=1)
    losses = [
        balanced_log_loss(truth, fit(bent(p), y)(bent(unseen))) for fit in (fit_calibration, fit_isotonic)
    ]
    assert losses[1] < losses[0] - 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_cross_calibration_learns_nothing_from_its_own_rows(kind):
    """Probabilities that know nothing: an isotonic fit finds order in its own rows, and none in others."""
    p, y = predictions(rows=90)[0], np.random.default_rng(1).integers(4, size=90)
    crossed = cross_calibrated(p, y, np.arange(90) % 9, kind)
    np.testing.assert_allclose(crossed.sum(axis=1), 1.0)
    assert balanced_log_loss(y, crossed) > np.log(4) - 0.01
    if kind == ISOTONIC:
        assert balanced_log_loss(y, fit_isotonic(p, y)(p)) < np.log(4) - 0.05


@settings(max_examples=40, deadline=None)
@given(posteriors, st.data())
def test_isotonic_probabilities_are_positive_and_sum_to_one(rows, data):
    p = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    y = np.array(data.draw(st.lists(st.integers(0, p.shape[1] - 1), min_size=len(p), max_size=len(p))))
    isotonic = fit_isotonic(p, y)
    for q in (isotonic(p), isotonic(np.eye(p.shape[1]))):
        assert q.min() > 0
        np.testing.assert_allclose(q.sum(axis=1), 1.0)
    assert read_calibration(json.loads(json.dumps(asdict(isotonic)))) == isotonic


@pytest.mark.parametrize(
    "stored",
    [
        {"p": [[0.1, 0.5]], "share": [[0.9, 0.5]]},
        {"p": [[0.5, 0.1]], "share": [[0.5, 0.9]]},
        {"p": [[0.1, 0.5]], "share": [[0.0, 0.9]]},
        {"p": [[0.1, 0.5]], "share": [[0.5, 1.0]]},
        {"p": [[0.1, 0.5]], "share": [[0.5]]},
        {"p": [[0.1, 0.5]], "share": [[0.5, float("nan")]]},
        {"p": [[]], "share": [[]]},
        {"p": [[0.1]], "share": []},
        {"p": [[0.1]]},
    ],
)
def test_curves_that_do_not_rise_are_refused(stored):
    with pytest.raises((ValueError, KeyError)):
        read_calibration(stored)
    assert read_calibration({"p": [[0.1, 0.5]], "share": [[0.5, 0.9]]}) == Isotonic(
        ((0.1, 0.5),), ((0.5, 0.9),)
    )
