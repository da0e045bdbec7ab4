"""Sequential forward selection (Whitney, 1971): which few columns of many serve best together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ser_ray.errors import UsageError

Score = Callable[[Sequence[tuple[int, ...]]], Sequence[float]]  # of each set of columns; higher is better


class Step(NamedTuple):
    """The columns chosen so far, the latest last, and the score of all of them together."""

    columns: tuple[int, ...]
    score: float


def forward_selection(candidates: int, wanted: int, score: Score) -> list[Step]:
    """Take in column after column, each time that with which the score is highest.

    Args:
        candidates: how many columns there are.
        wanted: how many are chosen.
        score: of each of several sets of columns; asked once a round, for all of its candidates. Of columns
            that score alike, the smallest is taken.

    Returns:
        One step for each column chosen.

    Raises:
        UsageError: fewer than one column is wanted, or more than there are.
    """
    if not 1 <= wanted <= candidates:
        raise UsageError(f"{wanted} of {candidates} columns cannot be chosen. Ask for 1 to {candidates}.")
    steps: list[Step] = []
    chosen: tuple[int, ...] = ()
    for _ in range(wanted):
        offered = [(*chosen, column) for column in range(candidates) if column not in chosen]
        scores = [float(value) for value in score(offered)]
        best = scores.index(max(scores))
        chosen = offered[best]
        steps.append(Step(chosen, scores[best]))
    return steps


def columns_text(columns: Iterable[int]) -> str:
    """Columns as a setting tells them: 3, 0 and 17 as "0-3-17"."""
    return "-".join(str(column) for column in sorted(columns))


def columns_of(text: Any) -> tuple[int, ...]:
    """The columns that a setting tells, ascending; none of "", which stands for all.

    Raises:
        UsageError: it is not written like "0-3-17", or tells a column twice.
    """
    parts = str(text).split("-") if text != "" else []
    columns = {int(part) for part in parts if part.isascii() and part.isdigit()}
    if len(columns) < len(parts):
        raise UsageError(f"columns={text!r} lists no columns. Write them like 0-3-17, each once.")
    return tuple(sorted(columns))
