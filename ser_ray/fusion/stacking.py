"""Stacking: a multinomial logistic regression on the members' out-of-fold probabilities.

Each member has one coefficient, shared by all emotions (McFadden's conditional logit), and each emotion
an offset: score(i) = sum_k weight_k p_k(i) + bias_i. With a coefficient for every pair of emotions the
regression has K times K times as many to learn from the same few hundred rows, and did worse than its
best member on EMO-DB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.utils.class_weight import compute_sample_weight

from ser_ray.corpora.splits import grouped_folds
from ser_ray.models.calibration import FLOOR

WEIGHT_PENALTY, BIAS_PENALTY = 1e-4, 0.1  # of the squares; set once for all corpora
FOLDS = 5


@dataclass(frozen=True)
class Stacker:
    """softmax(sum_k weight_k p_k + bias): `weight` [members], `bias` [labels]."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Probabilities [rows, labels] from members' p [members, rows, labels]."""
        return np.asarray(softmax(np.tensordot(self.weight, p, axes=1) + self.bias, axis=1))


def fit_stacking(p: np.ndarray, y: np.ndarray) -> Stacker:
    """Fit on out-of-fold probabilities, every emotion with the same weight.

    Args:
        p: [members, rows, labels].
        y: index of the true label [rows].
    """
    members, rows, labels = p.shape
    share = compute_sample_weight("balanced", y) / rows
    truth = np.eye(labels)[y]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = x[:members], x[members:]
        log_q = log_softmax(np.tensordot(weight, p, axes=1) + bias, axis=1)
        error = (np.exp(log_q) - truth) * share[:, None]
        value = (
            -(share @ (log_q * truth).sum(1)) + WEIGHT_PENALTY * weight @ weight + BIAS_PENALTY * bias @ bias
        )
        by_weight = np.tensordot(p, error, axes=([1, 2], [0, 1])) + 2 * WEIGHT_PENALTY * weight
        return value, np.concatenate([by_weight, error.sum(0) + 2 * BIAS_PENALTY * bias])

    found = minimize(loss, np.zeros(members + labels), jac=True, method="L-BFGS-B").x
    weight, bias = found[:members], found[members:]
    bias[np.setdiff1d(np.arange(labels), y)] = np.log(FLOOR)  # a label without rows
    return Stacker(weight, bias)


def cross_fitted(p: np.ndarray, y: np.ndarray, groups: np.ndarray | None, seed: int = 0) -> np.ndarray:
    """What stacking gives for rows it was not fitted on [rows, labels]: the honest out-of-fold figure."""
    result = np.zeros(p.shape[1:])
    for fold in grouped_folds(y, groups, FOLDS, seed):
        result[fold.test] = fit_stacking(p[:, fold.train], y[fold.train])(p[:, fold.test])
    return result
