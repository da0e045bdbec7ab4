"""Segments of a leg heard with their neighbours."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ser_ray.fusion.smoothing import LASTS_S, NONE, SMOOTHINGS, hidden_markov, median, smooth

COURSE = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.1, 0.3], [0.2, 0.1, 0.7]])

posteriors = st.tuples(st.integers(1, 5), st.integers(2, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(1e-3, 1)).map(
        lambda p: p / p.sum(axis=1, keepdims=True)
    )
)


def by_all_courses(p, middle_s):
    """Posteriors by summing over every course that the labels may take."""
    rows, labels = p.shape
    result = np.zeros_like(p)
    for course in itertools.product(range(labels), repeat=rows):
        worth = np.prod([p[t, label] for t, label in enumerate(course)])
        for t in range(1, rows):
            kept = np.exp(-(middle_s[t] - middle_s[t - 1]) / LASTS_S)
            worth *= (1 - kept) / labels + kept * (course[t] == course[t - 1])
        for t, label in enumerate(course):
            result[t, label] += worth
    return result / result.sum(axis=1, keepdims=True)


def test_the_median_of_three_takes_a_lone_segment_out():
    expected = np.array([[0.7, 0.2, 0.1], [0.6, 0.2, 0.1], [0.2, 0.1, 0.3], [0.2, 0.1, 0.7]])
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(median(COURSE, np.arange(4.0)), expected)
    apart = median(np.eye(3), np.arange(3.0))  # three certainties that contradict one another
    np.testing.assert_allclose(apart, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]])


def test_two_segments_of_a_chain_are_as_reckoned_by_hand():
    """K = 2 and exp(-d / LASTS_S) = 1/2: a label stays with 3/4."""
    p = np.array([[0.8, 0.2], [0.4, 0.6]])
    found = hidden_markov(p, np.array([10.0, 10.0 + LASTS_S * np.log(2)]))
    same, other = 0.75, 0.25
    joint = np.array([[0.8 * same * 0.4, 0.8 * other * 0.6], [0.2 * other * 0.4, 0.2 * same * 0.6]])
    joint /= joint.sum()
    np.testing.assert_allclose(found, [joint.sum(axis=1), joint.sum(axis=0)])


@settings(max_examples=40, deadline=None)
@given(posteriors, st.floats(0.5, 100))
def test_a_chain_says_what_all_courses_together_say(p, apart_s):
    middle_s = np.cumsum(np.linspace(0.5, apart_s, len(p)))
    np.testing.assert_allclose(hidden_markov(p, middle_s), by_all_courses(p, middle_s), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(posteriors)
def test_after_a_long_silence_segments_are_heard_alone(p):
    np.testing.assert_allclose(hidden_markov(p, 1e6 * np.arange(len(p))), p, atol=1e-12)


def test_a_lone_doubtful_segment_follows_its_neighbours_and_a_sure_one_does_not():
    calm = [[0.1, 0.9]] * 3
    doubtful, sure = (np.array([*calm, [anger, 1 - anger], *calm]) for anger in (0.6, 0.999))
    middle_s = 3.0 * np.arange(7)
    assert hidden_markov(doubtful, middle_s)[3, 0] < 0.2
    assert hidden_markov(sure, middle_s)[3, 0] > 0.8


@pytest.mark.parametrize("name", SMOOTHINGS)
@settings(max_examples=40, deadline=None)
@given(posteriors)
def test_rows_sum_to_one(name, p):
    smoothed = SMOOTHINGS[name](p, 2.0 * np.arange(len(p)))
    np.testing.assert_allclose(smoothed.sum(axis=1), 1.0)
    assert smoothed.min() >= 0


@pytest.mark.parametrize("name", [NONE, *SMOOTHINGS])
def test_legs_are_smoothed_by_themselves_in_whatever_order_they_come(name):
    start_s = np.array([0.0, 3.0, 8.0, 11.0])
    agent = smooth(name, COURSE, ["agent"] * 4, start_s, start_s + 2)
    customer = smooth(name, COURSE[::-1], ["customer"] * 4, start_s + 1, start_s + 2)
    p, legs = np.concatenate([COURSE, COURSE[::-1]]), ["agent"] * 4 + ["customer"] * 4
    starts, ends = np.concatenate([start_s, start_s + 1]), np.concatenate([start_s + 2] * 2)
    order = np.array([5, 0, 3, 7, 1, 4, 6, 2])
    found = smooth(name, p[order], [legs[k] for k in order], starts[order], ends[order])
    np.testing.assert_allclose(found, np.concatenate([agent, customer])[order])
    assert np.allclose(agent, COURSE) == (name == NONE)


@pytest.mark.parametrize("name", [NONE, *SMOOTHINGS])
def test_a_lone_segment_stays_and_none_are_no_error(name):
    alone = smooth(name, COURSE[:1], [("a", "agent")], np.zeros(1), np.ones(1))
    np.testing.assert_allclose(alone, COURSE[:1])
    assert smooth(name, np.zeros((0, 3)), [], np.zeros(0), np.zeros(0)).shape == (0, 3)
