"""Figures of recognition: WA, UA, macro-F1, calibration error, each with a 95 % interval.

The intervals are percentiles of a bootstrap over speakers where there are five or more (utterances of
one speaker are not independent), over utterances otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
BINS = 15
MIN_SPEAKERS = 5


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Report:
    """How well some predictions agree with the truth.

    Attributes:
        labels: order of the rows and columns of `confusion`.
        n: utterances of each label [labels].
        confusion: counts [true, predicted].
        wa: weighted accuracy: share of all utterances that is right.
        ua: unweighted accuracy (UAR): mean recall of the labels that occur.
        f1: macro-F1 over the labels that occur.
        ece: expected calibration error of the largest probability, 15 bins of equal width.
        resampled: what the bootstrap drew, `speakers` or `utterances`.
    """

    labels: tuple[str, ...]
    n: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    wa: Interval
    ua: Interval
    f1: Interval
    ece: Interval
    resampled: str


def measure(
    y: np.ndarray, p: np.ndarray, labels: tuple[str, ...], speakers: np.ndarray | None = None, seed: int = 0
) -> Report:
    """Compare probabilities with the truth.

    Args:
        y: index of the true label [rows].
        p: probabilities [rows, labels].
        labels: names.
        speakers: speaker of each row [rows], or None.
        seed: of the bootstrap.
    """
    predicted = p.argmax(axis=1)
    units, resampled = np.arange(len(y)), "utterances"
    if speakers is not None and len(set(speakers)) >= MIN_SPEAKERS:
        units, resampled = np.unique(speakers, return_inverse=True)[1], "speakers"
    drawn = _draws(int(units.max()) + 1, seed)
    confusions = _confusions(y, predicted, units, len(labels))
    totals = np.concatenate([confusions.sum(0)[None], np.tensordot(drawn, confusions, axes=1)])
    errors = _calibration_errors(p.max(axis=1), predicted == y, units, drawn)
    confusion = totals[0].astype(int)
    return Report(
        labels=labels,
        n=tuple(int(v) for v in confusion.sum(1)),
        confusion=tuple(tuple(int(v) for v in row) for row in confusion),
        wa=_interval(_wa(totals)),
        ua=_interval(_ua(totals)),
        f1=_interval(_f1(totals)),
        ece=_interval(errors),
        resampled=resampled,
    )


def ua(y: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean recall of the classes that occur."""
    rows = np.zeros(len(y), dtype=int)
    return float(_ua(_confusions(y, predicted, rows, classes))[0])


def _draws(units: int, seed: int) -> np.ndarray:
    """How often each unit is drawn in each resample [RESAMPLES, units]."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1.0 / units), size=RESAMPLES).astype(np.float32)


def _confusions(y: np.ndarray, predicted: np.ndarray, units: np.ndarray, classes: int) -> np.ndarray:
    result = np.zeros((int(units.max()) + 1, classes, classes), dtype=np.float32)
    np.add.at(result, (units, y, predicted), 1)
    return result


def _wa(c: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(c, axis1=1, axis2=2) / np.maximum(c.sum((1, 2)), 1))


def _ua(c: np.ndarray) -> np.ndarray:
    n = c.sum(2)
    recall = np.diagonal(c, axis1=1, axis2=2) / np.maximum(n, 1)
    return np.asarray(recall.sum(1) / np.maximum((n > 0).sum(1), 1))


def _f1(c: np.ndarray) -> np.ndarray:
    n, m = c.sum(2), c.sum(1)
    f1 = 2 * np.diagonal(c, axis1=1, axis2=2) / np.maximum(n + m, 1)
    return np.asarray((f1 * (n > 0)).sum(1) / np.maximum((n > 0).sum(1), 1))


def _calibration_errors(
    confidence: np.ndarray, right: np.ndarray, units: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """Calibration error of the whole (first) and of each resample [1 + RESAMPLES]."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap, count = np.zeros((units.max() + 1, BINS)), np.zeros(units.max() + 1)
    np.add.at(gap, (units, bins), confidence - right)
    np.add.at(count, units, 1)
    gaps = np.concatenate([gap.sum(0)[None], drawn @ gap])
    counts = np.concatenate([[count.sum()], drawn @ count])
    return np.asarray(np.abs(gaps).sum(1) / np.maximum(counts, 1))


def _interval(values: np.ndarray) -> Interval:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Interval(float(values[0]), float(low), float(high))
