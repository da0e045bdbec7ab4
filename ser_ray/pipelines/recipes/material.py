"""What the variants of a recipe learn from: each pair of features and copies once in the object store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa
import ray

from ser_ray.corpora.augmented import augment
from ser_ray.errors import BadManifest
from ser_ray.pipelines.candidates import Candidate
from ser_ray.pipelines.cluster import Progress, put
from ser_ray.pipelines.dataset import Dataset, Utterances, check_normalisation, load_dataset
from ser_ray.recipes import Variant

Key = tuple[tuple[str, ...], tuple[str, ...]]  # features and copies


@dataclass(frozen=True)
class Material:
    """Utterances, and where the cluster has their features."""

    data: Utterances
    X: ray.ObjectRef  # the array, in the object store

    def loaded(self) -> Dataset:
        """With the features, in a worker."""
        known = {f.name: getattr(self.data, f.name) for f in fields(Utterances)}
        return Dataset(**known, X=ray.get(self.X))


def materials_of(
    variants: Sequence[Variant],
    candidates: Mapping[str, Candidate],
    rows: pa.Table,
    store: str,
    progress: Progress,
) -> dict[str, Material]:
    """What each variant learns from, by its name.

    Args:
        variants: which.
        candidates: what is trained for each.
        rows: recordings, no copies.
        store: feature store; what it lacks is extracted first.
        progress: told how far that is.

    Raises:
        BadManifest: utterances failed for one feature and not for another.
        UsageError: a normalisation that features or rows do not allow.
    """
    for candidate in candidates.values():
        check_normalisation(candidate.normalisation, candidate.features, rows)
    known: dict[Key, Material] = {}
    found: dict[str, Material] = {}
    for variant in variants:
        chosen = candidates[variant.name].features
        key = (tuple(feature.fingerprint for feature in chosen), variant.copies)
        if key not in known:
            wanted = augment(rows, variant.copies) if variant.copies else rows
            data = load_dataset(wanted, store, chosen, progress)
            plain = {f.name: getattr(data, f.name) for f in fields(Utterances)}
            known[key] = Material(Utterances(**plain), put(data.X))
        found[variant.name] = known[key]
    ids = [material.data.recorded.rows["id"].to_pylist() for material in known.values()]
    if any(each != ids[0] for each in ids):
        raise BadManifest(
            "some utterances failed for one feature and not for another; see the ledger of the store."
        )
    return found
