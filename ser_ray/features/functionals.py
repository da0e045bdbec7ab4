"""Statistical functionals of contours, as openSMILE defines them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ser_ray.features.compiled import compiled
from ser_ray.features.feature import Array

COUNT = 21
_ALIKE = 1e-6  # a deviation below this share of the largest value is rounding

Row = npt.NDArray[np.float64]


def functionals(contours: Array, skip_zeros: bool = False) -> Array:
    """The 21 functionals of the INTERSPEECH 2010 challenge.

    In order: positions of the maximum and of the minimum in frames, mean; slope per frame and offset of the
    regression line, mean absolute and mean squared error of it; standard deviation, skewness, kurtosis (3
    for a normal distribution); quartiles and their three ranges; percentiles 1 and 99, interpolated, and
    their range; shares of frames above 75 and 90 % of the range. A contour without variation has no
    skewness and kurtosis, both are 0; one without frames has zeros everywhere.

    Args:
        contours: [contours, frames].
        skip_zeros: Leave frames out that are exactly zero; positions count those that are left.

    Returns:
        float32 [contours, 21].
    """
    return _describe(np.ascontiguousarray(contours), np.sort(contours, axis=1), skip_zeros)


@compiled
def _describe(contours: Array, ordered: Array, skip_zeros: bool) -> Array:
    found = np.zeros((len(contours), COUNT), dtype=np.float32)
    values = np.empty(contours.shape[1])
    for k in range(len(contours)):
        count = 0
        for value in contours[k]:
            if value != 0.0 or not skip_zeros:
                values[count] = value
                count += 1
        if count:
            _moments(values[:count], found[k])
            _percentiles(ordered[k], count, found[k])
    return found


@compiled
def _moments(values: Row, found: Array) -> None:
    """All but quartiles and percentiles."""
    count = len(values)
    middle = (count - 1) / 2
    total, along, highest, lowest = 0.0, 0.0, 0, 0
    for i in range(count):
        total += values[i]
        along += (i - middle) * values[i]
        if values[i] > values[highest]:
            highest = i
        if values[i] < values[lowest]:
            lowest = i
    mean = total / count
    slope = along / max(count * (count * count - 1.0) / 12.0, 1e-300)
    found[0], found[1], found[2], found[3], found[4] = highest, lowest, mean, slope, mean - slope * middle
    low, high = values[lowest], values[highest]
    upper, top = low + 0.75 * (high - low), low + 0.9 * (high - low)
    square, cube, fourth, absolute, squared = 0.0, 0.0, 0.0, 0.0, 0.0
    above, far_above = 0, 0
    for i in range(count):
        centred = values[i] - mean
        error = centred - slope * (i - middle)
        power = centred * centred
        square += power
        cube += power * centred
        fourth += power * power
        absolute += abs(error)
        squared += error * error
        above += values[i] > upper
        far_above += values[i] > top
    variance = square / count
    found[5], found[6], found[7] = absolute / count, squared / count, np.sqrt(variance)
    if np.sqrt(variance) > _ALIKE * max(abs(low), abs(high)):
        found[8] = cube / count / variance**1.5
        found[9] = fourth / count / variance**2
    found[19], found[20] = above / count, far_above / count


@compiled
def _percentiles(ordered: Array, count: int, found: Array) -> None:
    """Quartiles, percentiles and their ranges of a sorted contour, from which zeros may be left out."""
    negative = 0
    left_out = len(ordered) - count
    if left_out:
        negative = int(np.searchsorted(ordered, np.float32(0.0)))
    levels = np.empty(5)
    for k, share in enumerate((0.25, 0.5, 0.75, 0.01, 0.99)):
        place = share * (count - 1)
        below = int(place)
        above = min(below + 1, count - 1)
        part = place - below
        first = ordered[below if below < negative or not left_out else below + left_out]
        second = ordered[above if above < negative or not left_out else above + left_out]
        levels[k] = first + part * (np.float64(second) - first)
    q1, q2, q3, p1, p99 = levels
    found[10], found[11], found[12] = q1, q2, q3
    found[13], found[14], found[15] = q2 - q1, q3 - q2, q3 - q1
    found[16], found[17], found[18] = p1, p99, p99 - p1
