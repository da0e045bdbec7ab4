"""Training a calibrated classifier: out-of-fold predictions first, then one fit on everything.

The out-of-fold predictions keep speakers apart where there are speakers. They calibrate the model, they
are what stacking learns from, and they are kept with it, so that `fuse` needs no audio and no refit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_ray.corpora.splits import grouped_folds
from ser_ray.models.calibration import FLOOR, Calibration, fit_calibration
from ser_ray.models.family import Classifier, Family

INNER_FOLDS = 5
Mapper = Callable[[Callable[[np.ndarray], Any], Iterable[np.ndarray]], Iterable[Any]]


@dataclass(frozen=True)
class Trained:
    """A classifier over `classes` classes, its calibration, and its out-of-fold probabilities.

    `out_of_fold` is calibrated, [rows, classes], in the order of the training rows.
    """

    classifier: Classifier
    calibration: Calibration
    classes: int
    out_of_fold: np.ndarray

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [rows, classes]."""
        return self.calibration(spread(self.classifier, X, self.classes))


def fit(
    family: Family,
    settings: Mapping[str, Any],
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    classes: int,
    seed: int = 0,
    mapper: Mapper = map,
) -> Trained:
    """Train one family.

    Args:
        family: what to train.
        settings: all its hyperparameters.
        X: features [rows, columns].
        y: class numbers below `classes` [rows].
        groups: speaker of each row [rows], or None.
        classes: number of classes; one that `y` lacks gets a probability near zero.
        seed: fixes folds and classifier.
        mapper: like `map`; a parallel one trains the folds side by side.

    Raises:
        BadManifest: a class has a single row.
    """
    folds = grouped_folds(y, groups, INNER_FOLDS, seed)

    def predict_fold(train_rows: np.ndarray) -> np.ndarray:
        classifier = family.build(settings, seed)
        classifier.fit(X[train_rows], y[train_rows])
        return spread(classifier, np.delete(X, train_rows, axis=0), classes)

    raw = np.zeros((len(y), classes))
    for fold, predicted in zip(folds, mapper(predict_fold, [f.train for f in folds]), strict=True):
        raw[fold.test] = predicted
    calibration = fit_calibration(raw, y)
    classifier = family.build(settings, seed)
    classifier.fit(X, y)
    return Trained(classifier, calibration, classes, calibration(raw))


def spread(classifier: Classifier, X: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities over all `classes` from a classifier that may have seen only some of them."""
    result = np.full((len(X), classes), FLOOR)
    result[:, np.asarray(classifier.classes_, dtype=int)] = classifier.predict_proba(X)
    return result
