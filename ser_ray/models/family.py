"""What a family of models is. Classical, deep and fused models all look like this from outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ser_ray.errors import UsageError

if TYPE_CHECKING:
    from ser_ray.models.model import Model

LABELS = "labels"  # setting of a family that has to know the emotions


class Classifier(Protocol):
    """A scikit-learn style classifier over integer classes."""

    classes_: np.ndarray

    def fit(self, X: np.ndarray, y: np.ndarray) -> Any:
        """Learn from X [rows, columns] (see `models.inputs` for networks) and y [rows]."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [rows, classes] in the order of `classes_`."""


# (classifier as built, X, y, counts, speakers or None, state or None) -> iterator. It trains as `fit` does,
# until each of the counts of epochs or trees, ascending, and yields for the classifier to be tried: what
# another growth of a network goes on from, given as its state; None where it cannot.
Grow = Callable[..., Iterator[Any]]


@dataclass(frozen=True, kw_only=True)
class Tunable:
    """What has hyperparameters.

    Attributes:
        name: what the command line calls it.
        defaults: every hyperparameter with its default.
        space: search space as plain data: name -> {"type": "log" | "float" | "int" | "choice", ...}.
    """

    name: str
    defaults: Mapping[str, Any]
    space: Mapping[str, Mapping[str, Any]]

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults with `given` in their place, texts converted to the default's type.

        Raises:
            UsageError: a hyperparameter that it does not have, or of the wrong type.
        """
        unknown = sorted(set(given) - set(self.defaults))
        if unknown:
            raise UsageError(
                f"{self.name} has no setting {unknown[0]!r}. It has: {', '.join(self.defaults)}."
            )
        return {**self.defaults, **{k: like(self.defaults[k], v, k) for k, v in given.items()}}


@dataclass(frozen=True, kw_only=True)
class Family(Tunable):
    """One kind of model.

    Attributes:
        summary: one line for the help text.
        features: specifications of the features it reads unless told otherwise.
        build: (hyperparameters, seed) -> a classifier.
        save: write a fitted classifier into a folder.
        load: read it back, executing nothing.
        deep: a network: it reads frame sequences and images as well as vectors, and its `fit` takes the
            speakers of the rows, to hold some of them out, and whom to tell of each epoch.
        frames: it reads frame sequences as well as vectors, and is no network.
        grouped: its `fit` takes the speakers of the rows, to keep them apart in folds of its own.
        holds_out: the setting `held_out` gives the share of the rows by which it finds its best epoch; they
            are its `held_out_`.
        networks: how many of `epochs` epochs at most are trained in one fit.
        stage: the setting that counts what a fit adds step by step, `epochs` or `trees`, where it has `grow`.
        grow: trains step by step.
        source: hyperparameters -> the saved model that it starts from, or None; see `model.check_source`.
        streams: it can learn from features that are read from the store as it goes.
    """

    summary: str
    features: tuple[str, ...]
    build: Callable[[Mapping[str, Any], int], Classifier]
    save: Callable[[Any, Path], None]
    load: Callable[[Path], Classifier]
    deep: bool = False
    frames: bool = False
    grouped: bool = False
    holds_out: bool = False
    networks: int = 0
    stage: str = ""
    grow: Grow | None = None
    source: Callable[[Mapping[str, Any]], Model | None] | None = None
    streams: bool = False

    def knowing(self, settings: Mapping[str, Any], labels: Sequence[str]) -> Mapping[str, Any]:
        """All its settings, and in `labels`, where it has such a one, what the class numbers stand for.

        Args:
            settings: all its hyperparameters.
            labels: emotion of each class number, in order.
        """
        return {**settings, LABELS: "-".join(labels)} if LABELS in self.defaults else settings


def like(default: Any, value: Any, name: str) -> Any:
    """`value`, which may be a text, as the type of `default`.

    Raises:
        UsageError: it is none.
    """
    if isinstance(default, str) and isinstance(value, int | float):
        return value
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(default, int):
            return _whole(value)
        if isinstance(default, float):
            return _finite(float(value))
        return str(value)
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        raise UsageError(f"{name}={value!r} should be of type {type(default).__name__}.") from error


def _whole(value: Any) -> int:
    if int(value) != value and not isinstance(value, str):
        raise ValueError(f"{value} is no whole number")
    return int(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return value
