"""One family on the rows of a training set: fitted on some of them, tried on others, or grown step by step.

Every fit has a normalisation of its own, fitted on what it learns from. Augmented copies are only ever
learned from, and never beside their source in a fold that tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ser_ray.corpora.splits import Fold, grouped_folds
from ser_ray.models.calibration import FLOOR
from ser_ray.models.family import Classifier, Family
from ser_ray.models.normaliser import Groups, Normalisation, Normaliser, are_vectors, normalised

Report = Callable[[dict[str, float], Any], None]


class Fitted(NamedTuple):
    """A classifier, and the normalisation of what it reads."""

    classifier: Classifier
    normaliser: Normaliser | None = None

    def predict_proba(self, X: np.ndarray, groups: Groups | None, classes: int) -> np.ndarray:
        """Probabilities [rows, classes] of features that are not normalised yet."""
        return spread(self.classifier, normalised(self.normaliser, X, groups), classes)


@dataclass(frozen=True)
class Learner:
    """A family with its settings, and all that it may learn from.

    Attributes:
        family: what is fitted.
        settings: all its hyperparameters.
        X: features [rows, columns], or an object array [rows] of frame sequences.
        y: class numbers below `classes` [rows].
        groups: speaker of each row [rows], or None.
        classes: number of classes; one that `y` lacks gets a probability near zero.
        seed: fixes folds and classifier.
        normalisation: fitted on what each classifier learns from; None for none.
        sources: row number of what each row was made from, its own for an original, -1 where that is not
            among the rows [rows]; None: all are originals.
        voices: whose statistics each row is normalised by [rows]; None: the speaker's.

    Raises:
        UsageError: the normalisation needs what the rows do not have.
    """

    family: Family
    settings: Mapping[str, Any]
    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None
    classes: int
    seed: int = 0
    normalisation: Normalisation | None = None
    sources: np.ndarray | None = None
    voices: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.voices is None:
            object.__setattr__(self, "voices", self.groups)
        if self.normalisation:
            self.normalisation.check(are_vectors(self.X), self.voices is not None)

    @property
    def own(self) -> np.ndarray:
        """Numbers of the rows that are no copies."""
        return np.arange(len(self.y)) if self.sources is None else originals(self.sources)

    def folds(self, number: int) -> list[Fold]:
        """Folds of the rows that are no copies, speakers apart where known; copies train beside them.

        Raises:
            BadManifest: a class has a single row.
        """
        own = self.own
        return [
            Fold(fold.name, self._with_copies(own[fold.train], own[fold.test]), own[fold.test])
            for fold in grouped_folds(self.y[own], _of(self.groups, own), number, self.seed)
        ]

    def learn(self, rows: np.ndarray, report: Report | None = None) -> Fitted:
        """A classifier fitted on some rows; `report` is told of a network's epochs."""
        normaliser, given, apart = self._given(rows)
        classifier = self.family.build(self.settings, self.seed)
        options: dict[str, Any] = {"groups": apart} if self.family.deep or self.family.grouped else {}
        if self.family.deep:
            options["report"] = report
        classifier.fit(given, self.y[rows], **options)
        return Fitted(classifier, normaliser)

    def predict(self, fitted: Fitted, rows: np.ndarray) -> np.ndarray:
        """Probabilities [rows, classes]."""
        return fitted.predict_proba(self.X[rows], _of(self.voices, rows), self.classes)

    def grow(
        self, fold: Fold, shares: Sequence[float], state: Any = None
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Train on a fold step by step, and predict what it tests after each.

        Args:
            fold: its rows.
            shares: of all epochs or trees, ascending; the last is 1. A family without stages makes one step.
            state: of an earlier growth, to go on from, of a network alone.

        Yields:
            Probabilities of the test rows [rows, classes], and what a later growth goes on from.
        """
        if not self.family.grow:
            yield self.predict(self.learn(fold.train), fold.test), None
            return
        normaliser, given, apart = self._given(fold.train)
        classifier = self.family.build(self.settings, self.seed)
        whole = int(self.settings[self.family.stage])
        counts = [max(1, round(share * whole)) for share in shares]
        for reached in self.family.grow(classifier, given, self.y[fold.train], counts, apart, state):
            yield self.predict(Fitted(classifier, normaliser), fold.test), reached

    def _given(self, rows: np.ndarray) -> tuple[Normaliser | None, np.ndarray, np.ndarray | None]:
        """What a classifier is given of some rows: normalisation, features, whom not to divide."""
        X, voices = self.X[rows], _of(self.voices, rows)
        normaliser = self.normalisation.fit(X, voices) if self.normalisation else None
        return normaliser, normalised(normaliser, X, voices), _of(kept_apart(self.groups, self.sources), rows)

    def _with_copies(self, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """`train` and the copies that may be learned from beside it, ascending.

        A copy without its source may where none of its speaker is tested.
        """
        if self.sources is None:
            return train
        orphan = self.sources < 0
        if self.groups is not None:
            orphan &= ~np.isin(self.groups, self.groups[test])
        return np.flatnonzero(np.isin(self.sources, train) | orphan)


def originals(sources: np.ndarray) -> np.ndarray:
    """Numbers of the rows that are no copies; see `Learner`."""
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
    return placed(classifier.predict_proba(X), classifier.classes_, classes)


def placed(p: np.ndarray, own: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities [rows, own] of some classes among all of them [rows, classes]."""
    result = np.full((len(p), classes), FLOOR)
    result[:, np.asarray(own, dtype=int)] = p
    return result


def _of(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]
