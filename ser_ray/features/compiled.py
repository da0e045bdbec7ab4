"""Loops over samples and frames as machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

Given = ParamSpec("Given")
Result = TypeVar("Result")

# Sums may be taken in any order, several terms at once. NaN and infinity keep their meaning.
_ORDER_IS_FREE = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The function, compiled by numba at its first call; the code is kept on disk for later processes.

    A module that uses it takes most of a second to import: import it where it is needed first.
    """
    options = {"fastmath": _ORDER_IS_FREE, "nogil": True}
    fast: Callable[Given, Result]
    try:
        fast = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the code may be written
        fast = numba.njit(**options)(function)
    return fast
