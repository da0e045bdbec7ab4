"""`random_forest`: scikit-learn's random forest, classes weighted alike, kept as skops.

A loaded forest answers by one compiled walk through all trees: scikit-learn's own goes tree by tree in
Python, which costs as much for one segment as for hundreds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from ser_ray.errors import BadModel
from ser_ray.models.family import Family

TRUSTED = ["sklearn.tree._tree.Tree"]  # the one type beyond skops's own list that a forest holds


def _build(settings: Mapping[str, Any], seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(
        n_estimators=settings["trees"],
        max_features=settings["max_features"],
        min_samples_leaf=settings["min_leaf"],
        class_weight="balanced",
        random_state=seed,
        n_jobs=1,
    )


def _grow(
    forest: RandomForestClassifier,
    X: np.ndarray,
    y: np.ndarray,
    counts: Sequence[int],
    groups: np.ndarray | None = None,
    state: None = None,
) -> Iterator[None]:
    """See `models.family.Grow`; groups and state are not used."""
    forest.set_params(warm_start=True)
    for count in counts:
        if forest.n_estimators == count and hasattr(forest, "estimators_"):
            yield  # few trees, of which two shares are the same number
            continue
        with warnings.catch_warnings():  # of weights that would change with other rows; these are the same
            warnings.filterwarnings("ignore", message="class_weight presets")
            forest.set_params(n_estimators=count).fit(X, y)
        yield


class LoadedForest:
    """A fitted forest, its trees laid out one after the other.

    Args:
        fitted: of at least one tree.

    Raises:
        BadModel: a branch or a column lies where the compiled walk must not go.
    """

    def __init__(self, fitted: RandomForestClassifier) -> None:
        self.fitted, self.classes_ = fitted, fitted.classes_
        trees = [each.tree_ for each in fitted.estimators_]
        self.roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
        self.columns = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
        self.thresholds = np.concatenate([tree.threshold for tree in trees])
        branches = ((tree.children_left, tree.children_right) for tree in trees)
        shifted = [np.stack(pair, axis=1) + root for pair, root in zip(branches, self.roots, strict=True)]
        self.branches = np.concatenate(shifted).astype(np.int32)
        self.shares = np.concatenate([tree.value[:, 0] for tree in trees])
        inner = np.flatnonzero(self.columns >= 0)
        onwards = (self.branches[inner] > inner[:, None]) & (self.branches[inner] < len(self.columns))
        if not (onwards.all() and (self.columns < fitted.n_features_in_).all()):
            raise BadModel("a tree of the forest branches to nowhere. Train the model again.")

    def fit(self, X: np.ndarray, y: np.ndarray) -> LoadedForest:
        """Another forest of the same settings, grown on X [rows, columns] and classes y [rows]."""
        return LoadedForest(clone(self.fitted).fit(X, y))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Mean of the trees' probabilities [rows, classes]."""
        from ser_ray.models.trees import sum_leaves  # here, because numba takes its time to import

        X = np.ascontiguousarray(X, np.float32)  # as scikit-learn compares
        if X.shape[1] != self.fitted.n_features_in_:
            raise ValueError(f"{X.shape[1]} columns, and the forest knows {self.fitted.n_features_in_}")
        total = sum_leaves(X, self.roots, self.columns, self.thresholds, self.branches, self.shares)
        return np.asarray(total / len(self.roots))


def _save(forest: RandomForestClassifier | LoadedForest, folder: Path) -> None:
    import skops.io  # here, because it imports all of scikit-learn

    fitted = forest.fitted if isinstance(forest, LoadedForest) else forest
    skops.io.dump(fitted, folder / "forest.skops")


def _load(folder: Path) -> LoadedForest:
    import skops.io

    file = folder / "forest.skops"
    foreign = sorted(set(skops.io.get_untrusted_types(file=file)) - set(TRUSTED))
    if foreign:
        raise BadModel(f"{file} asks for types that a forest does not need: {foreign[:3]}. It is not loaded.")
    forest = skops.io.load(file, trusted=TRUSTED)
    if not isinstance(forest, RandomForestClassifier):
        raise BadModel(f"{file} holds a {type(forest).__name__}, not a random forest.")
    return LoadedForest(forest)


FAMILY = Family(
    name="random_forest",
    summary="random forest",
    features=("mfcc_stats",),
    defaults={"trees": 500, "max_features": 0.05, "min_leaf": 1},
    space={
        "trees": {"type": "int", "low": 100, "high": 1000},
        "max_features": {"type": "log", "low": 0.02, "high": 0.5},
        "min_leaf": {"type": "int", "low": 1, "high": 8},
    },
    build=_build,
    save=_save,
    load=_load,
    stage="trees",
    grow=_grow,
)
