"""`xgboost`: gradient-boosted trees, classes weighted alike, kept in XGBoost's own JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from sklearn.utils.class_weight import compute_sample_weight

from ser_ray.errors import BadModel
from ser_ray.models.family import Family

_CLASSES = "ser_ray_classes"  # attribute of the booster that keeps the class numbers


class BoostedTrees:
    """Softmax boosting with every class given the same weight.

    Args:
        rounds: boosting rounds.
        parameters: XGBoost's own.
    """

    def __init__(self, rounds: int, parameters: Mapping[str, Any]) -> None:
        self.rounds, self.parameters = rounds, dict(parameters)

    def fit(self, X: np.ndarray, y: np.ndarray) -> BoostedTrees:
        """Learn from X [rows, columns] and integer classes y [rows]."""
        for _ in self.grow(X, y, [self.rounds]):
            pass
        return self

    def grow(
        self,
        X: np.ndarray,
        y: np.ndarray,
        counts: Sequence[int],
        groups: np.ndarray | None = None,
        state: None = None,
    ) -> Iterator[None]:
        """See `models.family.Grow`; groups and state are not used."""
        self.classes_, number = np.unique(y, return_inverse=True)
        data = xgboost.QuantileDMatrix(
            X,
            number,
            weight=compute_sample_weight("balanced", y),
            max_bin=self.parameters["max_bin"],
            nthread=1,
        )
        parameters = {**self.parameters, "num_class": len(self.classes_)}
        self.booster = xgboost.Booster(parameters, [data])
        self.booster.set_attr(**{_CLASSES: " ".join(map(str, self.classes_))})
        for before, count in pairwise([0, *counts]):
            for iteration in range(before, count):
                self.booster.update(data, iteration)
            yield

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [rows, classes]."""
        return np.asarray(self.booster.inplace_predict(np.ascontiguousarray(X, dtype=np.float32)))


def _build(settings: Mapping[str, Any], seed: int) -> BoostedTrees:
    parameters = {
        "objective": "multi:softprob",
        "tree_method": "hist",
        "max_bin": 64,
        "max_depth": settings["depth"],
        "eta": settings["learning_rate"],
        "colsample_bynode": settings["column_share"],
        "subsample": settings["row_share"],
        "seed": seed,
        "nthread": 1,
    }
    return BoostedTrees(settings["trees"], parameters)


def _save(trees: BoostedTrees, folder: Path) -> None:
    (folder / "xgboost.json").write_bytes(trees.booster.save_raw("json"))


def _load(folder: Path) -> BoostedTrees:
    trees = BoostedTrees(0, {})
    content = (folder / "xgboost.json").read_bytes()
    try:
        json.loads(content)  # XGBoost's parser brings the process down on some files that are cut short
        trees.booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
        trees.classes_ = np.array([int(c) for c in (trees.booster.attr(_CLASSES) or "none").split()])
    except ValueError as error:  # XGBoost's own error is one too, and its text a page of C++
        raise BadModel(f"{folder / 'xgboost.json'} is not a readable XGBoost model of ours.") from error
    return trees


FAMILY = Family(
    name="xgboost",
    summary="gradient-boosted trees",
    features=("mfcc_stats",),
    defaults={"trees": 300, "depth": 2, "learning_rate": 0.1, "column_share": 0.05, "row_share": 0.7},
    space={
        "trees": {"type": "int", "low": 50, "high": 800},
        "depth": {"type": "int", "low": 2, "high": 8},
        "learning_rate": {"type": "log", "low": 0.01, "high": 0.5},
        "column_share": {"type": "log", "low": 0.02, "high": 1.0},
        "row_share": {"type": "float", "low": 0.4, "high": 1.0},
    },
    build=_build,
    save=_save,
    load=_load,
    stage="trees",
    grow=BoostedTrees.grow,
)
