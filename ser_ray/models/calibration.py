"""Calibration: a classifier's probabilities brought to what they are worth on unseen speakers.

One scale and one offset a class on the log-probabilities (vector scaling with a shared scale; Guo et
al. 2017), fitted on out-of-fold predictions. Classes weigh alike in the fit: how often an emotion was
recorded for a corpus says nothing about calls, so the posteriors assume equal priors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.utils.class_weight import compute_sample_weight

FLOOR = 1e-6  # smallest probability that a logarithm is taken of
LOG_SCALE = (-4.0, 4.0)  # bounds of the scale: predictions that are all right, or all wrong, have no optimum


@dataclass(frozen=True)
class Calibration:
    """softmax(scale * log p + offset): `scale` one number, `offset` [classes]."""

    scale: float
    offset: tuple[float, ...]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [rows, classes]."""
        return np.asarray(softmax(self.scale * _log(probabilities) + np.array(self.offset), axis=1))


def fit_calibration(probabilities: np.ndarray, y: np.ndarray, offsets: bool = True) -> Calibration:
    """Fit on predictions for rows that the classifier did not learn from.

    Args:
        probabilities: [rows, classes].
        y: true class of each row [rows].
        offsets: fit the offsets too; without them the most probable class never changes.
    """
    logp, n_classes = _log(probabilities), probabilities.shape[1]
    weight = compute_sample_weight("balanced", y) / len(y)
    target = np.eye(n_classes)[y]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        scale, offset = np.exp(x[0]), x[1:] if offsets else np.zeros(n_classes)
        log_q = log_softmax(scale * logp + offset, axis=1)
        error = (np.exp(log_q) - target) * weight[:, None]
        value = -(weight * log_q[np.arange(len(y)), y]).sum() + 1e-2 * (offset**2).sum()
        gradient = np.concatenate([[scale * (error * logp).sum()], error.sum(0) + 2e-2 * offset])
        return value, gradient if offsets else gradient[:1]

    free = np.zeros(1 + n_classes * offsets)
    bounds = [LOG_SCALE, *[(None, None)] * (len(free) - 1)]
    found = minimize(loss, free, jac=True, method="L-BFGS-B", bounds=bounds).x
    offset = found[1:] if offsets else np.zeros(n_classes)
    return Calibration(float(np.exp(found[0])), tuple(float(o) for o in offset))


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.clip(probabilities, FLOOR, 1.0)))
