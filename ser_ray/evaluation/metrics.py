"""Figures of recognition: WA, UA, macro-F1, calibration error, each with a 95 % interval.

The intervals are percentiles of a bootstrap over speakers where there are five or more (utterances of
one speaker are not independent), over utterances otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
AT_ONCE = 100  # resamples held in memory together
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
    units = _units(y, speakers)
    resampled = "speakers" if speakers is not None and len(set(speakers)) >= MIN_SPEAKERS else "utterances"
    predicted, k = p.argmax(axis=1), len(labels)
    counts = _confusions(y, predicted, units, k)
    sums = np.hstack([counts.reshape(-1, k * k), _gaps(p.max(axis=1), predicted == y, units)])
    resamples = [drawn @ sums for drawn in _draws(len(sums), seed)]
    totals, gaps = np.split(np.concatenate([sums.sum(0)[None], *resamples]), [k * k], axis=1)
    errors = np.abs(gaps).sum(1) / totals.sum(1)
    totals = totals.reshape(-1, k, k)
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


def unweighted_accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """UA (UAR) of probabilities p [rows, labels] against true labels y [rows]."""
    return float(_ua(_confusions(y, p.argmax(axis=1), np.zeros(len(y), dtype=int), p.shape[1]))[0])


def average_precision(y: np.ndarray, score: np.ndarray, seed: int = 0) -> Interval:
    """Area under the precision-recall curve, by steps, with a bootstrap over the rows.

    Rows of one score are taken in together. Chance gives the share of the rows that are true. Resamples
    without any true row say nothing and are left out.

    Args:
        y: whether a row is one of those looked for [rows]; one of them at least.
        score: higher for rows that seem to be [rows].
        seed: of the bootstrap.
    """
    order = np.argsort(-score, kind="stable")
    found, last = y[order].astype(np.float64), np.append(np.diff(score[order]) != 0, True)
    resamples = np.concatenate([_precision(drawn, found, last) for drawn in _draws(len(y), seed)])
    whole = _precision(np.ones((1, len(y))), found, last)
    return _interval(np.concatenate([whole, resamples[~np.isnan(resamples)]]))


def compare(
    y: np.ndarray, p: np.ndarray, q: np.ndarray, speakers: np.ndarray | None = None, seed: int = 0
) -> Interval:
    """How much higher the UA of p is than that of q on the same rows, resampled together.

    Args:
        y: index of the true label [rows].
        p: probabilities [rows, labels].
        q: those of the other.
        speakers: speaker of each row [rows], or None.
        seed: of the bootstrap.
    """
    units = _units(y, speakers)
    both = [_confusions(y, each.argmax(axis=1), units, p.shape[1]) for each in (p, q)]
    shape = (-1, p.shape[1], p.shape[1])
    totals = [
        np.concatenate([c.sum(0)[None], *((drawn @ c.reshape(len(c), -1)).reshape(shape) for drawn in draws)])
        for c, draws in ((c, _draws(len(c), seed)) for c in both)
    ]
    return _interval(_ua(totals[0]) - _ua(totals[1]))


def _precision(weights: np.ndarray, found: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Average precision of rows in order of their scores, each counted `weights` times [resamples]."""
    true = np.cumsum(weights * found, axis=1)[:, last]
    precision = true / np.maximum(np.cumsum(weights, axis=1)[:, last], 1)
    total = np.where(true[:, -1] > 0, true[:, -1], np.nan)
    return np.asarray((np.diff(true, axis=1, prepend=0) * precision).sum(axis=1) / total)


def _units(y: np.ndarray, speakers: np.ndarray | None) -> np.ndarray:
    """What the bootstrap draws: the speaker of each row where there are enough, else the row itself."""
    if speakers is not None and len(set(speakers)) >= MIN_SPEAKERS:
        return np.asarray(np.unique(speakers, return_inverse=True)[1])
    return np.arange(len(y))


def _draws(units: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is drawn in each resample, some resamples at a time [AT_ONCE, units]."""
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES // AT_ONCE):
        yield generator.multinomial(units, np.full(units, 1.0 / units), size=AT_ONCE).astype(np.float64)


def _confusions(y: np.ndarray, predicted: np.ndarray, units: np.ndarray, classes: int) -> np.ndarray:
    """Counts of each unit [units, true, predicted]."""
    result = np.zeros((int(units.max()) + 1, classes, classes))
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


def _gaps(confidence: np.ndarray, right: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Sum of confidence less accuracy in each bin of confidence [units, BINS]."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    result = np.zeros((int(units.max()) + 1, BINS))
    np.add.at(result, (units, bins), confidence - right)
    return result


def _interval(values: np.ndarray) -> Interval:
    value, (low, high) = values[0], np.percentile(values[1:], [2.5, 97.5])
    # Resampling adds noise, which a sum of absolute gaps counts: all resamples may lie above the value.
    return Interval(float(value), float(min(low, value)), float(max(high, value)))
