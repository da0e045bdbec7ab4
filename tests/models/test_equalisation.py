"""Histogram equalisation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.models.normalisation import QUANTILES, get
from tests.models.examples import EXACT, pieces, rows


def equalised(X, reference, prior=0):
    X, reference = np.asarray(X, float)[:, None], np.asarray(reference, float)[:, None]
    normaliser = get(f"equalise(scope=speaker,prior={prior})").fit(reference, ["x"] * len(reference))
    return normaliser(X, ["new"] * len(X))[:, 0]


def test_ranks_are_mapped_on_the_quantiles_of_the_training_data():
    reference = np.linspace(0.0, 10.0, 1001)  # the quantile at p is 10 p
    done = equalised([5.0, -300.0, 7.0, 7.0, 6.0], reference)
    np.testing.assert_allclose(done, [3.0, 1.0, 8.0, 8.0, 5.0], atol=0.01)  # ties of average rank


def test_beyond_the_outer_quantiles_there_is_nothing():
    reference = np.arange(QUANTILES, dtype=float)
    done = equalised(np.linspace(-1e6, 1e6, 5000), reference)
    assert (done[0], done[-1]) == (0.0, QUANTILES - 1)
    far = equalised([-1e6, 1e6], reference, prior=1e6)
    np.testing.assert_allclose(far, [0.0, QUANTILES - 1], atol=0.01)


values = st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=60)


@settings(max_examples=100, deadline=None)
@given(values, values, st.sampled_from([0, 1, 4, 50]))
def test_equalisation_keeps_the_order_within_a_speaker(X, reference, prior):
    X = np.sort(np.array(X))
    done = equalised(X, reference, prior)
    assert (np.diff(done) >= -1e-9 * np.abs(done[1:])).all()
    assert done.min() >= min(reference) - 1e-9 * abs(min(reference))
    assert done.max() <= max(reference) + 1e-9 * abs(max(reference))
    same = np.diff(X) == 0
    np.testing.assert_array_equal(done[1:][same], done[:-1][same])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=60, unique=True), values)
def test_without_a_prior_a_speaker_gets_the_distribution_of_the_training_data(X, reference):
    n = len(X)
    done = np.sort(equalised(X, reference))
    expected = np.quantile(np.sort(reference), (np.arange(n) + 0.5) / n, method="hazen")
    spread = np.ptp(reference)
    # 512 quantiles stand for the data: the levels agree to one of them
    below, above = (
        np.quantile(reference, np.clip((np.arange(n) + 0.5) / n + d / QUANTILES, 0, 1), method="hazen")
        for d in (-1, 1)
    )
    assert (done >= below - 1e-9 * spread - 1e-9).all()
    assert (done <= above + 1e-9 * spread + 1e-9).all()
    assert np.abs(done - expected).mean() <= (above - below).mean() + 1e-9


def test_training_data_equalised_by_themselves_stay_what_they_are():
    X = rows(QUANTILES)
    for prior in (0, 4, 1000):
        normaliser = get(f"equalise(scope=speaker,prior={prior})").fit(X, ["x"] * QUANTILES)
        np.testing.assert_allclose(normaliser(X, ["x"] * QUANTILES), X, **EXACT)


def test_a_distortion_that_keeps_the_order_changes_nothing():
    reference, X = rows(300)[:, 0], rows(50, seed=1)[:, 0]
    np.testing.assert_array_equal(equalised(np.exp(2 * X) - 7, reference), equalised(X, reference))


def test_little_of_a_speaker_keeps_its_rank_in_the_corpus():
    reference = np.linspace(0.0, 10.0, 1001)
    assert equalised([9.0], reference) == pytest.approx([5.0], abs=0.01)  # alone, it is its own median
    assert equalised([9.0], reference, prior=4) == pytest.approx([(1 * 5.0 + 4 * 9.0) / 5], abs=0.01)
    assert equalised([9.0] * 4, reference, prior=4) == pytest.approx([7.0] * 4, abs=0.01)


def test_values_that_are_often_there_have_the_middle_of_their_levels():
    reference = np.repeat([0.0, 1.0, 2.0], 100)  # 1 takes the levels from 1/3 to 2/3
    np.testing.assert_allclose(equalised([0.0, 1.0, 2.0], reference, prior=4), [0.0, 1.0, 2.0], atol=1e-9)


def test_sequences_are_equalised_frame_by_frame():
    known, X = pieces([200, 300]), pieces([40, 60], seed=1, shift=9.0)
    by_utterance = get("equalise(scope=utterance)").fit(known)(X)
    single = get("equalise(scope=speaker,prior=0)").fit(known, ["a", "b"])
    for k in range(2):
        np.testing.assert_array_equal(by_utterance[k], single(X[k : k + 1], ["c"])[0])
    pooled = np.concatenate(list(single(X, ["c", "c"])))
    flat = get("equalise(scope=speaker,prior=0)").fit(np.concatenate(list(known)), ["a"] * 500)
    np.testing.assert_array_equal(pooled, flat(np.concatenate(list(X)), ["c"] * 100))
