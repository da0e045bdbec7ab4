"""Calibration: a classifier's probabilities brought to what they are worth on unseen speakers.

Temperature scaling (Guo et al. 2017): one number, fitted on out-of-fold predictions, which never changes
the most probable class. Classes weigh alike in the fit: how often an emotion was recorded for a corpus
says nothing about calls, so the posteriors assume equal priors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.utils.class_weight import compute_sample_weight

FLOOR = 1e-6  # smallest probability that a logarithm is taken of
LOG_SCALE = (-4.0, 4.0)  # bounds of the scale: predictions that are all right, or all wrong, have no optimum


@dataclass(frozen=True)
class Calibration:
    """softmax(scale * log p); `scale` is the inverse temperature."""

    scale: float

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [rows, classes]."""
        return np.asarray(softmax(self.scale * _log(probabilities), axis=1))


def fit_calibration(probabilities: np.ndarray, y: np.ndarray) -> Calibration:
    """Fit on predictions for rows that the classifier did not learn from.

    Args:
        probabilities: [rows, classes].
        y: true class of each row [rows].
    """
    logp, weight, rows = _log(probabilities), compute_sample_weight("balanced", y), np.arange(len(y))

    def loss(log_scale: float) -> float:
        return -float(weight @ log_softmax(np.exp(log_scale) * logp, axis=1)[rows, y])

    found = minimize_scalar(loss, bounds=LOG_SCALE, method="bounded", options={"xatol": 1e-6})
    return Calibration(float(np.exp(found.x)))


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.clip(probabilities, FLOOR, 1.0)))
