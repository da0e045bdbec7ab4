"""A network fitted by several workers and calibrated on the slice that it held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from ser_ray import features
from ser_ray.errors import BadManifest, UsageError
from ser_ray.features import Feature
from ser_ray.features.store import FeatureStore, keys_of
from ser_ray.models import family
from ser_ray.models.calibration import fit_calibration
from ser_ray.models.family import Family
from ser_ray.models.learner import kept_apart, originals, spread
from ser_ray.models.networks.classifier import NetworkClassifier, hold_out
from ser_ray.models.networks.loop import LoopState, Report
from ser_ray.models.networks.scaling import Scaling
from ser_ray.models.normalisation import spec_of
from ser_ray.models.normaliser import Normalisation, Normaliser, normalised
from ser_ray.models.training import Trained
from ser_ray.pipelines.cluster import put
from ser_ray.pipelines.dataset import Dataset, Utterances, loaded
from ser_ray.pipelines.distributed import Fit, Workers, Wrap, clear_checkpoints, train_together
from ser_ray.pipelines.parallel import Epochs
from ser_ray.pipelines.streaming import (
    EpochStream,
    StreamedBatches,
    corpus_moments,
    examples_of,
    plan_rows,
    streamed,
)

MEMORY = 4 << 30  # bytes of features up to which every worker holds them all


def fit_together(
    kind: Family,
    settings: Mapping[str, Any],
    data: Utterances,
    store: str,
    chosen: Sequence[Feature],
    normalisation: Normalisation | None,
    seed: int,
    workers: Workers,
    epochs: Epochs,
) -> Trained:
    """Train a network by several workers, and calibrate it on the slice that it held out.

    Raises:
        UsageError: streamed data are to be normalised, or drawn by class, or the network needs them all.
        BadManifest: too few utterances to hold any out.
        RunFailed: training broke off; the same request goes on.
    """
    settings, groups = kind.knowing(settings, data.labels), kept_apart(data.speakers, data.sources)
    train, held = hold_out(data.y, groups, settings["held_out"], seed)
    if len(np.intersect1d(train, held)):
        raise BadManifest("too few utterances of an emotion to hold any out. Give more, or leave it out.")
    request = {
        "family": kind.name,
        "settings": dict(settings),
        "features": [feature.fingerprint for feature in chosen],
        "normalisation": spec_of(normalisation),
        "seed": seed,
        "workers": workers.number,
        "rows": keys_of(data.rows),
        "y": data.y.tolist(),
    }
    size = sum(FeatureStore(store).size(feature) for feature in chosen)
    stream = size > MEMORY if workers.stream is None else workers.stream
    source: _InMemory | _Streamed
    if stream:
        if not kind.streams:
            raise UsageError(f"{kind.name} needs all features at once. Train it with --in-memory.")
        if normalisation or settings["balance"] == "sampling":
            raise UsageError(
                "streamed features are neither normalised nor drawn by class. Leave out --normalise, set "
                "balance=weights, or train with --in-memory."
            )
        source = _Streamed(kind, settings, seed, data, store, chosen, train, held)
    else:
        source = _InMemory(kind, settings, seed, loaded(data, store, chosen), normalisation, groups)
    classifier = train_together(source.fit, stream, request, workers, epochs)
    predicted = np.intersect1d(held, originals(data.sources))
    raw = source.predict(classifier, predicted)
    calibration = fit_calibration(raw, data.y[predicted])
    clear_checkpoints(workers, request)
    classes = len(data.labels)
    return Trained(classifier, calibration, classes, calibration(raw), predicted, source.normaliser)


class _InMemory:
    """Features that every worker holds."""

    def __init__(
        self,
        kind: Family,
        settings: Mapping[str, Any],
        seed: int,
        data: Dataset,
        normalisation: Normalisation | None,
        groups: np.ndarray | None,
    ) -> None:
        self.classes, voices = len(data.labels), data.voices
        self.normaliser = normalisation.fit(data.X, voices) if normalisation else None
        self.X = normalised(self.normaliser, data.X, voices)
        self.fit: Fit[NetworkClassifier] = _FitInMemory(
            kind.name, settings, seed, put((self.X, data.y, groups))
        )

    def predict(self, classifier: NetworkClassifier, rows: np.ndarray) -> np.ndarray:
        """Probabilities [rows, classes]."""
        return spread(classifier, self.X[rows], self.classes)


@dataclass(frozen=True)
class _FitInMemory:
    family: str
    settings: Mapping[str, Any]
    seed: int
    data: ray.ObjectRef

    def __call__(self, report: Report, state: LoopState | None, wrap: Wrap) -> NetworkClassifier:
        X, y, groups = ray.get(self.data)
        classifier = family(self.family).build(self.settings, self.seed)
        assert isinstance(classifier, NetworkClassifier)
        return classifier.fit(X, y, groups, report, state, wrap)


class _Streamed:
    """Features that are read from the store in every epoch."""

    normaliser: Normaliser | None = None

    def __init__(
        self,
        kind: Family,
        settings: Mapping[str, Any],
        seed: int,
        data: Utterances,
        store: str,
        chosen: Sequence[Feature],
        train: np.ndarray,
        held: np.ndarray,
    ) -> None:
        self.store, self.chosen = store, chosen
        self.plan = plan_rows(store, chosen, data.rows, data.y)
        learned, classes = self.plan.take(pa.array(train)), len(data.labels)
        unfitted, first = kind.build(settings, seed), settings["standardise_frames"]
        assert isinstance(unfitted, NetworkClassifier)
        scaling = unfitted.known_scaling()
        read = streamed(store, chosen, learned if scaling is None else learned.slice(0, 1))
        found = corpus_moments(read, first)
        self.fit: Fit[NetworkClassifier] = _FitStreamed(
            kind.name,
            settings,
            seed,
            store,
            [feature.spec for feature in chosen],
            put((learned, self.plan.take(pa.array(held)))),
            np.bincount(data.y[train], minlength=classes),
            tuple((None, *mean.shape[bool(first) :]) for mean in found.means),
            found.scaling if scaling is None else scaling,
        )

    def predict(self, classifier: NetworkClassifier, rows: np.ndarray) -> np.ndarray:
        """Probabilities [rows, classes]."""
        data = streamed(self.store, self.chosen, self.plan.take(pa.array(rows)))
        tables = data.iter_batches(batch_size=None, batch_format="pyarrow")
        found = [
            (table["number"].to_numpy(), classifier.predict_proba(examples_of(table))) for table in tables
        ]
        order = np.argsort(np.concatenate([numbers for numbers, _ in found]))  # they come as they are ready
        return np.asarray(np.concatenate([p for _, p in found])[order])


@dataclass(frozen=True)
class _FitStreamed:
    family: str
    settings: Mapping[str, Any]
    seed: int
    store: str
    features: Sequence[str]
    plans: ray.ObjectRef  # of training and of held-out rows
    class_counts: np.ndarray
    shapes: tuple[tuple[int | None, ...], ...]
    scaling: Scaling

    def __call__(self, report: Report, state: LoopState | None, wrap: Wrap) -> NetworkClassifier:
        classifier = family(self.family).build(self.settings, self.seed)
        assert isinstance(classifier, NetworkClassifier)
        classifier.classes_ = np.arange(len(self.class_counts))
        classifier.shapes, classifier.scaling = self.shapes, self.scaling
        least = classifier.kind.least_frames
        chosen, (learned, held) = [features.get(spec) for spec in self.features], ray.get(self.plans)
        batches = StreamedBatches(
            EpochStream(self.store, chosen, learned, held, self.seed),
            self.settings["batch"],
            self.class_counts,
            self.scaling,
            self.seed,
            least,
        )
        return classifier.learn(batches, batches.held_out, report, state, wrap)
