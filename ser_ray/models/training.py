"""Training a calibrated classifier: out-of-fold predictions first, then one fit on everything.

The out-of-fold predictions keep speakers apart where there are speakers. They calibrate the model, they
are what stacking learns from, and they are kept with it, so that `fuse` needs no audio and no refit.
Augmented copies are only ever learned from, and never beside their source in a fold that tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_ray.corpora.splits import Fold, grouped_folds
from ser_ray.models.calibration import FLOOR, Calibration, fit_calibration
from ser_ray.models.family import Classifier, Family
from ser_ray.models.normaliser import Groups, Normalisation, Normaliser, are_vectors, normalised

INNER_FOLDS = 5
Mapper = Callable[[Callable[[Fold], Any], Iterable[Fold]], Iterable[Any]]


@dataclass(frozen=True)
class Trained:
    """A classifier over `classes` classes, its calibration, and its out-of-fold probabilities.

    `out_of_fold` is calibrated, [originals, classes]: the training rows that are no copies, in their order.
    """

    classifier: Classifier
    calibration: Calibration
    classes: int
    out_of_fold: np.ndarray
    normaliser: Normaliser | None = None

    def predict_proba(self, X: np.ndarray, groups: Groups | None = None) -> np.ndarray:
        """Calibrated probabilities [rows, classes].

        Args:
            X: features, not normalised.
            groups: speaker of each row, for a normalisation that needs it.
        """
        X = normalised(self.normaliser, X, groups)
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
    normalisation: Normalisation | None = None,
    sources: np.ndarray | None = None,
    voices: np.ndarray | None = None,
) -> Trained:
    """Train one family.

    Args:
        family: what to train.
        settings: all its hyperparameters.
        X: features [rows, columns], or an object array [rows] of frame sequences.
        y: class numbers below `classes` [rows].
        groups: speaker of each row [rows], or None.
        classes: number of classes; one that `y` lacks gets a probability near zero.
        seed: fixes folds and classifier.
        mapper: like `map`; a parallel one trains the folds side by side.
        normalisation: fitted on what each classifier learns from; None for none.
        sources: row number of what each row was made from, its own for an original, -1 where that is not
            among the rows [rows]; None: all are originals.
        voices: whose statistics each row is normalised by [rows]; None: the speaker's.

    Raises:
        BadManifest: a class has a single row.
        UsageError: the normalisation needs what the rows do not have.
    """
    own = np.arange(len(y)) if sources is None else originals(sources)
    voices = groups if voices is None else voices
    if normalisation:
        normalisation.check(are_vectors(X), voices is not None)

    def learn(rows: np.ndarray) -> tuple[Classifier, Normaliser | None]:
        normaliser = normalisation.fit(X[rows], _of(voices, rows)) if normalisation else None
        classifier = family.build(settings, seed)
        speakers = {"groups": _of(groups, rows)} if family.deep else {}
        classifier.fit(normalised(normaliser, X[rows], _of(voices, rows)), y[rows], **speakers)
        return classifier, normaliser

    def predict_fold(fold: Fold) -> np.ndarray:
        classifier, normaliser = learn(fold.train)
        return spread(classifier, normalised(normaliser, X[fold.test], _of(voices, fold.test)), classes)

    folds = [
        Fold(fold.name, _with_copies(own[fold.train], own[fold.test], sources, groups), own[fold.test])
        for fold in grouped_folds(y[own], _of(groups, own), INNER_FOLDS, seed)
    ]
    raw = np.zeros((len(y), classes))
    for fold, predicted in zip(folds, mapper(predict_fold, folds), strict=True):
        raw[fold.test] = predicted
    calibration = fit_calibration(raw[own], y[own])
    classifier, normaliser = learn(np.arange(len(y)))
    return Trained(classifier, calibration, classes, calibration(raw[own]), normaliser)


def originals(sources: np.ndarray) -> np.ndarray:
    """Numbers of the rows that are no copies; see `fit`."""
    return np.flatnonzero(sources == np.arange(len(sources)))


def sources_within(sources: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The sources of some rows, as numbers among these rows; -1 where a source is not among them."""
    place = np.full(len(sources) + 1, -1)  # the last is where -1 leads
    place[rows] = np.arange(len(rows))
    return np.asarray(place[sources[rows]])


def spread(classifier: Classifier, X: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities over all `classes` from a classifier that may have seen only some of them."""
    result = np.full((len(X), classes), FLOOR)
    result[:, np.asarray(classifier.classes_, dtype=int)] = classifier.predict_proba(X)
    return result


def _with_copies(
    train: np.ndarray, test: np.ndarray, sources: np.ndarray | None, groups: np.ndarray | None
) -> np.ndarray:
    """`train` and the copies that may be learned from beside it, ascending.

    A copy without its source may where none of its speaker is tested.
    """
    if sources is None:
        return train
    orphan = sources < 0
    if groups is not None:
        orphan &= ~np.isin(groups, groups[test])
    return np.flatnonzero(np.isin(sources, train) | orphan)


def _of(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]
