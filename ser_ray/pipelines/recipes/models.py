"""Models of a recipe's variants, trained on all of the corpus, for `fuse` and `score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.augmented import augment
from ser_ray.models import save_model
from ser_ray.models.normalisation import spec_of
from ser_ray.pipelines.candidates import Candidate
from ser_ray.pipelines.cluster import Progress
from ser_ray.pipelines.recipes.choice import Choice
from ser_ray.pipelines.train import train
from ser_ray.recipes import Variant

CALIBRATED_BY = 1  # a network's held-out slice; two folds of what holds none


def save_models(
    variants: Sequence[Variant],
    candidates: Mapping[str, Candidate],
    choice: Choice | None,
    rows: pa.Table,
    store: str,
    out: str,
    progress: Progress,
) -> dict[str, str]:
    """Train what is not there yet, and say where each is.

    Args:
        variants: which.
        candidates: what is trained for each.
        choice: of columns, for the variants that want some.
        rows: recordings, no copies.
        store: feature store.
        out: folder of the recipe; they go to OUT/models/VARIANT.
        progress: told how far training is.
    """
    places = {variant.name: storage.join(out, "models", variant.name) for variant in variants}
    for variant in variants:
        if storage.exists(storage.join(places[variant.name], "model.json")):
            continue
        member = candidates[variant.name]
        model, _ = train(
            member.family,
            augment(rows, variant.copies) if variant.copies else rows,
            store,
            [feature.spec for feature in member.features],
            settings={**member.settings, **(choice.on_all() if choice and variant.select else {})},
            progress=progress,
            normalise=spec_of(member.normalisation),
            inner_folds=CALIBRATED_BY,
        )
        save_model(model, places[variant.name])
    return places
