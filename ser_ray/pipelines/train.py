"""Training one family on a manifest: its fits side by side as Ray tasks, or one fit by several workers."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import sklearn
import torch
import xgboost

import ser_ray
from ser_ray.corpora.manifest import EMOTION, labelled
from ser_ray.errors import UsageError
from ser_ray.evaluation import Report, measure
from ser_ray.features import Band
from ser_ray.models import Model, OutOfFold, check_source, family
from ser_ray.models import normalisation as normalisations
from ser_ray.models.family import Family
from ser_ray.models.learner import sources_within
from ser_ray.models.normaliser import TRANSDUCTIVE, Normalisation
from ser_ray.models.profile import learn_profile
from ser_ray.models.training import (
    INNER_FOLDS,
    Mapper,
    Tell,
    Trained,
    epochs_of,
    fit,
    fits_of,
)
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.dataset import (
    Dataset,
    Utterances,
    check_normalisation,
    chosen_features,
    find_utterances,
    loaded,
)
from ser_ray.pipelines.distributed import Workers, check_cpus
from ser_ray.pipelines.parallel import Epochs, parallel_map
from ser_ray.pipelines.together import fit_together
from ser_ray.pipelines.tracking import Tracker

SLICE = "held-out slice, by which the best epoch was chosen"
PROFILED = 1000  # utterances that stand for a corpus which is not held in memory


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
    inner_folds: int = INNER_FOLDS,
    workers: Workers | None = None,
    track: Tracker | None = None,
    label: str = EMOTION,
) -> tuple[Model, Report]:
    """Train a family and measure it out of fold.

    Args:
        family_name: a name of `models.FAMILIES`.
        manifest: utterances; those without a label are left out.
        store: feature store; what it lacks is extracted first.
        specs: features in place of the family's own.
        band: `wide` or `telephone`; None keeps what the features say.
        settings: hyperparameters in place of the defaults.
        seed: fixes folds and model.
        progress: told how far extraction and training are.
        normalise: specification of the normalisation; see `models.normalisation`.
        inner_folds: of the out-of-fold predictions; 1: a network's held-out slice. See
            `models.training.fits_of`.
        workers: who trains a network together; it is measured on its held-out slice then. None: its fits
            are Ray tasks.
        track: told the figures of each epoch.
        label: what is learned; see `corpora.manifest.labelled`.

    Returns:
        The model, and the report of its out-of-fold predictions (speakers apart where known).

    Raises:
        UnknownName, UsageError: a name, setting or feature that does not exist.
        BadManifest: too few labels or utterances.
        RunFailed: training broke off.
    """
    kind = family(family_name)
    full = kind.settings(settings or {})
    fits = fits_of(kind, full, 1 if workers else inner_folds)
    _check(kind, full, inner_folds, workers)
    chosen, normalisation = chosen_features(family_name, specs, band), normalisations.get(normalise)
    manifest = labelled(manifest, "training", label)
    check_normalisation(normalisation, chosen, manifest)
    check_source(kind, full, chosen, normalisation)
    connect()
    if workers:
        check_cpus(workers, reads=bool(workers.stream))
    data = find_utterances(manifest, store, chosen, progress)
    started = time.monotonic()
    epochs = Epochs(epochs_of(kind, full) * fits, progress, track)
    if workers:
        trained = fit_together(kind, full, data, store, chosen, normalisation, seed, workers, epochs)
        everything = loaded(data.sample(PROFILED, seed), store, chosen)
    else:
        everything = loaded(data, store, chosen)
        mapper = partial(parallel_map, deep=lambda fold: kind.deep, waiting=epochs.show)
        rows = np.arange(len(data.y))
        trained = learn(kind, full, everything, rows, normalisation, seed, mapper, inner_folds, epochs.tell)
    y, p = data.y[trained.predicted], trained.out_of_fold
    speakers = None if data.speakers is None else data.speakers[trained.predicted]
    report = measure(y, p, data.labels, speakers)
    if track:
        track.finish({"ua": report.ua.value, "wa": report.wa.value, "ece": report.ece.value})
    tested = data.rows.take(pa.array(trained.predicted))
    model = Model(
        family=family_name,
        settings=full,
        features=chosen,
        labels=data.labels,
        classifier=trained.classifier,
        calibration=trained.calibration,
        out_of_fold=OutOfFold(tested["id"].to_pylist(), tested["speaker"].to_pylist(), y, p),
        card={
            "label": label,
            **_card(data, report, seed, time.monotonic() - started, normalisation, fits == 1),
        },
        normaliser=trained.normaliser,
        profile=learn_profile(everything.X, everything.y, len(data.labels)),
    )
    return model, report


def _check(kind: Family, settings: Mapping[str, Any], inner_folds: int, workers: Workers | None) -> None:
    """Refuse, before anything is extracted, what cannot be trained so."""
    if inner_folds < 1:
        raise UsageError("a model that is kept needs predictions to be calibrated by: 1 inner fold or more.")
    if workers and not kind.holds_out:
        raise UsageError(
            f"{kind.name} is not trained by several workers. Leave them out: its fits run side by side."
        )
    if workers and not settings["held_out"]:
        raise UsageError("workers need a held-out slice to measure by. Set held_out above 0.")
    if workers and settings["batch"] < workers.number:
        raise UsageError(
            f"a batch of {settings['batch']} is too small for {workers.number} workers. Set batch higher."
        )


def learn(
    kind: Family,
    settings: Mapping[str, Any],
    data: Dataset,
    rows: np.ndarray,
    normalisation: Normalisation | None = None,
    seed: int = 0,
    mapper: Mapper = map,
    folds: int = INNER_FOLDS,
    tell: Tell | None = None,
) -> Trained:
    """`models.training.fit` on some rows of a dataset; its out-of-fold rows are numbers among `rows`."""
    speakers, voices = (None if v is None else v[rows] for v in (data.speakers, data.voices))
    return fit(
        kind,
        kind.knowing(settings, data.labels),
        data.X[rows],
        data.y[rows],
        speakers,
        len(data.labels),
        seed,
        mapper,
        normalisation,
        sources_within(data.sources, rows),
        voices,
        folds,
        tell,
    )


def _card(
    data: Utterances,
    report: Report,
    seed: int,
    wall_s: float,
    normalisation: Normalisation | None,
    one_slice: bool,
) -> dict[str, Any]:
    recorded = data.recorded
    speakers = None if recorded.speakers is None else len(set(recorded.speakers))
    apart = "speakers apart" if speakers is not None and speakers >= 3 else "speakers mixed"
    measured = f"{SLICE}, {apart}" if one_slice else f"out of fold, {apart}"
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
            "protocol": measured + (f"; {TRANSDUCTIVE}" if transductive else ""),
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
        "torch": torch.__version__,
        "ray": ray.__version__,
        "scikit-learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
    }
