"""`gmm_fusion`: Gaussian mixtures over cepstrum and over pitch statistics, their scores added up.

System 9. What the cepstrum's mixtures say and what those of the pitch statistics say is brought to one size,
and added with a weight: of all that a cross-validation of the training rows tries, that with which it
recognises most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.special import softmax

from ser_ray.corpora.splits import Fold, grouped_folds
from ser_ray.errors import UsageError
from ser_ray.models.family import Family
from ser_ray.models.gmm import checked_classes
from ser_ray.models.mixtures import MixtureOptions, Mixtures, fit_mixtures
from ser_ray.models.normaliser import are_vectors
from ser_ray.models.selection import columns_of

WEIGHTS = "gmm_fusion.safetensors"
AUTO = "auto"
GRID = np.arange(21) / 20  # of the cepstrum's weight


class FusionClassifier:
    """Mixtures of each class over cepstra, and others over pitch statistics.

    Args:
        settings: all hyperparameters; see `FAMILY`.
        seed: fixes folds and mixtures.

    Attributes:
        classes_: class numbers [classes].
        cepstrum: mixtures over frames.
        pitch: mixtures over vectors.
        weight: of the cepstrum's scores, from 0 to 1; the pitch's have the rest.
    """

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:
        self.settings, self.seed = dict(settings), seed
        self.options = mixture_options(self.settings, seed)
        self.given = given_weight(self.settings["weight"])
        if self.settings["folds"] < 2:
            raise UsageError(f"folds={self.settings['folds']} is too small. Set it to 2 or more.")

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> FusionClassifier:
        """Learn from examples.

        Args:
            X: object array [rows] of pairs: frames [frames, columns] and a vector [columns].
            y: class numbers [rows].
            groups: speaker of each row [rows], or None; the folds that choose the weight keep them apart.

        Raises:
            BadManifest: the weight is to be chosen, and a class has a single row.
            UsageError: X is of another kind, or there is no such column.
        """
        self.classes_, numbers = np.unique(y, return_inverse=True)
        (cepstra, statistics), (framewise, vectorwise) = sources_of(X), self.options
        self.cepstrum = fit_mixtures(cepstra, numbers, framewise)
        self.pitch = fit_mixtures(statistics, numbers, vectorwise)
        if self.given is None:
            folds = grouped_folds(numbers, groups, self.settings["folds"], self.seed)
            cepstrum = held_out_scores(cepstra, numbers, folds, framewise)
            pitch = held_out_scores(statistics, numbers, folds, vectorwise)
            self.weight, _ = best_weight(cepstrum, pitch, numbers)
        else:
            self.weight = self.given
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax of the weighted scores [rows, classes]; the calibration puts the scale right."""
        cepstra, statistics = sources_of(X)
        scores = self.weight * self.cepstrum.scores(cepstra)
        return np.asarray(softmax(scores + (1 - self.weight) * self.pitch.scores(statistics), axis=1))


def mixture_options(settings: Mapping[str, Any], seed: int) -> tuple[MixtureOptions, MixtureOptions]:
    """How the cepstrum's mixtures are learned, and how the pitch's."""
    frames, columns = settings["frames"], columns_of(settings["columns"])
    return (
        MixtureOptions(settings["components"], settings["floor"], frames, seed),
        MixtureOptions(settings["pitch_components"], settings["pitch_floor"], frames, seed, columns),
    )


def given_weight(text: Any) -> float | None:
    """The weight that a setting tells; None where it is to be chosen.

    Raises:
        UsageError: it is neither `auto` nor a number from 0 to 1.
    """
    if text == AUTO:
        return None
    try:
        weight = float(text)
    except (TypeError, ValueError):
        weight = -1.0
    if not 0 <= weight <= 1:
        raise UsageError(f"weight={text!r} will not do. Set it to {AUTO}, or to a number from 0 to 1.")
    return weight


def sources_of(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames of all utterances, an object array [rows], and their vectors [rows, columns].

    Raises:
        UsageError: X has no pairs of frames and a vector.
    """
    if are_vectors(X) or any(not isinstance(x, tuple) or [part.ndim for part in x] != [2, 1] for x in X):
        raise UsageError(
            "gmm_fusion reads two features, first frames, then a vector: such as mfcc and pitch_stats."
        )
    cepstra = np.empty(len(X), dtype=object)
    for row, (frames, _) in enumerate(X):
        cepstra[row] = frames
    return cepstra, np.stack([vector for _, vector in X]) if len(X) else np.zeros((0, 0))


def held_out_scores(
    X: np.ndarray, numbers: np.ndarray, folds: Iterable[Fold], options: MixtureOptions
) -> np.ndarray:
    """Scores of each row that a fold tests, by mixtures of the rows that it learns from.

    Args:
        X: see `fit_mixtures`.
        numbers: class of each row, counted from 0 [rows].
        folds: of the rows.
        options: how mixtures are learned.

    Returns:
        [rows, classes], 0 where a row is not tested. A class that a fold does not learn has the lowest score.
    """
    scores = np.zeros((len(numbers), int(numbers.max()) + 1))
    for fold in folds:
        known, local = np.unique(numbers[fold.train], return_inverse=True)
        found = fit_mixtures(X[fold.train], local, options).scores(X[fold.test])
        spread = np.repeat(found.min(axis=1, keepdims=True), scores.shape[1], axis=1)
        spread[:, known] = found
        scores[fold.test] = spread
    return scores


def best_weight(
    cepstrum: np.ndarray, pitch: np.ndarray, numbers: np.ndarray, weights: np.ndarray = GRID
) -> tuple[float, float]:
    """The weight of the cepstrum with which most is recognised, and the UA then.

    Args:
        cepstrum: scores [rows, classes].
        pitch: scores [rows, classes].
        numbers: true class of each row [rows].
        weights: those that are tried; of several that serve alike, the nearest to a half is taken.
    """
    fused = weights[:, None, None] * cepstrum + (1 - weights)[:, None, None] * pitch
    hits = fused.argmax(axis=2) == numbers
    found = np.mean([hits[:, numbers == k].mean(axis=1) for k in np.unique(numbers)], axis=0)
    best = max(range(len(weights)), key=lambda k: (found[k], -abs(weights[k] - 0.5)))
    return float(weights[best]), float(found[best])


def _save(classifier: FusionClassifier, folder: Path) -> None:
    tensors = {"classes": classifier.classes_, "weight": np.array([classifier.weight])}
    for source in ("cepstrum", "pitch"):
        arrays = getattr(classifier, source).tensors()
        tensors |= {f"{source}.{name}": array for name, array in arrays.items()}
    (folder / WEIGHTS).write_bytes(save(tensors))


def _load(folder: Path) -> FusionClassifier:
    tensors = load_file(folder / WEIGHTS)
    classes, weight = checked_classes(tensors.pop("classes")), tensors.pop("weight")
    if weight.shape != (1,) or weight.dtype != np.float64 or not 0 <= weight[0] <= 1:
        raise ValueError("the weight is no number from 0 to 1")
    sources: dict[str, dict[str, np.ndarray]] = {"cepstrum": {}, "pitch": {}}
    for name, array in tensors.items():
        source, _, attribute = name.partition(".")
        sources[source][attribute] = array
    classifier = FusionClassifier(FAMILY.defaults, seed=0)
    classifier.classes_, classifier.weight = classes, float(weight[0])
    classifier.cepstrum = Mixtures.of(sources["cepstrum"], len(classes))
    classifier.pitch = Mixtures.of(sources["pitch"], len(classes))
    return classifier


FAMILY = Family(
    name="gmm_fusion",
    summary="Gaussian mixtures over cepstrum and over pitch statistics, their scores fused",
    features=("mfcc(n=12,deltas=1)", "pitch_stats"),
    defaults={
        "components": 32,
        "pitch_components": 2,
        "columns": "",
        "weight": AUTO,
        "folds": 5,
        "floor": 1e-3,
        "pitch_floor": 0.1,
        "frames": 10_000,
    },
    space={
        "components": {"type": "int", "low": 2, "high": 64},
        "pitch_components": {"type": "int", "low": 1, "high": 8},
        "pitch_floor": {"type": "log", "low": 1e-3, "high": 1.0},
    },
    build=FusionClassifier,
    save=_save,
    load=_load,
    frames=True,
    grouped=True,
)
