"""Extraction: a manifest's audio into the feature store, on Ray Data.

Each worker reads an utterance once for all features that are missing, and writes its batch itself;
a second run finds what is there and does only the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ser_ray import features
from ser_ray.audio.band import in_band
from ser_ray.audio.decode import read_audio
from ser_ray.errors import UnreadableAudio
from ser_ray.features import Feature
from ser_ray.features.store import Failure, FeatureStore, Key, keys_of
from ser_ray.pipelines.cluster import Progress, quiet, run_batches

BATCH = 64  # utterances a part of the store; the work that a kill can cost a worker
MAX_SAMPLES = 20_000_000  # samples held before features are computed


@dataclass(frozen=True)
class Extracted:
    """What an extraction did: utterances listed, there before, extracted now, failed (all by type)."""

    store: str
    features: tuple[str, ...]
    listed: int
    before: int
    extracted: int
    failed: dict[str, int] = field(default_factory=dict)
    audio_s: float = 0.0
    wall_s: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """Plain data for `--json`."""
        return asdict(self)


def extract(
    manifest: pa.Table,
    store: str,
    specs: Sequence[str],
    retry_failed: bool = False,
    progress: Progress = quiet,
) -> Extracted:
    """Extract what the store does not hold yet.

    Args:
        manifest: rows to extract.
        store: URI of the store.
        specs: features, such as `mfcc_stats` or `mfcc(n=20)`.
        retry_failed: try the utterances of the ledger again.
        progress: told how far it is.

    Raises:
        UnknownName, UsageError: a feature or parameter that does not exist.
        BadStore: the store is there but not readable.
    """
    started = time.monotonic()
    target, chosen = FeatureStore(store), list(dict.fromkeys(features.get(s) for s in specs))
    work = _missing(manifest, target, chosen, retry_failed)
    done = (
        run_batches(Extractor, (target.uri,), work, BATCH, progress, "utterances", len(work))
        if len(work)
        else []
    )
    failed = Counter(f.error_type for feature in chosen for f in _failures(target, feature, manifest))
    return Extracted(
        store=target.uri,
        features=tuple(f.spec for f in chosen),
        listed=len(manifest),
        before=len(manifest) - len(work),
        extracted=sum(row["extracted"] for row in done),
        failed=dict(failed),
        audio_s=sum(row["audio_s"] for row in done),
        wall_s=time.monotonic() - started,
    )


class Extractor:
    """The worker: manifest rows with the features each of them lacks -> parts of the store."""

    def __init__(self, store: str) -> None:
        self.store = FeatureStore(store)

    def __call__(self, batch: pa.Table) -> dict[str, Any]:
        """Extract one batch and say what was done."""
        pending: dict[Feature, list[tuple[Key, np.ndarray]]] = {}
        failures: dict[Feature, list[Failure]] = {}
        values: dict[Feature, tuple[list[Key], list[np.ndarray]]] = {}
        audio_s = 0.0
        for row, key in zip(batch.to_pylist(), keys_of(batch), strict=True):
            wanted = [features.get(spec) for spec in row["features"]]
            try:
                wave, rate = read_audio(row["uri"], None, row["start_s"], row["end_s"], row["channel"])
                audio_s += len(wave) / rate
                ready = {place: in_band(wave, rate, *place) for place in {(f.rate, f.band) for f in wanted}}
            except UnreadableAudio as error:
                for feature in wanted:
                    failures.setdefault(feature, []).append(Failure(key, row["uri"], error.kind, str(error)))
                continue
            for feature in wanted:
                pending.setdefault(feature, []).append((key, ready[feature.rate, feature.band]))
            if sum(len(w) for waves in pending.values() for _, w in waves) > MAX_SAMPLES:
                _compute(pending, values)
        _compute(pending, values)
        for feature in {**values, **failures}:
            self.store.write(feature, *values.get(feature, ([], [])))
            self.store.write_failures(feature, failures.get(feature, []))
        extracted = len({key for keys, _ in values.values() for key in keys})
        return {"utterances": len(batch), "extracted": extracted, "audio_s": audio_s}


def _compute(
    pending: dict[Feature, list[tuple[Key, np.ndarray]]],
    values: dict[Feature, tuple[list[Key], list[np.ndarray]]],
) -> None:
    """Move waves from `pending` into `values` as features."""
    for feature, waves in pending.items():
        keys, arrays = values.setdefault(feature, ([], []))
        keys += [key for key, _ in waves]
        arrays += feature.batch([wave for _, wave in waves])
    pending.clear()


def _missing(manifest: pa.Table, store: FeatureStore, chosen: list[Feature], retry: bool) -> pa.Table:
    """The rows that lack a feature, with a column `features` of those each lacks."""
    keys = keys_of(manifest)
    lacking: list[list[str]] = [[] for _ in keys]
    for feature in chosen:
        store.open(feature)
        known = store.done(feature) | (set() if retry else {f.key for f in store.failures(feature)})
        for i, key in enumerate(keys):
            if key not in known:
                lacking[i].append(feature.spec)
    work = manifest.select(["id", "uri", "start_s", "end_s", "channel"])
    work = work.append_column("features", pa.array(lacking, pa.list_(pa.string())))
    return work.take(np.flatnonzero([bool(specs) for specs in lacking]))


def _failures(store: FeatureStore, feature: Feature, manifest: pa.Table) -> list[Failure]:
    keys = set(keys_of(manifest))
    return [failure for failure in store.failures(feature) if failure.key in keys]
