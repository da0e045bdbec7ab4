"""`four_feature_cnn`: one CNN for each of four acoustic features, and a regression on what they say.

System 7. Each CNN learns the emotions from pictures of one feature. Their softmax is taken off, and a
multinomial logistic regression learns from their logits, side by side (stacked generalisation, Wolpert
1992): from those of utterances that a CNN did not learn from (`regression=oof`), or from those of the
utterances that it did learn from (`train`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from ser_ray.corpora.splits import Fold, grouped_folds
from ser_ray.errors import BadManifest, BadModel, UsageError
from ser_ray.models.family import Family
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.image_cnn import IMAGE_CNN
from ser_ray.models.networks.loop import Report
from ser_ray.models.networks.network import NetworkKind
from ser_ray.models.networks.parts import one_of

ABOUT, WEIGHTS, TOWER = "four_feature_cnn.json", "regression.safetensors", "tower-{}"
REGRESSIONS = ("oof", "train")
Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class FourFeatureClassifier:
    """A CNN for each picture, and a multinomial logistic regression on their logits.

    Args:
        settings: all hyperparameters; see `FAMILY`.
        seed: fixes folds and towers.
        kind: what each tower is.

    Attributes:
        classes_: class numbers [classes].
        towers: one classifier for each picture, in order, learned from all rows.
        coefficients: of the regression [classes, towers * classes].
        intercepts: of the regression [classes].
    """

    def __init__(self, settings: Mapping[str, Any], seed: int, kind: NetworkKind = IMAGE_CNN) -> None:
        self.settings, self.seed, self.kind = dict(settings), seed, kind
        one_of("regression", self.settings["regression"], REGRESSIONS)
        if self.settings["folds"] < 2 or self.settings["C"] <= 0:
            given = f"folds={self.settings['folds']}, C={self.settings['C']}"
            raise UsageError(f"{given} will not do. Set folds to 2 or more, and C above 0.")

    def fit(
        self,
        X: Any,
        y: np.ndarray,
        groups: np.ndarray | None = None,
        report: Report | None = None,
        mapper: Mapper = map,
    ) -> FourFeatureClassifier:
        """Learn from examples.

        Args:
            X: object array [rows] of tuples of pictures [height, width].
            y: class numbers [rows].
            groups: speaker of each row [rows], or None; those of a fold are kept from its towers.
            report: told of each epoch of each tower.
            mapper: like `map`; a parallel one trains the towers side by side.

        Raises:
            BadManifest: there is one class alone, or a class has a single row.
        """
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise BadManifest("all utterances are of one emotion. Give at least two.")
        inputs, everything = _by_tower(X), np.arange(len(y))
        learn = partial(self._tower, inputs, numbers, groups, report)
        self.towers: list[NetworkClassifier] = list(
            mapper(learn, [(k, everything) for k in range(len(inputs))])
        )
        if self.settings["regression"] == "train":
            stacked = self._stacked(inputs)
        else:
            stacked = self._held_out(inputs, numbers, groups, report, mapper)
        self._regress(stacked, numbers)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities by the regression [rows, classes]."""
        scores = self._stacked(_by_tower(X)) @ self.coefficients.T + self.intercepts
        return np.asarray(softmax(scores, axis=1))

    def tower_probabilities(self, X: Any) -> np.ndarray:
        """Probabilities by each tower alone [towers, rows, classes]."""
        stacked = self._stacked(_by_tower(X))
        logits = stacked.reshape(len(stacked), len(self.towers), len(self.classes_))
        return np.asarray(softmax(logits, axis=2).swapaxes(0, 1))

    def soft_vote(self, X: Any) -> np.ndarray:
        """The mean of the towers' probabilities [rows, classes]."""
        return np.asarray(self.tower_probabilities(X).mean(axis=0))

    def parts(self, X: Any) -> dict[str, np.ndarray]:
        """Probabilities by each tower alone and by their soft vote [rows, classes]."""
        alone = self.tower_probabilities(X)
        towers = {f"tower {number}": p for number, p in enumerate(alone, 1)}
        return {**towers, "soft vote": np.asarray(alone.mean(axis=0))}

    @property
    def curve(self) -> list[dict[str, float]]:
        """Figures of each epoch of each tower, numbered from 0."""
        return [{"tower": k, **row} for k, tower in enumerate(self.towers) for row in tower.curve]

    def save(self, folder: Path) -> None:
        """Write weights and description."""
        for number, tower in enumerate(self.towers):
            place = folder / TOWER.format(number)
            place.mkdir()
            tower.save(place)
        weights = {"coefficients": self.coefficients, "intercepts": self.intercepts}
        (folder / WEIGHTS).write_bytes(save(weights))
        about = {
            "settings": self.settings,
            "seed": self.seed,
            "classes": self.classes_.tolist(),
            "towers": len(self.towers),
        }
        (folder / ABOUT).write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path, kind: NetworkKind = IMAGE_CNN) -> FourFeatureClassifier:
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            BadModel: towers, regression and description do not fit together.
        """
        about = json.loads((folder / ABOUT).read_text())
        classifier = cls(about["settings"], about["seed"], kind)
        classifier.classes_ = np.array(about["classes"])
        places = [folder / TOWER.format(number) for number in range(about["towers"])]
        classifier.towers = [NetworkClassifier.load(kind, place) for place in places]
        weights, classes = load_file(folder / WEIGHTS), len(classifier.classes_)
        expected = {"coefficients": (classes, len(places) * classes), "intercepts": (classes,)}
        if {name: array.shape for name, array in weights.items()} != expected or any(
            len(tower.classes_) != classes for tower in classifier.towers
        ):
            raise BadModel(f"the parts of the model in {folder} do not fit together. Train it again.")
        classifier.coefficients, classifier.intercepts = weights["coefficients"], weights["intercepts"]
        return classifier

    def _tower(
        self,
        inputs: Sequence[np.ndarray],
        numbers: np.ndarray,
        groups: np.ndarray | None,
        report: Report | None,
        job: tuple[int, np.ndarray],
    ) -> NetworkClassifier:
        """The tower of a number, learned from some rows."""
        number, rows = job
        speakers = None if groups is None else groups[rows]
        tower = NetworkClassifier(self.kind, self.settings, self.seed + number)
        return tower.fit(inputs[number][rows], numbers[rows], speakers, report)

    def _held_out(
        self,
        inputs: Sequence[np.ndarray],
        numbers: np.ndarray,
        groups: np.ndarray | None,
        report: Report | None,
        mapper: Mapper,
    ) -> np.ndarray:
        """Logits of each row by towers that did not learn from it, nor from its speaker."""
        classes = len(self.classes_)

        def of_fold(job: tuple[int, Fold]) -> np.ndarray:
            number, fold = job
            tower = self._tower(inputs, numbers, groups, report, (number, fold.train))
            return _logits(tower, inputs[number][fold.test], classes)

        folds = grouped_folds(numbers, groups, self.settings["folds"], self.seed)
        jobs = [(number, fold) for fold in folds for number in range(len(inputs))]
        stacked = np.zeros((len(numbers), len(inputs), classes))
        for (number, fold), logits in zip(jobs, mapper(of_fold, jobs), strict=True):
            stacked[fold.test, number] = logits
        return stacked.reshape(len(stacked), -1)

    def _stacked(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Logits of all towers side by side [rows, towers * classes]."""
        classes = len(self.classes_)
        if not inputs:
            return np.zeros((0, len(self.towers) * classes))
        if len(inputs) != len(self.towers):
            raise UsageError(f"{len(inputs)} pictures for {len(self.towers)} towers. Give each its own.")
        return np.hstack([_logits(tower, X, classes) for tower, X in zip(self.towers, inputs, strict=True)])

    def _regress(self, stacked: np.ndarray, numbers: np.ndarray) -> None:
        regression = LogisticRegression(C=self.settings["C"], max_iter=2000).fit(stacked, numbers)
        coefficients, intercepts = regression.coef_, regression.intercept_
        if len(coefficients) == 1:  # two classes: the score of the second against the first
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.append(0.0, intercepts)
        self.coefficients, self.intercepts = np.ascontiguousarray(coefficients), intercepts


def _by_tower(X: Any) -> list[np.ndarray]:
    """For each picture of an utterance, an object array of that of all [rows]."""
    columns = []
    for pictures_of in zip(*(row if isinstance(row, tuple) else (row,) for row in X), strict=True):
        column = np.empty(len(pictures_of), dtype=object)
        for row, picture in enumerate(pictures_of):
            column[row] = picture
        columns.append(column)
    return columns


def _logits(tower: NetworkClassifier, X: np.ndarray, classes: int) -> np.ndarray:
    """Logits of a tower [rows, classes]; a class that it never heard has its lowest."""
    found = tower.logits(X)
    logits = np.repeat(found.min(axis=1, keepdims=True), classes, axis=1)
    logits[:, tower.classes_] = found
    return np.asarray(logits)


def _build(settings: Mapping[str, Any], seed: int) -> FourFeatureClassifier:
    return FourFeatureClassifier(settings, seed)


def _save(classifier: FourFeatureClassifier, folder: Path) -> None:
    classifier.save(folder)


FAMILY = Family(
    name="four_feature_cnn",
    summary="a CNN for each of four pictures, and a logistic regression on their logits",
    features=("image", "image(of=mfcc,per_row=true)", "image(of=chroma)", "image(of=contrast)"),
    defaults={**all_settings(IMAGE_CNN), "regression": "oof", "folds": 5, "C": 1.0},
    space={**IMAGE_CNN.space, "C": {"type": "log", "low": 1e-3, "high": 1e2}},
    build=_build,
    save=_save,
    load=FourFeatureClassifier.load,
    deep=True,
    networks=24,  # four towers, once and in each of five folds
)
