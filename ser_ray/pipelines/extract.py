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
from ser_ray.audio.augmentation import augment
from ser_ray.audio.band import in_band
from ser_ray.audio.decode import read_audio
from ser_ray.errors import SerRayError, UnreadableAudio
from ser_ray.features import Feature, together
from ser_ray.features.store import PLACE, Failure, FeatureStore, Key, keys_of
from ser_ray.pipelines.attempts import Attempt
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
    for feature in chosen if len(work) else ():
        feature.announce()
    accelerated = any(feature.accelerated for feature in chosen)
    done = (
        run_batches(Extractor, (target.uri,), work, BATCH, progress, "utterances", len(work), accelerated)
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


@dataclass(frozen=True)
class _Heard:
    """One utterance whose sound is ready for the features of one rate and band."""

    key: Key
    uri: str
    wave: np.ndarray


class Extractor:
    """The worker: manifest rows with the features each of them lacks -> parts of the store."""

    def __init__(self, store: str) -> None:
        self.store = FeatureStore(store)

    def __call__(self, batch: pa.Table, attempt: Attempt | None = None) -> dict[str, Any]:
        """Extract one batch and say what was done."""
        part, attempt = _Part(), attempt or Attempt()
        for row, key in zip(batch.to_pylist(), keys_of(batch), strict=True):
            wanted = [features.get(spec) for spec in row["features"]]
            try:
                if culprit := attempt.culprits.get(row["id"]):
                    raise culprit.error(attempt.limit_s)
                with attempt.step(row["id"], "decode"):
                    part.hear(row, key, wanted)
            except UnreadableAudio as error:
                part.fail(wanted, key, row["uri"], error)
            if part.samples > MAX_SAMPLES or attempt.alone:
                part.compute()
        part.compute()
        attempt.announce(None)
        for feature in {**part.values, **part.failures}:
            self.store.write(feature, *part.values.get(feature, ([], [])))
            self.store.write_failures(feature, part.failures.get(feature, []))
        extracted = len({key for keys, _ in part.values.values() for key in keys})
        return {"utterances": len(batch), "extracted": extracted, "audio_s": part.audio_s}


class _Part:
    """A part of the store in the making."""

    def __init__(self) -> None:
        self.values: dict[Feature, tuple[list[Key], list[np.ndarray]]] = {}
        self.failures: dict[Feature, list[Failure]] = {}
        self.audio_s, self.samples = 0.0, 0
        self._pending: dict[tuple[Feature, ...], list[_Heard]] = {}

    def hear(self, row: dict[str, Any], key: Key, wanted: list[Feature]) -> None:
        """Read an utterance and make it ready for each rate and band; raises UnreadableAudio."""
        wave, rate = read_audio(row["uri"], None, row["start_s"], row["end_s"], row["channel"])
        self.audio_s += len(wave) / rate
        if row["augmentation"]:
            wave = augment(wave, rate, row["augmentation"], row["id"])
        places = {(feature.rate, feature.band) for feature in wanted}
        for place, ready in {place: in_band(wave, rate, *place) for place in places}.items():
            chosen = tuple(feature for feature in wanted if (feature.rate, feature.band) == place)
            self._pending.setdefault(chosen, []).append(_Heard(key, row["uri"], ready))
            self.samples += len(ready)

    def compute(self) -> None:
        """Turn what was heard into features; those of one rate and band share what they can."""
        for chosen, heard in self._pending.items():
            try:
                results = together(chosen, [h.wave for h in heard])
            except Exception:  # one of them is at fault: each by itself finds which
                self._compute_apart(chosen, heard)
                continue
            for feature, arrays in zip(chosen, results, strict=True):
                for utterance, array in zip(heard, arrays, strict=True):
                    self._keep(feature, utterance.key, array)
        self._pending.clear()
        self.samples = 0

    def fail(self, wanted: Sequence[Feature], key: Key, uri: str, error: Exception) -> None:
        """Note in the ledger that an utterance has none of these features."""
        kind = error.kind if isinstance(error, UnreadableAudio) else type(error).__name__
        for feature in wanted:
            self.failures.setdefault(feature, []).append(Failure(key, uri, kind, str(error)[:500]))

    def _compute_apart(self, chosen: Sequence[Feature], heard: Sequence[_Heard]) -> None:
        for utterance in heard:
            for feature in chosen:
                try:
                    self._keep(feature, utterance.key, feature(utterance.wave))
                except Exception as error:
                    if isinstance(error, SerRayError) and not isinstance(error, UnreadableAudio):
                        raise  # what would fail for every utterance: a missing package, a corrupt checkpoint
                    self.fail([feature], utterance.key, utterance.uri, error)

    def _keep(self, feature: Feature, key: Key, value: np.ndarray) -> None:
        keys, arrays = self.values.setdefault(feature, ([], []))
        keys.append(key)
        arrays.append(value)


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
    work = manifest.select([*PLACE, "id"])
    work = work.append_column("features", pa.array(lacking, pa.list_(pa.string())))
    return work.take(np.flatnonzero([bool(specs) for specs in lacking]))


def _failures(store: FeatureStore, feature: Feature, manifest: pa.Table) -> list[Failure]:
    keys = set(keys_of(manifest))
    return [failure for failure in store.failures(feature) if failure.key in keys]
