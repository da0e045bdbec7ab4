"""`gmm`: one diagonal Gaussian mixture for each emotion, over the frames of a feature or over vectors.

The classical recogniser of voices (Reynolds and Rose, 1995): an utterance's score for an emotion is the mean
log likelihood of its frames. All emotions count as equally frequent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.special import softmax

from ser_ray.models.family import Family
from ser_ray.models.mixtures import MixtureOptions, Mixtures, fit_mixtures
from ser_ray.models.selection import columns_of

WEIGHTS = "gmm.safetensors"


class MixtureClassifier:
    """A diagonal Gaussian mixture for each class.

    Args:
        options: how mixtures are learned.

    Attributes:
        classes_: class numbers [classes].
        mixtures: one for each of them, in order.
    """

    def __init__(self, options: MixtureOptions) -> None:
        self.options = options

    def fit(self, X: np.ndarray, y: np.ndarray) -> MixtureClassifier:
        """Learn from examples.

        Args:
            X: an object array [rows] of frame sequences [frames, width], or vectors [rows, width].
            y: class numbers [rows].

        Raises:
            UsageError: X is of neither kind, or lacks a column.
        """
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self.mixtures = fit_mixtures(X, numbers, self.options)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax of the scores [rows, classes]; the calibration puts the scale right."""
        return np.asarray(softmax(self.mixtures.scores(X), axis=1))


def checked_classes(classes: np.ndarray) -> np.ndarray:
    """Class numbers that come out of a file.

    Raises:
        ValueError: they are not ascending whole numbers from 0 on.
    """
    if classes.dtype != np.int64 or classes.ndim != 1 or not (np.diff(classes, prepend=-1) > 0).all():
        raise ValueError("the classes are not ascending whole numbers")
    return classes


def _build(settings: Mapping[str, Any], seed: int) -> MixtureClassifier:
    columns = columns_of(settings["columns"])
    options = MixtureOptions(settings["components"], settings["floor"], settings["frames"], seed, columns)
    return MixtureClassifier(options)


def _save(classifier: MixtureClassifier, folder: Path) -> None:
    tensors = {"classes": classifier.classes_, **classifier.mixtures.tensors()}
    (folder / WEIGHTS).write_bytes(save(tensors))


def _load(folder: Path) -> MixtureClassifier:
    tensors = load_file(folder / WEIGHTS)
    classes = checked_classes(tensors.pop("classes"))
    classifier = MixtureClassifier(MixtureOptions())
    classifier.classes_, classifier.mixtures = classes, Mixtures.of(tensors, len(classes))
    return classifier


FAMILY = Family(
    name="gmm",
    summary="Gaussian mixtures, one for each emotion, over frames or vectors",
    features=("mfcc(n=12,deltas=1)",),
    defaults={"components": 32, "floor": 1e-3, "frames": 10_000, "columns": ""},
    space={
        "components": {"type": "int", "low": 2, "high": 64},
        "floor": {"type": "log", "low": 1e-4, "high": 0.3},
    },
    build=_build,
    save=_save,
    load=_load,
    frames=True,
)
