"""Training a calibrated classifier: one fit on everything, and out-of-fold predictions beside it.

The out-of-fold predictions keep speakers apart where there are speakers. They calibrate the model, they
are what stacking learns from, and they are kept with it, so that `fuse` needs no audio and no refit. A
network too dear to be trained once a fold is calibrated on the slice that it holds out to find its best
epoch; it learned nothing else from that slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ser_ray.corpora.splits import Fold
from ser_ray.errors import BadManifest, UsageError
from ser_ray.models.calibration import Calibration, fit_calibration
from ser_ray.models.family import Classifier, Family
from ser_ray.models.learner import Fitted, Learner, Report
from ser_ray.models.normaliser import Groups, Normalisation, Normaliser

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
        fitted = Fitted(self.classifier, self.normaliser)
        return self.calibration(fitted.predict_proba(X, groups, self.classes))


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
        family, settings, X, y, groups, classes, seed, normalisation, sources, voices: see `Learner`.
        mapper: like `map`; a parallel one makes the fits side by side.
        folds: of the out-of-fold predictions; see `fits_of`.
        tell: told of epochs as they end, of networks alone.

    Raises:
        BadManifest: a class has a single row.
        UsageError: the normalisation needs what the rows do not have.
    """
    learner = Learner(family, settings, X, y, groups, classes, seed, normalisation, sources, voices)
    number = fits_of(family, settings, folds) - 1
    inner = learner.folds(number) if number else []

    def job(fold: Fold | None) -> Any:
        with counted(epochs_of(family, settings), tell, fold is None) as report:
            if fold is None:
                return learner.learn(np.arange(len(y)), report)
            return learner.predict(learner.learn(fold.train, report), fold.test)

    fitted, *found = mapper(job, [None, *inner])
    own = learner.own
    predicted = own if number else np.intersect1d(own, fitted.classifier.held_out_ if folds else own[:0])
    raw = np.zeros((len(y), classes))
    for fold, part in zip(inner, found, strict=True):
        raw[fold.test] = part
    if not number and len(predicted):
        raw[predicted] = learner.predict(fitted, predicted)
    if folds and not len(predicted):
        raise BadManifest("too few utterances of an emotion to hold any out. Give more, or leave it out.")
    raw, truth = raw[predicted], y[predicted]
    calibration = fit_calibration(raw, truth) if len(predicted) else Calibration(1.0)
    return Trained(fitted.classifier, calibration, classes, calibration(raw), predicted, fitted.normaliser)


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
def counted(most: int, tell: Tell | None, with_figures: bool) -> Iterator[Report]:
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
