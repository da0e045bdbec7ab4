"""Checks of hyperparameters: each says what to set instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ser_ray.errors import UsageError


def positive(name: str, value: int) -> int:
    """`value`, if it is 1 or more.

    Raises:
        UsageError: it is less.
    """
    if value < 1:
        raise UsageError(f"{name}={value} is too small. Set it to 1 or more.")
    return value


def share(name: str, value: float) -> float:
    """`value`, if it is at least 0 and below 1.

    Raises:
        UsageError: it is not.
    """
    if not 0.0 <= value < 1.0:
        raise UsageError(f"{name}={value} is no share. Set it to 0 or more, and less than 1.")
    return value


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """`value`, if it is among `choices`.

    Raises:
        UsageError: it is not.
    """
    known = tuple(choices)
    if value not in known:
        raise UsageError(f"{name}={value!r} does not exist. Set it to one of: {', '.join(known)}.")
    return value


def widths(name: str, value: str | int) -> tuple[int, ...]:
    """Widths of layers, written like "512-256-128"; one alone may be a number.

    Raises:
        UsageError: it is not written so.
    """
    try:
        return tuple(positive(name, int(width)) for width in str(value).split("-"))
    except ValueError as error:
        raise UsageError(f"{name}={value!r} lists no widths. Write them like 512-256-128.") from error


def columns_of(shapes: Sequence[tuple[int | None, ...]], vectors: bool = False) -> int:
    """Columns of the only input, which is [frames, columns].

    Args:
        shapes: of the inputs.
        vectors: whether [columns] will do too, as one frame.

    Raises:
        UsageError: there are several inputs, or the one has other axes.
    """
    axes = (1, 2) if vectors else (2,)
    columns = shapes[0][-1] if len(shapes) == 1 and len(shapes[0]) in axes else None
    if columns is None:
        kind = "a vector or frames of columns" if vectors else "frames of columns"
        raise UsageError(f"This network reads {kind}, not {list(shapes)}. Give it one such feature.")
    return columns
