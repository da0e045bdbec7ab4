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
    fast: Callable[Given, Result] = numba.njit(cache=True, fastmath=_ORDER_IS_FREE, nogil=True)(function)
    return fast
