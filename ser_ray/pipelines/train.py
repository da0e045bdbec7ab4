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
from ser_ray.errors import BadManifest
from ser_ray.evaluation import Report, measure
from ser_ray.features import Band, Feature
from ser_ray.features.store import FeatureStore
from ser_ray.models import Model, OutOfFold, family
from ser_ray.models import normalisation as normalisations
from ser_ray.models.family import Family
from ser_ray.models.inputs import joined
from ser_ray.models.model import check_features
from ser_ray.models.normaliser import TRANSDUCTIVE, Normalisation
from ser_ray.models.training import Mapper, Trained, fit, originals, sources_within
from ser_ray.pipelines.cluster import Progress, connect, parallel_map, quiet
from ser_ray.pipelines.extract import extract


@dataclass(frozen=True)
class Dataset:
    """Labelled utterances with their features, ready to learn from.

    Attributes:
        rows: the manifest rows, all labelled and extracted.
        X: features joined; see `models.inputs`.
        y: index into `labels` [rows].
        labels: emotions in alphabetical order.
        speakers: [rows], or None where any is unknown.
        lost: utterances without features, by type of failure.
        sources: row that an augmented copy was made from, -1 where it is not among the rows; an original's
            own number [rows].
    """

    rows: pa.Table
    X: np.ndarray
    y: np.ndarray
    labels: tuple[str, ...]
    speakers: np.ndarray | None
    lost: Mapping[str, int]
    sources: np.ndarray

    @property
    def recorded(self) -> Dataset:
        """The same without augmented copies: all that may be tested or counted."""
        own = originals(self.sources)
        if len(own) == len(self.y):
            return self
        speakers = None if self.speakers is None else self.speakers[own]
        rows, sources = self.rows.take(pa.array(own)), np.arange(len(own))
        return Dataset(rows, self.X[own], self.y[own], self.labels, speakers, self.lost, sources)

    @property
    def voices(self) -> np.ndarray | None:
        """Whose statistics normalise each row [rows]: a speaker's as recorded, or as augmented in one way."""
        if self.speakers is None:
            return None
        changes = self.rows["augmentation"].to_pylist()
        pairs = zip(self.speakers.tolist(), changes, strict=True)
        return np.array([speaker if change is None else f"{speaker}|{change}" for speaker, change in pairs])


def chosen_features(
    family_name: str, specs: Sequence[str] = (), band: Band | None = None
) -> tuple[Feature, ...]:
    """The features a model of a family reads: the given ones or the family's own, of the wanted band."""
    chosen = [features.get(spec) for spec in (specs or family(family_name).features)]
    if band:
        chosen = [features.with_band(feature, band) for feature in chosen]
    return check_features(family_name, tuple(chosen))


def check_normalisation(
    normalisation: Normalisation | None, chosen: Sequence[Feature], rows: pa.Table
) -> None:
    """Refuse, before hours of extraction, a normalisation that features or rows do not allow.

    Raises:
        UsageError: the message says what it needs.
    """
    if normalisation:
        vectors = any(len(feature.shape) == 1 for feature in chosen)
        normalisation.check(vectors, speakers_known=not rows["speaker"].null_count)


def load_dataset(
    manifest: pa.Table, store: str, chosen: Sequence[Feature], progress: Progress = quiet
) -> Dataset:
    """Labelled rows and their features; what the store lacks is extracted first.

    Raises:
        BadManifest: fewer than two emotions, or a copy of a copy.
        BadStore: no utterance could be extracted.
    """
    rows = labelled(manifest, "training")
    source = FeatureStore(store)
    done = extract(rows, store, [f.spec for f in chosen], progress=progress)
    loaded = [source.load(feature, rows) for feature in chosen]
    kept = loaded[0][0]
    for found, _ in loaded[1:]:
        kept = np.intersect1d(kept, found)
    X = joined([values[np.searchsorted(found, kept)] for found, values in loaded])
    rows = rows.take(pa.array(kept))
    labelled(rows.filter(pc.is_null(rows["source_id"])), "training")
    emotions = rows["emotion"].to_pylist()
    labels = tuple(sorted(set(emotions)))
    speakers = None if rows["speaker"].null_count else np.array(rows["speaker"].to_pylist())
    y = np.array([labels.index(e) for e in emotions])
    return Dataset(rows, X, y, labels, speakers, done.failed, _sources(rows))


def _sources(rows: pa.Table) -> np.ndarray:
    ids, given = rows["id"].to_pylist(), rows["source_id"].to_pylist()
    place = {i: row for row, i in enumerate(ids)}
    sources = [row if source is None else place.get(source, -1) for row, source in enumerate(given)]
    for i, source in zip(ids, given, strict=True):
        if source in place and given[place[source]] is not None:
            raise BadManifest(f"{i} is a copy of {source}, itself a copy. Name the recording in source_id.")
    return np.array(sources)


def train(
    family_name: str,
    manifest: pa.Table,
    store: str,
    specs: Sequence[str] = (),
    band: Band | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress = quiet,
    normalise: str = normalisations.NONE,
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
        normalise: specification of the normalisation; see `models.normalisation`.

    Returns:
        The model, and the report of its out-of-fold predictions (speakers apart where known).

    Raises:
        UnknownName, UsageError: a name, setting or feature that does not exist.
        BadManifest: too few emotions or utterances.
    """
    kind = family(family_name)
    full = kind.settings(settings or {})
    chosen, normalisation = chosen_features(family_name, specs, band), normalisations.get(normalise)
    check_normalisation(normalisation, chosen, labelled(manifest, "training"))
    connect()
    data = load_dataset(manifest, store, chosen, progress)
    started = time.monotonic()
    trained = learn(kind, full, data, np.arange(len(data.y)), normalisation, seed, parallel_map)
    recorded, p = data.recorded, trained.out_of_fold
    report = measure(recorded.y, p, data.labels, recorded.speakers)
    ids, speakers = (recorded.rows[column].to_pylist() for column in ("id", "speaker"))
    model = Model(
        family=family_name,
        settings=full,
        features=chosen,
        labels=data.labels,
        classifier=trained.classifier,
        calibration=trained.calibration,
        out_of_fold=OutOfFold(ids, speakers, recorded.y, p),
        card=_card(data, report, seed, time.monotonic() - started, normalisation),
        normaliser=trained.normaliser,
    )
    return model, report


def learn(
    kind: Family,
    settings: Mapping[str, Any],
    data: Dataset,
    rows: np.ndarray,
    normalisation: Normalisation | None = None,
    seed: int = 0,
    mapper: Mapper = map,
) -> Trained:
    """`models.training.fit` on some rows of a dataset; its out-of-fold rows are those without the copies."""
    speakers, voices = (None if v is None else v[rows] for v in (data.speakers, data.voices))
    return fit(
        kind,
        settings,
        data.X[rows],
        data.y[rows],
        speakers,
        len(data.labels),
        seed,
        mapper,
        normalisation,
        sources_within(data.sources, rows),
        voices,
    )


def _card(
    data: Dataset, report: Report, seed: int, wall_s: float, normalisation: Normalisation | None
) -> dict[str, Any]:
    recorded = data.recorded
    speakers = None if recorded.speakers is None else len(set(recorded.speakers))
    folds = "speakers apart" if speakers is not None and speakers >= 3 else "speakers mixed"
    transductive = normalisation is not None and normalisation.transductive
    return {
        "trained_on": {
            "corpora": sorted(set(pc.fill_null(recorded.rows["corpus"], "").to_pylist())),
            "utterances": len(recorded.y),
            "copies": len(data.y) - len(recorded.y),
            "speakers": speakers,
            "by_emotion": dict(Counter(recorded.rows["emotion"].to_pylist())),
            "left_out": dict(data.lost),
        },
        "metrics": {
            "protocol": f"out of fold, {folds}" + (f"; {TRANSDUCTIVE}" if transductive else ""),
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
