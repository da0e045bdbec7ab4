import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ser_ray.errors import UnknownName
from ser_ray.fusion.rules import RULES, STACKING, check_rule, normalise

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 6))
anything = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1)))
positive = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(1e-3, 1)))
posteriors = positive.map(lambda p: p / p.sum(axis=2, keepdims=True))

# Two members, one row, three emotions, not normalised: sums 0.8 and 1.0.
EXAMPLE = np.array([[[0.4, 0.3, 0.1]], [[0.5, 0.5, 0.0]]])


@given(posteriors)
def test_the_papers_rule_is_the_sum_of_squares_of_normalised_members(p):
    np.testing.assert_allclose(RULES["paper"](p), (p**2).sum(axis=0), rtol=1e-12)


@given(anything)
def test_the_papers_rule_divides_each_member_by_its_own_sum(p):
    expected = np.zeros(p.shape[1:])
    for member in p:
        for row, values in enumerate(member):
            for i, value in enumerate(values):
                expected[row, i] += value / values.sum() * value if values.sum() > 0 else 0.0
    np.testing.assert_allclose(RULES["paper"](p), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "confidences"),
    [
        ("paper", [0.4**2 / 0.8 + 0.25, 0.3**2 / 0.8 + 0.25, 0.1**2 / 0.8]),
        ("classifier_sum", [(0.16 + 0.25) / 0.9, (0.09 + 0.25) / 0.8, 0.01 / 0.1]),
        ("self_confidence", [(0.4 * 0.4 + 0.5 * 0.5) / 0.9, (0.4 * 0.3 + 0.5 * 0.5) / 0.9, 0.04 / 0.9]),
        ("soft", [0.45, 0.4, 0.05]),
        ("max", [0.5, 0.5, 0.1]),
    ],
)
def test_every_rule_gives_what_is_reckoned_by_hand(rule, confidences):
    np.testing.assert_allclose(RULES[rule](EXAMPLE), [confidences])


def test_no_rule_is_without_an_example_here():
    assert set(RULES) == {"paper", "classifier_sum", "self_confidence", "soft", "max"}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_nothing_over_nothing_is_nothing(rule):
    p = np.zeros((2, 3, 4))
    p[:, 0, 1] = [0.5, 1.0]
    fused = RULES[rule](p)
    assert np.isfinite(fused).all()
    assert fused[1:].tolist() == [[0.0] * 4] * 2
    assert fused[0].argmax() == 1
    assert fused[0, [0, 2, 3]].tolist() == [0.0] * 3


@pytest.mark.parametrize("rule", sorted(RULES))
@given(p=anything, seed=st.integers(0, 99))
def test_the_order_of_the_members_does_not_matter(rule, p, seed):
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_allclose(RULES[rule](p[order]), RULES[rule](p), atol=1e-12)


@pytest.mark.parametrize("rule", sorted(RULES))
@given(p=posteriors)
def test_members_that_agree_keep_their_order_of_emotions(rule, p):
    fused = RULES[rule](np.repeat(p[:1], 3, axis=0))
    assert fused.shape == p.shape[1:]
    np.testing.assert_allclose(np.take_along_axis(fused, p[0].argmax(1)[:, None], 1)[:, 0], fused.max(axis=1))


@given(anything)
def test_normalised_rows_sum_to_one_and_keep_their_ratios(p):
    confidence = p[0]
    q = normalise(confidence)
    np.testing.assert_allclose(q.sum(axis=1), 1.0)
    zero = confidence.sum(axis=1) == 0
    assert (q[zero] == 1 / q.shape[1]).all()
    back = q[~zero] * confidence[~zero].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(back, confidence[~zero], atol=1e-300)  # below, floats lose their digits


def test_unknown_rules_are_answered_with_the_nearest():
    assert [check_rule(rule) for rule in (*RULES, STACKING)] == [*RULES, "stacking"]
    with pytest.raises(UnknownName, match=r"unknown rule 'papr'\. Did you mean: paper"):
        check_rule("papr")
