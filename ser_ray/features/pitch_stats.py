"""Statistics of the pitch contour: one vector for one utterance."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ser_ray.features.f0 import F0
from ser_ray.features.feature import Array, Batch

CONTOURS = ("f0", "d_f0", "dd_f0", "log_f0")
STATISTICS = (
    *("mean", "std", "min", "max", "range", "q1", "median", "q3", "iqr", "skewness", "kurtosis"),
    *("slope", "offset", "error"),
)
REACH = 2  # frames to either side that a median or a delta sees
_ALIKE = 1e-6  # a deviation below this share of the largest value is rounding

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PitchStats(F0):
    """Fourteen statistics [56] of each of four contours, over the voiced frames of `f0`.

    The contours: F0 in Hz, its delta in Hz/s, the delta of that in Hz/s^2, and the natural logarithm of F0.
    First a median of five frames mends single octave errors; deltas are regressions over two frames to
    either side. Both see one voiced stretch at a time, its ends repeated, so that neither a pause nor the
    jump from one stretch to the next counts as movement.

    The statistics: mean, standard deviation, minimum, maximum, range, quartiles, interquartile range,
    skewness and excess kurtosis, the gross statistics that Busso, Lee and Narayanan (2009) compare; and, as
    in the INTERSPEECH 2009 Emotion Challenge, the line fitted to the voiced frames: its slope per second,
    its value at the first of them, and the mean squared error. Silence around an utterance changes none.

    With one voiced frame, or frames all alike, the spread, the shape, the slope and the error are 0. With
    no voiced frame all 56 are 0. Attributes are those of `F0`.
    """

    name: ClassVar[str] = "pitch_stats"
    version: ClassVar[int] = F0.version  # other code there gives other values here

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (len(self.names),)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{contour}_{statistic}" for contour in CONTOURS for statistic in STATISTICS)

    def _compute(self, batch: Batch) -> list[Array]:
        contour = F0(**{field.name: getattr(self, field.name) for field in fields(F0)})
        frame_s = self.hop / self.rate
        return [describe(mend(frames[:, 0]), frame_s) for frames in batch.values(contour)]


def mend(f0: Array) -> Array:
    """A contour [frames], 0 where unvoiced, with the median of five frames in each voiced stretch."""
    voiced = np.flatnonzero(f0)
    mended = f0.copy()
    mended[voiced] = np.sort(f0[voiced][_around(voiced)], axis=0)[REACH]
    return mended


def describe(f0: Array, frame_s: float) -> Array:
    """The statistics of a contour.

    Args:
        f0: Hz, 0 where unvoiced [frames].
        frame_s: Seconds from frame to frame.

    Returns:
        float32 [56]: `STATISTICS` of each of `CONTOURS`; see `PitchStats`.
    """
    voiced = np.flatnonzero(f0)
    if not voiced.size:
        return np.zeros(len(CONTOURS) * len(STATISTICS), dtype=np.float32)
    around = _around(voiced)
    pitch = f0[voiced].astype(np.float64)
    velocity = _slope(pitch[around]) / frame_s
    acceleration = _slope(velocity[around]) / frame_s
    contours = np.stack([pitch, velocity, acceleration, np.log(pitch)])
    return _statistics(contours, (voiced - voiced[0]) * frame_s).astype(np.float32).ravel()


def _around(voiced: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """For each voiced frame those up to `REACH` before and after it [2 * REACH + 1, frames].

    All count voiced frames only. Beyond the ends of a stretch without a pause stands its first or last.
    """
    gaps = np.flatnonzero(np.diff(voiced) > 1)
    edges = np.concatenate([[0], gaps + 1, [voiced.size]])
    first, last = (np.repeat(ends, np.diff(edges)) for ends in (edges[:-1], edges[1:] - 1))
    near = np.arange(voiced.size) + np.arange(-REACH, REACH + 1)[:, None]
    return np.asarray(np.clip(near, first, last))


def _slope(around: Rows) -> Rows:
    """Regression over five neighbouring values [5, frames], per frame, as `mfcc.delta`."""
    return np.asarray((around[3] - around[1] + 2 * (around[4] - around[0])) / 10)


def _statistics(rows: Rows, times: Rows) -> Rows:
    """`STATISTICS` of each row of [contours, frames]: [contours, len(STATISTICS)]."""
    mean = rows.mean(axis=1)
    centred = rows - mean[:, None]
    deviation = np.sqrt(np.square(centred).mean(axis=1))
    alike = deviation <= _ALIKE * np.abs(rows).max(axis=1)
    scaled = centred / np.where(alike, np.inf, deviation)[:, None]
    kurtosis = np.where(alike, 0.0, (scaled**4).mean(axis=1) - 3.0)
    low, q1, median, q3, high = np.percentile(rows, (0, 25, 50, 75, 100), axis=1)
    since = times - times.mean()
    slope = centred @ since / max(since @ since, np.finfo(np.float64).tiny)
    error = np.square(centred - slope[:, None] * since).mean(axis=1)
    offset = mean - slope * times.mean()
    columns = [mean, deviation, low, high, high - low, q1, median, q3, q3 - q1]
    return np.stack([*columns, (scaled**3).mean(axis=1), kurtosis, slope, offset, error], axis=1)
