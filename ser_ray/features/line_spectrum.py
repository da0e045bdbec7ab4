"""Line spectral frequencies of frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ser_ray.features.compiled import compiled
from ser_ray.features.feature import Array

ORDER = 8  # of the linear prediction
_STEPS = 60  # of Newton's method, which from the right of all roots never overshoots

Row = npt.NDArray[np.float64]


def line_spectra(frames: Array) -> Array:
    """The line spectral frequencies of the prediction from 8 samples, by autocorrelation.

    The angles of the roots of the sum and of the difference of the predictor's polynomial and its mirror
    image (Itakura, 1975). They alternate on the unit circle. A silent frame has multiples of pi / 9.

    Args:
        frames: [frames, samples].

    Returns:
        Radians, ascending, float32 [frames, 8].
    """
    roots = _roots(np.ascontiguousarray(frames))
    return np.asarray(np.arccos(np.clip(roots, -1.0, 1.0)), dtype=np.float32)


@compiled
def _roots(frames: Array) -> Row:
    """Cosines of the line spectral frequencies [frames, 8]."""
    found = np.empty((len(frames), ORDER))
    of_sum, of_difference = np.ones(5), np.ones(5)
    for k in range(len(frames)):
        predictor = _predictor(_autocorrelation(frames[k]))
        mirror = predictor[::-1]
        for i in range(4):
            of_sum[i + 1] = predictor[i + 1] + mirror[i] - of_sum[i]
            of_difference[i + 1] = predictor[i + 1] - mirror[i] + of_difference[i]
        found[k, 0::2], found[k, 1::2] = _cosines(of_sum), _cosines(of_difference)
    return found


@compiled
def _autocorrelation(frame: Array) -> Row:
    """Sums of products at lags of 0 to 8 samples [9]."""
    found = np.empty(ORDER + 1)
    for lag in range(ORDER + 1):
        total, later = np.float32(0.0), frame[lag:]
        for i in range(len(later)):
            total += frame[i] * later[i]
        found[lag] = total
    return found


@compiled
def _predictor(correlation: Row) -> Row:
    """Polynomial of the prediction error, from 1 on [9], by the recursion of Levinson and Durbin."""
    predictor = np.zeros(ORDER + 1)
    before = np.zeros(ORDER + 1)
    predictor[0] = 1.0
    error = correlation[0]
    for order in range(1, ORDER + 1):
        if error <= 0.0:
            break
        total = 0.0
        for i in range(order):
            total += predictor[i] * correlation[order - i]
        reflection = -total / error
        before[:] = predictor
        for i in range(1, order + 1):
            predictor[i] += reflection * before[order - i]
        error *= 1.0 - reflection * reflection
    return predictor


@compiled
def _cosines(half: Row) -> tuple[float, float, float, float]:
    """Cosines of the four roots on the upper half circle, descending, of a symmetric polynomial [5].

    As a polynomial of the fourth degree in the cosine it has four real roots. From 1 downwards Newton's
    method finds two of them; two are left for the square root.
    """
    _, a, b, c, d = half
    p3, p2, p1, p0 = a / 2, (b - 4) / 4, (c - 3 * a) / 8, (1 - b + d / 2) / 8
    first = 1.0
    for _ in range(_STEPS):
        value = (((first + p3) * first + p2) * first + p1) * first + p0
        step = value / max(((4 * first + 3 * p3) * first + 2 * p2) * first + p1, 1e-12)
        first -= step
        if abs(step) < 1e-9:
            break
    q2 = first + p3
    q1 = q2 * first + p2
    q0 = q1 * first + p1
    second = first
    for _ in range(_STEPS):
        value = ((second + q2) * second + q1) * second + q0
        step = value / max((3 * second + 2 * q2) * second + q1, 1e-12)
        second -= step
        if abs(step) < 1e-9:
            break
    middle = -(second + q2) / 2
    product = (second + q2) * second + q1
    apart = np.sqrt(max(middle * middle - product, 0.0))
    return first, second, middle + apart, middle - apart
