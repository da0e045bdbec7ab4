"""Search spaces: fixed, listed, narrowed and replaced, and their grid."""

from __future__ import annotations

from typing import Any

import pytest

from ser_ray.errors import UsageError
from ser_ray.models import family
from ser_ray.models.space import Space, space_of

SVM = family("svm")


def test_a_family_is_searched_as_it_declares() -> None:
    space = space_of(SVM, {})
    assert space.searched == SVM.space
    assert space.fixed == {}


def test_a_user_fixes_lists_narrows_and_replaces() -> None:
    space = space_of(SVM, {"C": {"low": 1, "high": 5.0}, "gamma": "0.5", "feature.n": [20, 40]})
    assert space.searched == {
        "C": {"type": "log", "low": 1, "high": 5.0},
        "feature.n": {"type": "choice", "choices": [20, 40]},
    }
    assert space.fixed == {"gamma": 0.5}
    assert space_of(SVM, {"C": [1, 2]}).searched["C"] == {"type": "choice", "choices": [1, 2]}
    other = {"type": "float", "low": 0.0, "high": 1.0}
    assert space_of(SVM, {"gamma": other}).searched["gamma"] == other


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"Q": 1}, "svm has no setting 'Q'. It has: C, gamma"),
        ({"C": {"low": 10, "high": 1}}, "C is no range from 10 to 1"),
        ({"C": {"low": 0}}, "C cannot be searched on a logarithmic scale from 0"),
        ({"C": {"type": "linear"}}, "C is of type 'linear', which is none of log, float, int, choice"),
        ({"C": {"high": "much"}}, "C is no range"),
        ({"C": []}, "C has no choices"),
        ({"C": "much"}, "C='much' should be of type float"),
        ({"C": 1, "gamma": 1}, "nothing is left to search"),
        ({"feature.n": {"type": "int", "low": 1, "high": 3}}, "feature.n needs a list of values"),
    ],
)
def test_what_is_no_space_is_refused(given: dict[str, Any], cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        space_of(SVM, given)


def test_the_grid_has_all_combinations_and_both_ends() -> None:
    space = Space(
        {
            "a": {"type": "log", "low": 1, "high": 100},
            "b": {"type": "int", "low": 1, "high": 2},
            "c": {"type": "choice", "choices": ["x", "y"]},
        }
    )
    found = list(space.grid(3))
    assert len(found) == space.grid_size(3) == 3 * 2 * 2
    assert sorted({row["a"] for row in found}) == pytest.approx([1.0, 10.0, 100.0])
    assert {row["b"] for row in found} == {1, 2}
    assert len({tuple(row.values()) for row in found}) == 12
