"""Training one family on a manifest, its folds side by side on Ray."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import sklearn
import xgboost

import ser_ray
from ser_ray import features
from ser_ray.corpora.manifest import labelled
from ser_ray.evaluation import Report, measure
from ser_ray.features import Band, Feature
from ser_ray.features.store import FeatureStore
from ser_ray.models import Model, OutOfFold, family
from ser_ray.models.model import check_features
from ser_ray.models.training import fit
from ser_ray.pipelines.cluster import Progress, connect, parallel_map, quiet
from ser_ray.pipelines.extract import extract


@dataclass(frozen=True)
class Dataset:
    """Labelled utterances with their features, ready to learn from.

    Attributes:
        rows: the manifest rows, all labelled and extracted.
        X: features of each specification tuple's features joined [rows, columns].
        y: index into `labels` [rows].
        labels: emotions in alphabetical order.
        speakers: [rows], or None where any is unknown.
        lost: utterances without features, by type of failure.
    """

    rows: pa.Table
    X: np.ndarray
    y: np.ndarray
    labels: tuple[str, ...]
    speakers: np.ndarray | None
    lost: Mapping[str, int]


def chosen_features(
    family_name: str, specs: Sequence[str] = (), band: Band | None = None
) -> tuple[Feature, ...]:
    """The features a model of a family reads: the given ones or the family's own, of the wanted band."""
    chosen = [features.get(spec) for spec in (specs or family(family_name).features)]
    if band:
        chosen = [features.with_band(feature, band) for feature in chosen]
    return check_features(family_name, tuple(chosen))


def load_dataset(
    manifest: pa.Table, store: str, chosen: Sequence[Feature], progress: Progress = quiet
) -> Dataset:
    """Labelled rows and their features; what the store lacks is extracted first.

    Raises:
        BadManifest: fewer than two emotions.
        BadStore: no utterance could be extracted.
    """
    rows = labelled(manifest, "training")
    source = FeatureStore(store)
    done = extract(rows, store, [f.spec for f in chosen], progress=progress)
    loaded = [source.load(feature, rows) for feature in chosen]
    kept = loaded[0][0]
    for found, _ in loaded[1:]:
        kept = np.intersect1d(kept, found)
    X = np.concatenate([values[np.searchsorted(found, kept)] for found, values in loaded], axis=1)
    rows = labelled(rows.take(pa.array(kept)), "training")
    emotions = rows["emotion"].to_pylist()
    labels = tuple(sorted(set(emotions)))
    speakers = None if rows["speaker"].null_count else np.array(rows["speaker"].to_pylist())
    return Dataset(rows, X, np.array([labels.index(e) for e in emotions]), labels, speakers, done.failed)


def train(
    family_name: str,
    manifest: pa.Table,
    store: str,
    specs: Sequence[str] = (),
    band: Band | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress = quiet,
) -> tuple[Model, Report]:
    """Train a family and measure it out of fold.

    Args:
        family_name: a name of `models.FAMILIES`.
        manifest: utterances; those without an emotion are left out.
        store: feature store; what it lacks is extracted first.
        specs: features in place of the family's own.
        band: `wide` or `telephone`; None keeps what the features say.
        settings: hyperparameters in place of the defaults.
        seed: fixes folds and model.
        progress: told how far the extraction is.

    Returns:
        The model, and the report of its out-of-fold predictions (speakers apart where known).

    Raises:
        UnknownName, UsageError: a name, setting or feature that does not exist.
        BadManifest: too few emotions or utterances.
    """
    kind = family(family_name)
    full = kind.settings(settings or {})
    chosen = chosen_features(family_name, specs, band)
    connect()
    data = load_dataset(manifest, store, chosen, progress)
    started = time.monotonic()
    trained = fit(kind, full, data.X, data.y, data.speakers, len(data.labels), seed, parallel_map)
    report = measure(data.y, trained.out_of_fold, data.labels, data.speakers)
    speakers = data.rows["speaker"].to_pylist()
    model = Model(
        family=family_name,
        settings=full,
        features=chosen,
        labels=data.labels,
        classifier=trained.classifier,
        calibration=trained.calibration,
        out_of_fold=OutOfFold(data.rows["id"].to_pylist(), speakers, data.y, trained.out_of_fold),
        card=_card(data, report, seed, time.monotonic() - started),
    )
    return model, report


def _card(data: Dataset, report: Report, seed: int, wall_s: float) -> dict[str, Any]:
    folds = (
        "speakers apart" if data.speakers is not None and len(set(data.speakers)) >= 3 else "speakers mixed"
    )
    return {
        "trained_on": {
            "corpora": sorted(set(pc.fill_null(data.rows["corpus"], "").to_pylist())),
            "utterances": len(data.y),
            "speakers": None if data.speakers is None else len(set(data.speakers)),
            "by_emotion": dict(Counter(data.rows["emotion"].to_pylist())),
            "left_out": dict(data.lost),
        },
        "metrics": {
            "protocol": f"out of fold, {folds}",
            "wa": report.wa.value,
            "ua": report.ua.value,
            "f1": report.f1.value,
            "ece": report.ece.value,
        },
        "seed": seed,
        "wall_s": round(wall_s, 2),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return {
        "ser_ray": ser_ray.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ray": ray.__version__,
        "scikit-learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
    }
