"""The reject option (Chow 1970): how often the surest predictions are right, and how many are so sure.

A prediction is certain where its confidence, the largest probability, reaches a threshold. Coverage is the
share that is certain, precision the share of those that is right. Speakers differ, so a precision that was
measured on some of them is taken at the lower end of its one-sided 95 % interval (Wilson 1927), with as many
rows as independent ones would be worth the same (the design effect of Kish 1965, speakers as clusters).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ser_ray.corpora.splits import grouped_folds
from ser_ray.errors import UsageError

Z = 1.645  # of a one-sided 95 % interval
FOLDS = 5
SHOWN = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
SEARCHED = tuple(percent / 100 for percent in range(100, 0, -1))


@dataclass(frozen=True)
class Selection:
    """The predictions from a confidence on.

    Attributes:
        certain_from: that confidence.
        coverage: their share of all.
        precision: share of them that is right; None where there are none.
        low: lower end of the interval of `precision`, 0 where there are none.
    """

    certain_from: float
    coverage: float
    precision: float | None
    low: float


def select(y: np.ndarray, p: np.ndarray, speakers: np.ndarray | None, certain_from: float) -> Selection:
    """What is certain from a confidence on.

    Args:
        y: index of the true label [rows].
        p: probabilities [rows, labels].
        speakers: speaker of each row [rows], or None.
        certain_from: the confidence.
    """
    return _selected(p.max(axis=1) >= certain_from, p.argmax(axis=1) == y, speakers, certain_from)


def selections(
    y: np.ndarray, p: np.ndarray, speakers: np.ndarray | None, coverages: Iterable[float] = SHOWN
) -> list[Selection]:
    """What is certain where so large a share is to be; see `select`. Rows of one confidence go together."""
    surest = np.sort(p.max(axis=1))[::-1]
    return [
        select(y, p, speakers, float(surest[max(math.ceil(share * len(y)), 1) - 1])) for share in coverages
    ]


def selection_for(precision: float, y: np.ndarray, p: np.ndarray, speakers: np.ndarray | None) -> Selection:
    """The largest coverage whose precision is at least `precision` by the lower end of its interval.

    Raises:
        UsageError: none is.
    """
    found = selections(y, p, speakers, SEARCHED)
    good = next((one for one in found if one.low >= precision), None)
    if good is None:
        best = max(found, key=lambda one: one.low)
        raise UsageError(
            f"no confidence gives a precision of {100 * precision:g} %: the best is at least "
            f"{100 * best.low:.1f} %, at a coverage of {100 * best.coverage:.0f} %. Ask for less, or train "
            "better members, on more speakers."
        )
    return good


def cross_selected(
    precision: float, y: np.ndarray, p: np.ndarray, speakers: np.ndarray | None, seed: int = 0
) -> Selection:
    """What `selection_for` gives on speakers whom it was not chosen by; its confidence is the mean one."""
    chosen, from_ = np.zeros(len(y), dtype=bool), []
    for fold in grouped_folds(y, speakers, FOLDS, seed):
        known = None if speakers is None else speakers[fold.train]
        try:
            one = selection_for(precision, y[fold.train], p[fold.train], known)
        except UsageError:
            continue  # then nothing is certain
        chosen[fold.test] = p[fold.test].max(axis=1) >= one.certain_from
        from_.append(one.certain_from)
    return _selected(chosen, p.argmax(axis=1) == y, speakers, float(np.mean(from_)) if from_ else 1.0)


def _selected(
    chosen: np.ndarray, right: np.ndarray, speakers: np.ndarray | None, certain_from: float
) -> Selection:
    n, hits = int(chosen.sum()), int((chosen & right).sum())
    if not n:
        return Selection(certain_from, 0.0, None, 0.0)
    effect = 1.0 if speakers is None else _design_effect(right[chosen], speakers[chosen])
    return Selection(certain_from, n / len(right), hits / n, _wilson(hits / n, n / effect))


def _design_effect(right: np.ndarray, speakers: np.ndarray) -> float:
    """How many rows of these speakers are worth one independent row, at least 1."""
    share, of = right.mean(), np.unique(speakers, return_inverse=True)[1]
    independent = share * (1 - share) * len(right)
    off = np.bincount(of, right - share)  # each speaker's hits beyond the mean
    if len(off) < 2 or not independent:
        return 1.0
    return max(1.0, float(off @ off * len(off) / (len(off) - 1) / independent))


def _wilson(share: float, n: float) -> float:
    """Lower end of the interval of a share of `n` independent rows."""
    spread = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return (share + Z**2 / (2 * n) - spread) / (1 + Z**2 / n)
