"""How often the surest predictions are right, and what may be promised of it."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ser_ray.corpora.splits import grouped_folds
from ser_ray.errors import UsageError
from ser_ray.evaluation import cross_selected, select, selection_for, selections

# Ten rows, surest first; the 1st, 2nd, 4th, 5th and 8th are right.
CONFIDENCE = np.array([0.95, 0.9, 0.85, 0.8, 0.8, 0.7, 0.65, 0.6, 0.55, 0.51])
RIGHT = np.array([1, 1, 0, 1, 1, 0, 0, 1, 0, 0], dtype=bool)


def rows(confidence, right):
    """Two labels of which the first is taken: truths and probabilities."""
    return np.where(right, 0, 1), np.column_stack([confidence, 1 - np.asarray(confidence)])


def calibrated(n=2000, seed=0, honest=True):
    """Confidences that are kept, or that say nothing."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1.0, n)
    return rows(confidence, rng.random(n) < (confidence if honest else 0.5))


def test_coverage_and_precision_are_as_counted_by_hand():
    found = select(*rows(CONFIDENCE, RIGHT), None, 0.8)
    assert (found.certain_from, found.coverage, found.precision) == (0.8, 0.5, 0.8)
    nobody = select(*rows(CONFIDENCE, RIGHT), None, 0.99)
    assert (nobody.coverage, nobody.precision, nobody.low) == (0.0, None, 0.0)
    shown = selections(*rows(CONFIDENCE, RIGHT), None, (1.0, 0.4, 0.1, 0.01))
    assert [(s.certain_from, s.coverage, s.precision) for s in shown] == [
        (0.51, 1.0, 0.5), (0.8, 0.5, 0.8), (0.95, 0.1, 1.0), (0.95, 0.1, 1.0)  # two rows have 0.8
    ]  # fmt: skip


@pytest.mark.parametrize(("hits", "n"), [(80, 100), (5, 5), (0, 7), (450, 500)])
def test_the_lower_end_is_wilsons(hits, n):
    found = select(*rows(np.full(n, 0.9), np.arange(n) < hits), None, 0.5)
    expected = binomtest(hits, n).proportion_ci(0.9, method="wilson").low  # one-sided 95 %
    assert found.low == pytest.approx(expected, abs=1e-4)


def test_speakers_that_differ_promise_less_than_rows_that_do_not():
    y, p = rows(np.full(200, 0.9), np.arange(200) < 160)
    alike = np.arange(200) % 10  # each speaker right in 16 of 20
    apart = np.arange(200) // 20  # eight speakers always right, two never
    none, same, low = (select(y, p, speakers, 0.5).low for speakers in (None, alike, apart))
    assert none == same == pytest.approx(0.75, abs=0.01)
    # speakers spread by 10/9 x (8 x 4^2 + 2 x 16^2), independent rows by 200 x 0.8 x 0.2: 200 count for 9
    assert (0.8 - low) ** 2 == pytest.approx(1.645**2 * low * (1 - low) / 9)
    assert low < 0.6


def test_the_largest_coverage_that_keeps_the_promise_is_chosen():
    y, p = calibrated()
    chosen = selection_for(0.8, y, p, None)
    assert chosen.low >= 0.8
    more = [s for s in selections(y, p, None, np.arange(100, 0, -1) / 100) if s.coverage > chosen.coverage]
    assert more
    assert all(s.low < 0.8 for s in more)
    assert 0.55 < chosen.certain_from < 0.72  # of confidences from c to 1 half of 1 + c is right: 0.6


def test_a_promise_that_nothing_keeps_is_refused_with_the_best():
    with pytest.raises(UsageError, match=r"precision of 99\.9 %: the best is at least \d+\.\d %, at a cov"):
        selection_for(0.999, *calibrated(), None)


def test_speakers_who_did_not_choose_get_what_was_promised():
    speakers = np.arange(2000) % 20
    y, p = calibrated()
    found = cross_selected(0.8, y, p, speakers)
    assert found.precision == pytest.approx(0.8, abs=0.03)
    assert found.coverage == pytest.approx(selection_for(0.8, y, p, speakers).coverage, abs=0.1)
    nothing = cross_selected(0.8, *calibrated(honest=False), speakers)
    assert (nothing.coverage, nothing.precision) == (0.0, None)


def test_a_speakers_own_rows_do_not_choose_their_threshold():
    speakers = np.arange(1000) % 10
    y, p = calibrated(1000)
    certain = np.zeros(1000, dtype=bool)
    for fold in grouped_folds(y, speakers, 5, 0):
        chosen = selection_for(0.75, y[fold.train], p[fold.train], speakers[fold.train])
        certain[fold.test] = p[fold.test].max(axis=1) >= chosen.certain_from
    found = cross_selected(0.75, y, p, speakers)
    assert found.coverage == pytest.approx(certain.mean())
    assert found.precision == pytest.approx((p.argmax(axis=1) == y)[certain].mean())
