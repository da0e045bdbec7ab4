import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    recall_score,
)

from ser_ray.evaluation import Interval, average_precision, compare, measure, unweighted_accuracy
from ser_ray.evaluation.metrics import BINS

LABELS = ("anger", "fear", "neutral", "sadness")


def predictions(rows=400, seed=0, skill=1.0, present=4):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, present, rows)
    logits = rng.normal(size=(rows, 4))
    logits[np.arange(rows), y] += skill
    p = np.exp(logits)
    return y, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("present", [2, 4])
def test_figures_are_those_of_scikit_learn(present):
    """Also where some labels never occur in truth: they count in neither UA nor F1."""
    y, p = predictions(present=present)
    predicted, occurring = p.argmax(axis=1), list(range(present))
    report = measure(y, p, LABELS)
    assert report.wa.value == pytest.approx(accuracy_score(y, predicted))
    assert report.ua.value == pytest.approx(recall_score(y, predicted, labels=occurring, average="macro"))
    assert report.f1.value == pytest.approx(f1_score(y, predicted, labels=occurring, average="macro"))
    assert report.confusion == tuple(map(tuple, confusion_matrix(y, predicted, labels=range(4)).tolist()))
    assert report.n == tuple(np.bincount(y, minlength=4).tolist())
    assert report.labels == LABELS


def plain_calibration_error(y, p):
    total = 0.0
    for b in range(BINS):
        rows = [i for i in range(len(y)) if min(int(p[i].max() * BINS), BINS - 1) == b]
        if rows:
            accuracy = sum(p[i].argmax() == y[i] for i in rows) / len(rows)
            confidence = sum(p[i].max() for i in rows) / len(rows)
            total += len(rows) / len(y) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_calibration_error_is_that_of_a_plain_loop(sharpness):
    y, p = predictions()
    p = p**sharpness / (p**sharpness).sum(axis=1, keepdims=True)
    assert measure(y, p, LABELS).ece.value == pytest.approx(plain_calibration_error(y, p))


def test_certainty_that_is_right_has_no_error_and_certainty_that_is_wrong_has_all():
    y = np.arange(40) % 4
    right, wrong = measure(y, np.eye(4)[y], LABELS), measure(y, np.eye(4)[(y + 1) % 4], LABELS)
    assert (right.wa.value, right.ua.value, right.f1.value, right.ece.value) == (1.0, 1.0, 1.0, 0.0)
    assert (wrong.wa.value, wrong.ua.value, wrong.f1.value, wrong.ece.value) == (0.0, 0.0, 0.0, 1.0)
    assert (right.ua.low, right.ua.high) == (1.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 99), st.floats(0, 5), st.booleans())
def test_an_interval_holds_its_value_and_stays_between_0_and_1(rows, seed, skill, with_speakers):
    y, p = predictions(rows, seed, skill)
    speakers = np.arange(rows) % 7 if with_speakers else None
    report = measure(y, p, LABELS, speakers)
    for interval in (report.wa, report.ua, report.f1, report.ece):
        assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0 + 1e-9


def test_intervals_are_as_wide_as_theory_says():
    """400 utterances at accuracy a: a standard error of sqrt(a (1 - a) / 400)."""
    y, p = predictions()
    report = measure(y, p, LABELS)
    a = report.wa.value
    assert report.wa.high - report.wa.low == pytest.approx(2 * 1.96 * np.sqrt(a * (1 - a) / 400), rel=0.1)
    assert report.resampled == "utterances"


def test_speakers_are_resampled_whole():
    """Ten speakers, each always right or always wrong: only the number of speakers counts."""
    speakers = np.repeat([f"s{i}" for i in range(10)], 100)
    y = np.arange(1000) % 4
    predicted = np.where(np.repeat(np.arange(10) < 5, 100), y, (y + 1) % 4)
    report = measure(y, np.eye(4)[predicted], LABELS, speakers)
    assert report.resampled == "speakers"
    assert report.wa.value == 0.5
    assert report.wa.high - report.wa.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 10), rel=0.15)
    alone = measure(y, np.eye(4)[predicted], LABELS)
    assert alone.wa.high - alone.wa.low < 0.25 * (report.wa.high - report.wa.low)


@pytest.mark.parametrize(("count", "resampled"), [(4, "utterances"), (5, "speakers")])
def test_few_speakers_are_too_few_to_resample(count, resampled):
    y, p = predictions(40)
    assert measure(y, p, LABELS, np.arange(40) % count).resampled == resampled


def test_the_seed_decides_the_interval_and_nothing_else():
    y, p = predictions(60)
    assert measure(y, p, LABELS, seed=1) == measure(y, p, LABELS, seed=1)
    first, second = measure(y, p, LABELS, seed=1), measure(y, p, LABELS, seed=2)
    assert first.ece.value == second.ece.value
    assert (first.ece.low, first.ece.high) != (second.ece.low, second.ece.high)


def test_an_interval_reads_in_per_cent():
    assert str(Interval(0.5469, 0.5, 0.6)) == "54.7 [50.0, 60.0]"


def test_unweighted_accuracy_is_the_reports_ua():
    y, p = predictions(present=3)
    assert unweighted_accuracy(y, p) == pytest.approx(measure(y, p, LABELS).ua.value)


def test_a_difference_is_resampled_on_the_same_rows():
    """Two that err on the same rows differ by little for sure; each alone is uncertain."""
    y, p = predictions(rows=300, skill=1.0)
    better = p.copy()
    wrong = np.flatnonzero(p.argmax(axis=1) != y)[:12]
    better[wrong] = np.eye(4)[y[wrong]]
    found = compare(y, better, p)
    gain = measure(y, better, LABELS).ua.value - measure(y, p, LABELS).ua.value
    alone = measure(y, p, LABELS).ua
    assert found.value == pytest.approx(gain)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.6 * (alone.high - alone.low)
    same = compare(y, p, p)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_difference_is_resampled_by_speaker_where_there_are_enough():
    y, p = predictions(rows=300)
    q = np.roll(p, 1, axis=0)
    speakers = np.repeat(np.arange(6), 50)
    assert compare(y, p, q, speakers) != compare(y, p, q)
    assert compare(y, p, q, np.arange(300) % 4) == compare(y, p, q)


def test_average_precision_as_reckoned_by_hand():
    y, score = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(y, score).value == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert average_precision(y, np.zeros(4)).value == 0.5  # no order: chance


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_average_precision_is_that_of_scikit_learn_also_with_ties(rows):
    y, score = np.array([True, *(row[0] for row in rows)]), np.array([3, *(row[1] for row in rows)])
    found = average_precision(y, score)
    assert found.value == pytest.approx(average_precision_score(y, score))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_interval_of_average_precision_narrows_with_the_calls():
    rng = np.random.default_rng(0)
    y = rng.random(2000) < 0.2
    score = y + rng.normal(size=2000)
    few, many = average_precision(y[:80], score[:80]), average_precision(y, score)
    assert few.high - few.low > 3 * (many.high - many.low)
    again = average_precision(y[:80], score[:80], seed=1)
    assert again.value == few.value
    assert again.low == pytest.approx(few.low, abs=0.05)
