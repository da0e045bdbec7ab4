"""Labelled utterances ready to learn from: what the manifest says of them, and their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ser_ray import features
from ser_ray.corpora.manifest import labelled
from ser_ray.errors import BadManifest, UsageError
from ser_ray.features import Band, Feature
from ser_ray.features.store import FeatureStore
from ser_ray.models import family
from ser_ray.models.inputs import joined
from ser_ray.models.learner import originals
from ser_ray.models.model import check_features
from ser_ray.models.normaliser import Normalisation
from ser_ray.pipelines.cluster import Progress, quiet
from ser_ray.pipelines.extract import extract


@dataclass(frozen=True, kw_only=True)
class Utterances:
    """Labelled utterances whose features are in a store.

    Attributes:
        rows: the manifest rows, all labelled and extracted.
        y: index into `labels` [rows].
        labels: emotions in alphabetical order.
        speakers: [rows], or None where any is unknown.
        lost: utterances without features, by type of failure.
        sources: row that an augmented copy was made from, -1 where it is not among the rows; an original's
            own number [rows].
    """

    rows: pa.Table
    y: np.ndarray
    labels: tuple[str, ...]
    speakers: np.ndarray | None
    lost: Mapping[str, int]
    sources: np.ndarray

    @property
    def recorded(self) -> Self:
        """The same without augmented copies: all that may be tested or counted."""
        own = originals(self.sources)
        return self if len(own) == len(self.y) else self._of(own)

    def sample(self, most: int, seed: int) -> Self:
        """At most so many of them, drawn at random."""
        return self._of(np.sort(np.random.default_rng(seed).permutation(len(self.y))[:most]))

    @property
    def voices(self) -> np.ndarray | None:
        """Whose statistics normalise each row [rows]: a speaker's as recorded, or as augmented in one way."""
        if self.speakers is None:
            return None
        changes = self.rows["augmentation"].to_pylist()
        pairs = zip(self.speakers.tolist(), changes, strict=True)
        return np.array([speaker if change is None else f"{speaker}|{change}" for speaker, change in pairs])

    def _of(self, own: np.ndarray) -> Self:
        return replace(
            self,
            rows=self.rows.take(pa.array(own)),
            y=self.y[own],
            speakers=None if self.speakers is None else self.speakers[own],
            sources=np.arange(len(own)),
        )


@dataclass(frozen=True, kw_only=True)
class Dataset(Utterances):
    """Labelled utterances with their features in memory: X, joined; see `models.inputs`."""

    X: np.ndarray

    def _of(self, own: np.ndarray) -> Self:
        return replace(super()._of(own), X=self.X[own])


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
        if vectors and any(len(feature.shape) > 1 for feature in chosen):
            raise UsageError("vectors beside frames are not normalised together. Use --normalise none.")
        normalisation.check(vectors, speakers_known=not rows["speaker"].null_count)


def find_utterances(
    manifest: pa.Table, store: str, chosen: Sequence[Feature], progress: Progress = quiet
) -> Utterances:
    """Labelled rows that have all their features; what the store lacks is extracted first.

    Raises:
        BadManifest: fewer than two emotions, or a copy of a copy.
        BadStore: no utterance could be extracted.
    """
    rows = labelled(manifest, "training")
    done = extract(rows, store, [f.spec for f in chosen], progress=progress)
    source = FeatureStore(store)
    kept = reduce(np.intersect1d, [source.found(feature, rows) for feature in chosen])
    rows = rows.take(pa.array(kept))
    labelled(rows.filter(pc.is_null(rows["source_id"])), "training")
    emotions = rows["emotion"].to_pylist()
    labels = tuple(sorted(set(emotions)))
    return Utterances(
        rows=rows,
        y=np.array([labels.index(e) for e in emotions]),
        labels=labels,
        speakers=None if rows["speaker"].null_count else np.array(rows["speaker"].to_pylist()),
        lost=done.failed,
        sources=_sources(rows),
    )


def load_dataset(
    manifest: pa.Table, store: str, chosen: Sequence[Feature], progress: Progress = quiet
) -> Dataset:
    """`find_utterances` with the features loaded."""
    return loaded(find_utterances(manifest, store, chosen, progress), store, chosen)


def loaded(utterances: Utterances, store: str, chosen: Sequence[Feature]) -> Dataset:
    """Utterances with their features in memory."""
    source = FeatureStore(store)
    X = joined([source.load(feature, utterances.rows)[1] for feature in chosen])
    return Dataset(**vars(utterances), X=X)


def _sources(rows: pa.Table) -> np.ndarray:
    ids, given = rows["id"].to_pylist(), rows["source_id"].to_pylist()
    place = {i: row for row, i in enumerate(ids)}
    sources = [row if source is None else place.get(source, -1) for row, source in enumerate(given)]
    for i, source in zip(ids, given, strict=True):
        if source in place and given[place[source]] is not None:
            raise BadManifest(f"{i} is a copy of {source}, itself a copy. Name the recording in source_id.")
    return np.array(sources)
