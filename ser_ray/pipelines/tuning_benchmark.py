"""Speed of a search: trials of the SVM beside a plain scikit-learn loop over the same settings and folds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from joblib import Parallel, delayed
from sklearn.metrics import balanced_accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_ray.corpora.splits import Fold
from ser_ray.pipelines.cluster import connect
from ser_ray.pipelines.search import SearchOptions
from ser_ray.pipelines.trials import Trial
from ser_ray.pipelines.tune import TuneRequest, prepare


def benchmark_tune(manifest: pa.Table, store: str, samples: int, repeats: int) -> dict[str, Any]:
    """Trials a minute, the start of processes included on both sides.

    Args:
        manifest: utterances to learn from.
        store: their features.
        samples: trials of each search.
        repeats: of both, in turn.

    Returns:
        Trials a minute of the search and of the plain loop, each on all CPUs, and their ratio; the share of
        a trial's process time that was spent in the objective; the largest difference of a trial's UA.
    """
    cpus = connect()
    prepared = prepare(TuneRequest("svm"), manifest, store)
    learner = prepared.objective.learner(prepared.default)
    folds = learner.folds(prepared.objective.inner_folds)
    runs: dict[str, list[float]] = {"search": [], "plain": [], "inside": [], "differs": []}
    for repeat in range(repeats):
        options = SearchOptions(samples=samples, seed=repeat)
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            trials = prepared.search(folder, options)
            took = time.perf_counter() - started
        runs["search"].append(60 * samples / took)
        runs["inside"].append(sum(t.seconds for t in trials) / (took * cpus))
        started = time.perf_counter()
        found = Parallel(n_jobs=cpus)(
            delayed(_plain)(t.settings, learner.X, learner.y, folds) for t in trials
        )
        runs["plain"].append(60 * samples / (time.perf_counter() - started))
        runs["differs"].append(_largest(trials, found))
    return {
        "utterances": len(learner.y),
        "folds": len(folds),
        "trials": samples,
        "repeats": repeats,
        "cpus": cpus,
        "search_trials_per_min": median(runs["search"]),
        "plain_trials_per_min": median(runs["plain"]),
        "search_to_plain": median(a / b for a, b in zip(runs["search"], runs["plain"], strict=True)),
        "share_inside_trials": median(runs["inside"]),
        "largest_ua_difference": max(runs["differs"]),
    }


def _plain(settings: Mapping[str, Any], X: np.ndarray, y: np.ndarray, folds: Sequence[Fold]) -> float:
    """Mean UA over the folds, as anybody would write it."""
    found = []
    for fold in folds:
        machine = SVC(C=settings["C"], gamma=settings["gamma"] / X.shape[1], class_weight="balanced")
        model = make_pipeline(StandardScaler(), OneVsRestClassifier(machine))
        model.fit(X[fold.train], y[fold.train])
        found.append(balanced_accuracy_score(y[fold.test], model.predict(X[fold.test])))
    return float(np.mean(found))


def _largest(trials: Sequence[Trial], plain: Sequence[float]) -> float:
    return max(abs((t.ua or 0.0) - ua) for t, ua in zip(trials, plain, strict=True))
