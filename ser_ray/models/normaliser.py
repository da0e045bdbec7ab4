"""What a normalisation is: a specification that is fitted on training rows, and what it then does to rows.

It serves vectors, one an utterance, and frame sequences. Its scope says by whose statistics a row is
normalised: those of its utterance, of its speaker or of the training corpus. Scope `speaker` is
transductive: test speakers are normalised by all that is to be recognised of them, without its labels.

Little is a poor measure of a speaker. Their statistics are therefore taken as if `prior` utterances of
the corpus stood beside their own n, so that their own weigh n / (n + prior), in training as at test.
Utterances count, not frames: the frames of one utterance share its words and its emotion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.errors import UsageError
from ser_ray.parameters import Parameters, parameter

PRIOR = 4.0  # utterances; set once for all corpora
TRANSDUCTIVE = (
    "transductive: each speaker normalised by all their own unlabelled utterances, "
    "not to be compared with inductive figures"
)

Rows = np.ndarray | Sequence[np.ndarray]  # [rows, columns], or one [frames, columns] a row
Groups = Sequence[Hashable] | np.ndarray  # speaker of each row, or whatever stands for one


@dataclass(frozen=True, kw_only=True)
class Normalisation(Parameters, ABC):
    """What is to be done, not yet fitted.

    Attributes:
        scope: by whose statistics a row is normalised.
        prior: for the scope `speaker`: utterances of the corpus that are counted beside a speaker's own.
            With 0 their own are all that counts, and a single vector of a speaker says nothing.
    """

    kind: ClassVar[str] = "normalisation"

    scope: str = parameter("corpus", choices=("utterance", "speaker", "corpus"))
    prior: float = parameter(PRIOR, low=0.0, high=1e6)

    def _check(self) -> None:
        if self.scope != "speaker" and self.prior != PRIOR:
            raise self._refusal("prior", self.prior, f"it says nothing to scope={self.scope}")

    @property
    def transductive(self) -> bool:
        """Whether test rows are normalised by other test rows."""
        return self.scope == "speaker"

    def check(self, vectors: bool, speakers_known: bool) -> None:
        """Make sure that it can be done.

        Args:
            vectors: whether rows are vectors, not frame sequences.
            speakers_known: whether the speaker of every row is.

        Raises:
            UsageError: it cannot.
        """
        if vectors and self.scope == "utterance":
            raise UsageError(
                f"normalisation {self.name} with scope=utterance needs frame sequences, and here each "
                "utterance is one vector. Use scope=speaker, or cmvn(scope=corpus)."
            )
        if self.transductive and not speakers_known:
            raise UsageError(
                f"normalisation {self.name} with scope=speaker needs to know who speaks. Give the column "
                "speaker for every utterance, or use cmvn(scope=corpus)."
            )

    def fit(self, X: Rows, groups: Groups | None = None) -> Normaliser:
        """Learn the statistics of training rows.

        Args:
            X: vectors [rows, columns], or a frame sequence [frames, columns] a row.
            groups: speaker of each row; only whether they are known matters here.

        Raises:
            UsageError: the scope needs what the rows do not have, or a value is not finite.
        """
        self.check(are_vectors(X), _all_known(groups))
        if not all(np.isfinite(frames).all() for frames in sequences(X)):
            raise UsageError("some features are NaN or infinite. Extract them again, or leave them out.")
        return Normaliser(self, self._learn(X))

    def valid(self, statistics: Mapping[str, np.ndarray], columns: int) -> bool:
        """Whether arrays that come out of a file can be what it learned of so many columns."""
        arrays = statistics.values()
        return all(a.dtype == np.float64 and np.isfinite(a).all() for a in arrays) and self._valid(
            statistics, columns
        )

    @abstractmethod
    def _learn(self, X: Rows) -> dict[str, np.ndarray]:
        """Statistics of the training rows, float64, columns last."""

    @abstractmethod
    def _valid(self, statistics: Mapping[str, np.ndarray], columns: int) -> bool:
        """Whether finite float64 arrays are statistics of so many columns."""

    @abstractmethod
    def _apply(self, statistics: Mapping[str, np.ndarray], frames: np.ndarray, own: float) -> np.ndarray:
        """Normalise frames [frames, columns] of one group whose own statistics weigh `own`, 0 to 1."""


@dataclass(frozen=True)
class Normaliser:
    """A normalisation with the statistics that it learned: float64 arrays by name, columns last."""

    specification: Normalisation
    statistics: Mapping[str, np.ndarray]

    def __call__(self, X: Rows, groups: Groups | None = None) -> np.ndarray:
        """Normalised rows. A row's result depends on the rows of its own group only, to the bit.

        Args:
            X: vectors [rows, columns], or a frame sequence [frames, columns] a row.
            groups: speaker of each row, for the scope `speaker`.

        Returns:
            An array like X; an object array of sequences where X is a list.

        Raises:
            UsageError: the scope needs speakers, and they are not known.
        """
        vectors, chosen = are_vectors(X), self.specification
        chosen.check(vectors, _all_known(groups))
        result = _empty_like(X)
        for rows, own in self._parts(X, groups):
            frames = np.asarray(X)[rows] if vectors else np.concatenate([X[row] for row in rows])
            done = chosen._apply(self.statistics, np.asarray(frames, np.float64), own)
            if vectors:
                result[rows] = done
                continue
            ends = np.cumsum([len(X[row]) for row in rows])
            for row, part in zip(rows, np.split(done, ends[:-1]), strict=True):
                result[row] = part.astype(np.result_type(X[row], np.float32))
        return result

    def _parts(self, X: Rows, groups: Groups | None) -> Iterator[tuple[np.ndarray, float]]:
        """Rows that are normalised together, and the weight of their own statistics."""
        if self.specification.transductive and groups is not None:
            places: dict[Hashable, list[int]] = {}
            for row, group in zip(range(len(X)), groups, strict=True):
                places.setdefault(group, []).append(row)
            for rows in places.values():
                yield np.array(rows), len(rows) / (len(rows) + self.specification.prior)
        elif are_vectors(X):
            yield np.arange(len(X)), 0.0
        else:
            own = float(self.specification.scope == "utterance")
            yield from ((np.array([row]), own) for row in range(len(X)))


def normalised(normaliser: Normaliser | None, X: np.ndarray, groups: Groups | None) -> np.ndarray:
    """X normalised, or X itself where there is nothing to be done."""
    return normaliser(X, groups) if normaliser else X


def are_vectors(X: Rows) -> bool:
    """Whether rows are vectors, not frame sequences."""
    return isinstance(X, np.ndarray) and X.ndim == 2


def sequences(X: Rows) -> list[np.ndarray]:
    """The frames [frames, columns] of X, utterance by utterance; vectors are the frames of one sequence."""
    return [np.asarray(X)] if are_vectors(X) else list(X)


def _all_known(groups: Groups | None) -> bool:
    return groups is not None and not any(group is None for group in groups)


def _empty_like(X: Rows) -> np.ndarray:
    if isinstance(X, np.ndarray) and X.dtype != object:
        return np.empty(X.shape, np.result_type(X, np.float32))
    return np.empty(len(X), object)
