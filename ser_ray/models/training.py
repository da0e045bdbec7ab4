"""Training a calibrated classifier: one fit on everything, and out-of-fold predictions beside it.

The out-of-fold predictions keep speakers apart where there are speakers. They calibrate the model, they
are what stacking learns from, and they are kept with it, so that `fuse` needs no audio and no refit. A
network too dear to be trained once a fold is calibrated on the slice that it holds out to find its best
epoch; it learned nothing else from that slice.
Augmented copies are only ever learned from, and never beside their source in a fold that tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ser_ray.corpora.splits import Fold, grouped_folds
from ser_ray.errors import BadManifest, UsageError
from ser_ray.models.calibration import FLOOR, Calibration, fit_calibration
from ser_ray.models.family import Classifier, Family
from ser_ray.models.normaliser import Groups, Normalisation, Normaliser, are_vectors, normalised

INNER_FOLDS = 5


class Tell(Protocol):
    """Told of epochs as they end."""

    def __call__(self, epochs: int, figures: Mapping[str, float] | None = None) -> None:
        """So many more; `figures` of one, where it is the fit on everything."""


Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Trained:
    """A classifier over `classes` classes, its calibration, and its out-of-fold probabilities.

    Attributes:
        out_of_fold: calibrated probabilities of training rows, none of them copies, by a classifier that
            did not learn from them [predicted, classes].
        predicted: their row numbers, ascending [predicted].
    """

    classifier: Classifier
    calibration: Calibration
    classes: int
    out_of_fold: np.ndarray
    predicted: np.ndarray
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
    folds: int = INNER_FOLDS,
    tell: Tell | None = None,
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
        mapper: like `map`; a parallel one makes the fits side by side.
        normalisation: fitted on what each classifier learns from; None for none.
        sources: row number of what each row was made from, its own for an original, -1 where that is not
            among the rows [rows]; None: all are originals.
        voices: whose statistics each row is normalised by [rows]; None: the speaker's.
        folds: of the out-of-fold predictions; see `fits_of`.
        tell: told of epochs as they end, of networks alone.

    Raises:
        BadManifest: a class has a single row.
        UsageError: the normalisation needs what the rows do not have.
    """
    own = np.arange(len(y)) if sources is None else originals(sources)
    voices = groups if voices is None else voices
    if normalisation:
        normalisation.check(are_vectors(X), voices is not None)

    apart = kept_apart(groups, sources)

    def learn(rows: np.ndarray, whole: bool = False) -> tuple[Classifier, Normaliser | None]:
        normaliser = normalisation.fit(X[rows], _of(voices, rows)) if normalisation else None
        classifier = family.build(settings, seed)
        given = normalised(normaliser, X[rows], _of(voices, rows))
        if family.deep:
            with counted(epochs_of(family, settings), tell, whole) as report:
                classifier.fit(given, y[rows], groups=_of(apart, rows), report=report)  # type: ignore[call-arg]
        else:
            classifier.fit(given, y[rows])
        return classifier, normaliser

    def predict(fitted: tuple[Classifier, Normaliser | None], rows: np.ndarray) -> np.ndarray:
        classifier, normaliser = fitted
        return spread(classifier, normalised(normaliser, X[rows], _of(voices, rows)), classes)

    def job(fold: Fold | None) -> Any:
        return learn(np.arange(len(y)), True) if fold is None else predict(learn(fold.train), fold.test)

    number = fits_of(family, settings, folds) - 1
    inner = [
        Fold(fold.name, _with_copies(own[fold.train], own[fold.test], sources, groups), own[fold.test])
        for fold in (grouped_folds(y[own], _of(groups, own), number, seed) if number else ())
    ]
    fitted, *found = mapper(job, [None, *inner])
    predicted = own if number else np.intersect1d(own, fitted[0].held_out_ if folds else own[:0])
    raw = np.zeros((len(y), classes))
    for fold, part in zip(inner, found, strict=True):
        raw[fold.test] = part
    if not number and len(predicted):
        raw[predicted] = predict(fitted, predicted)
    if folds and not len(predicted):
        raise BadManifest("too few utterances of an emotion to hold any out. Give more, or leave it out.")
    raw, truth = raw[predicted], y[predicted]
    calibration = fit_calibration(raw, truth) if len(predicted) else Calibration(1.0)
    return Trained(fitted[0], calibration, classes, calibration(raw), predicted, fitted[1])


def fits_of(family: Family, settings: Mapping[str, Any], folds: int) -> int:
    """How often a classifier is fitted for one model.

    Args:
        family: what is trained.
        settings: all its hyperparameters.
        folds: of the out-of-fold predictions. 1: those of the slice that a network holds out anyway; a
            family that holds none takes two folds. 0: none, and no calibration.

    Raises:
        UsageError: a number below 0.
    """
    if folds < 0:
        raise UsageError(f"{folds} inner folds will not do: 0 for none, 1 for the held-out slice, or more.")
    if folds == 1:
        folds = 0 if family.holds_out and settings["held_out"] else 2
    return 1 + folds


def epochs_of(family: Family, settings: Mapping[str, Any]) -> int:
    """How many epochs one fit has at most; 0 of a family without any."""
    return family.networks * int(settings["epochs"]) if family.networks else 0


@contextmanager
def counted(
    most: int, tell: Tell | None, with_figures: bool
) -> Iterator[Callable[[dict[str, float], Any], None]]:
    """What a network reports its epochs to; those that an early end spared are told at the end."""
    left = most

    def report(figures: dict[str, float], state: Any) -> None:
        nonlocal left
        if tell:
            tell(min(left, 1), figures if with_figures else None)
        left = max(left - 1, 0)

    yield report
    if tell:
        tell(left)


def originals(sources: np.ndarray) -> np.ndarray:
    """Numbers of the rows that are no copies; see `fit`."""
    return np.flatnonzero(sources == np.arange(len(sources)))


def kept_apart(groups: np.ndarray | None, sources: np.ndarray | None) -> np.ndarray | None:
    """What a held-out slice may not divide [rows]: speakers; where unknown, recordings and their copies."""
    if groups is None and sources is not None and len(originals(sources)) < len(sources):
        return sources
    return groups


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
