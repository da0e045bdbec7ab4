"""Stacking: a multinomial logistic regression on the members' out-of-fold probabilities."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ser_ray.corpora.splits import grouped_folds
from ser_ray.models.calibration import FLOOR

C = 0.1  # inverse strength of the penalty; chosen once, by inner folds, and not tuned a corpus
FOLDS = 5


@dataclass(frozen=True)
class Stacker:
    """softmax(z @ weight + bias): `weight` [members * labels, labels], `bias` [labels]."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Probabilities [rows, labels] from members' p [members, rows, labels]."""
        return np.asarray(softmax(_inputs(p) @ self.weight + self.bias, axis=1))


def fit_stacking(p: np.ndarray, y: np.ndarray) -> Stacker:
    """Fit on out-of-fold probabilities.

    Args:
        p: [members, rows, labels].
        y: index of the true label [rows].
    """
    labels = p.shape[2]
    regression = LogisticRegression(C=C, class_weight="balanced", max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(_inputs(p), y)
    weight, bias = np.zeros((p.shape[0] * labels, labels)), np.full(labels, np.log(FLOOR))
    coefficients, intercept = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercept = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.array([-1, 1]) * intercept / 2,
        )
    weight[:, regression.classes_], bias[regression.classes_] = coefficients.T, intercept
    return Stacker(weight, bias)


def cross_fitted(p: np.ndarray, y: np.ndarray, groups: np.ndarray | None, seed: int = 0) -> np.ndarray:
    """What stacking gives for rows it was not fitted on [rows, labels]: the honest out-of-fold figure."""
    result = np.zeros(p.shape[1:])
    for fold in grouped_folds(y, groups, FOLDS, seed):
        result[fold.test] = fit_stacking(p[:, fold.train], y[fold.train])(p[:, fold.test])
    return result


def _inputs(p: np.ndarray) -> np.ndarray:
    return np.concatenate(list(np.log(np.clip(p, FLOOR, 1.0))), axis=1)
