"""Calibration: a classifier's probabilities brought to what they are worth on unseen speakers.

Temperature scaling (Guo et al. 2017): one number, fitted on out-of-fold predictions, which never changes
the most probable class. Isotonic regression (Zadrozny and Elkan 2002): a rising curve for each class
against all others, which bends where a temperature cannot, and needs more rows. Classes weigh alike in both:
how often an emotion was recorded for a corpus says nothing about calls, so the posteriors assume equal
priors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import t
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.class_weight import compute_sample_weight

from ser_ray.corpora.splits import grouped_folds

FLOOR = 1e-6  # smallest probability that a logarithm is taken of
LOG_SCALE = (-4.0, 4.0)  # bounds of the scale: predictions that are all right, or all wrong, have no optimum
FOLDS = 5  # of speakers, to see what a calibration is worth on others
TEMPERATURE, ISOTONIC = KINDS = "temperature", "isotonic"


@dataclass(frozen=True)
class Calibration:
    """softmax(scale * log p); `scale` is the inverse temperature."""

    kind: ClassVar[str] = TEMPERATURE
    scale: float

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [rows, classes]."""
        return np.asarray(softmax(self.scale * _log(probabilities), axis=1))


@dataclass(frozen=True)
class Isotonic:
    """A curve for each class from its probability to how often it is right; rows are divided by their sum.

    Attributes:
        p: corners of each curve, ascending [classes][corners].
        share: what it gives there, never falling, above 0 and below 1; in between it is straight.
    """

    kind: ClassVar[str] = ISOTONIC
    p: tuple[tuple[float, ...], ...]
    share: tuple[tuple[float, ...], ...]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [rows, classes]."""
        curves = zip(np.transpose(probabilities), self.p, self.share, strict=True)
        q = np.stack([np.interp(column, p, share) for column, p, share in curves], axis=1)
        return np.asarray(q / q.sum(axis=1, keepdims=True))


def fit_calibration(probabilities: np.ndarray, y: np.ndarray) -> Calibration:
    """Fit a temperature on predictions for rows that the classifier did not learn from.

    Args:
        probabilities: [rows, classes].
        y: true class of each row [rows].
    """
    logp, weight, rows = _log(probabilities), compute_sample_weight("balanced", y), np.arange(len(y))

    def loss(log_scale: float) -> float:
        return -float(weight @ log_softmax(np.exp(log_scale) * logp, axis=1)[rows, y])

    found = minimize_scalar(loss, bounds=LOG_SCALE, method="bounded", options={"xatol": 1e-6})
    return Calibration(float(np.exp(found.x)))


def fit_isotonic(probabilities: np.ndarray, y: np.ndarray) -> Isotonic:
    """Fit the curves; see `fit_calibration`.

    By Laplace's rule of succession nothing that was right n times of n is surer than (n + 1) / (n + 2).
    """
    weight, floor = compute_sample_weight("balanced", y), 1 / (len(y) + 2)
    curves = [
        IsotonicRegression(y_min=floor, y_max=1 - floor).fit(column, y == k, weight)
        for k, column in enumerate(probabilities.T)
    ]
    return Isotonic(
        tuple(tuple(curve.X_thresholds_.tolist()) for curve in curves),
        tuple(tuple(curve.y_thresholds_.tolist()) for curve in curves),
    )


Fit = Callable[[np.ndarray, np.ndarray], Calibration | Isotonic]
FITS: dict[str, Fit] = {TEMPERATURE: fit_calibration, ISOTONIC: fit_isotonic}


def cross_calibrated(
    probabilities: np.ndarray, y: np.ndarray, groups: np.ndarray | None, kind: str, seed: int = 0
) -> np.ndarray:
    """Probabilities calibrated by fits on the other speakers [rows, classes].

    Args:
        probabilities: [rows, classes].
        y: true class of each row [rows].
        groups: speaker of each row [rows], or None.
        kind: one of `KINDS`.
        seed: of the folds.
    """
    result = np.zeros_like(probabilities)
    for fold in grouped_folds(y, groups, FOLDS, seed):
        result[fold.test] = FITS[kind](probabilities[fold.train], y[fold.train])(probabilities[fold.test])
    return result


def choose_kind(probabilities: np.ndarray, y: np.ndarray, groups: np.ndarray | None, seed: int = 0) -> str:
    """The kind that does better on held-out speakers; see `cross_calibrated`.

    A temperature, unless isotonic regression has the smaller log loss by Student's one-sided test of the
    differences over the speakers, at 5 %.
    """
    weight = compute_sample_weight("balanced", y)
    losses = [
        -weight * _log(cross_calibrated(probabilities, y, groups, kind, seed))[np.arange(len(y)), y]
        for kind in KINDS
    ]
    apart = groups if groups is not None and len(set(groups)) >= 3 else np.arange(len(y))  # as the folds are
    gains = np.bincount(np.unique(apart, return_inverse=True)[1], losses[0] - losses[1])
    chance = t.ppf(0.95, len(gains) - 1) * gains.std(ddof=1) / math.sqrt(len(gains))
    return ISOTONIC if gains.mean() > chance else TEMPERATURE


def read_calibration(stored: Mapping[str, Any]) -> Calibration | Isotonic:
    """The calibration that an ensemble's JSON holds; raises ValueError where it holds none."""
    if set(stored) != {"p", "share"}:
        return read_temperature(stored)
    p, share = (tuple(tuple(map(float, curve)) for curve in stored[name]) for name in ("p", "share"))
    if len(p) != len(share) or not all(map(_rises, p, share)):
        raise ValueError("the curves of a calibration rise from above 0 to below 1")
    return Isotonic(p, share)


def read_temperature(stored: Mapping[str, Any]) -> Calibration:
    """The calibration that a model's JSON holds; raises ValueError where its scale is no positive number."""
    scale = float(stored["scale"])
    if not 0 < scale < math.inf or set(stored) != {"scale"}:
        raise ValueError(f"a calibration is one positive scale, not {stored}")
    return Calibration(scale)


def _rises(p: tuple[float, ...], share: tuple[float, ...]) -> bool:
    """Whether these are the corners of a curve."""
    rising = bool((np.diff(p) > 0).all() and (np.diff(share) >= 0).all())
    return len(p) == len(share) > 0 and rising and 0 < share[0] <= share[-1] < 1


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.clip(probabilities, FLOOR, 1.0)))
