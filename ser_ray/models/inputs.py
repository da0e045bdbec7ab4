"""What a classifier reads: the values of its features, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def stacked(values: Sequence[np.ndarray]) -> np.ndarray:
    """One feature of several utterances: vectors as [rows, columns], all else as an object array [rows]."""
    if values and values[0].ndim == 1:
        return np.stack(values)
    result = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        result[row] = value
    return result


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Several features of the same utterances.

    Args:
        parts: [rows, columns] or an object array [rows] each.

    Returns:
        Vectors joined, [rows, columns]; else an object array [rows] of arrays, or, of several features, of
        tuples of arrays.
    """
    if all(part.ndim == 2 and part.dtype != object for part in parts):
        return np.concatenate(parts, axis=1)
    if len(parts) == 1:
        return stacked(list(parts[0]))
    result = np.empty(len(parts[0]), dtype=object)
    for row, values in enumerate(zip(*parts, strict=True)):
        result[row] = values
    return result
