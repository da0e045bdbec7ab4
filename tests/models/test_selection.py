"""Forward selection finds what was planted, and columns are written and read alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.errors import UsageError
from ser_ray.models.selection import Step, columns_of, columns_text, forward_selection

WORTH = np.array([0.0, 3.0, 0.0, 1.0, 2.0])


def worth(offered: Sequence[tuple[int, ...]]) -> list[float]:
    """The sum of what columns are worth; 1 and 4 say the same."""
    return [float(WORTH[list(columns)].sum() - 2 * ({1, 4} <= set(columns))) for columns in offered]


def test_the_best_companion_is_taken_not_the_next_best_column() -> None:
    assert forward_selection(5, 3, worth) == [Step((1,), 3.0), Step((1, 3), 4.0), Step((1, 3, 0), 4.0)]


def test_of_columns_alike_the_smallest_is_taken() -> None:
    steps = forward_selection(4, 4, lambda offered: [1.0] * len(offered))
    assert steps[-1].columns == (0, 1, 2, 3)


def test_a_round_is_asked_at_once_and_in_order() -> None:
    asked: list[list[tuple[int, ...]]] = []

    def listen(offered: Sequence[tuple[int, ...]]) -> list[float]:
        asked.append(list(offered))
        return worth(offered)

    forward_selection(5, 2, listen)
    assert asked == [[(0,), (1,), (2,), (3,), (4,)], [(1, 0), (1, 2), (1, 3), (1, 4)]]


@pytest.mark.parametrize("wanted", [0, -1, 6])
def test_more_than_there_are_cannot_be_chosen(wanted: int) -> None:
    with pytest.raises(UsageError, match="Ask for 1 to 5"):
        forward_selection(5, wanted, worth)


@given(st.sets(st.integers(0, 60)))
def test_columns_are_read_as_they_are_written(columns: set[int]) -> None:
    assert columns_of(columns_text(columns)) == tuple(sorted(columns))


def test_a_number_alone_is_a_column_too() -> None:
    assert columns_of(7) == (7,)


@pytest.mark.parametrize("text", ["1,2", "-1", "1-", "a", "1-1", 1.5, True, None, "²"])
def test_what_lists_no_columns_is_refused(text: object) -> None:
    with pytest.raises(UsageError, match="Write them like 0-3-17"):
        columns_of(text)
