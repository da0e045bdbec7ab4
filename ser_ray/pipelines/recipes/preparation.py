"""What a recipe learns before its folds, from other recordings than the corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora import read_manifest
from ser_ray.corpora.manifest import RAW_LABEL
from ser_ray.corpora.synthetic_sounds import make_sounds
from ser_ray.models import save_model
from ser_ray.pipelines.cluster import Progress
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.pretrain import pretrain
from ser_ray.pipelines.recipes.models import CALIBRATED_BY
from ser_ray.pipelines.recipes.request import RecipeRequest, own_settings
from ser_ray.pipelines.train import train
from ser_ray.recipes import Preparation, Recipe, Variant


@dataclass(frozen=True)
class Made:
    """What a preparation made.

    Attributes:
        place: where it is.
        what: it is, and what it learned from.
        transductive: it heard the speakers that are tested.
        facts: figures of its making.
    """

    place: str
    what: str
    transductive: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def prepared(
    asked: Recipe,
    variants: Sequence[Variant],
    request: RecipeRequest,
    rows: pa.Table,
    store: str,
    out: str,
    progress: Progress,
) -> dict[str, Made]:
    """What the preparations that some variants speak of made, by their names; once made, it is kept.

    Args:
        asked: the recipe.
        variants: which of its variants are wanted.
        request: with the recordings to learn from.
        rows: the corpus.
        store: feature store.
        out: folder of the recipe.
        progress: told how far it is.
    """
    found = {}
    for preparation in asked.preparations:
        if not any(preparation.serves(variant) for variant in variants):
            continue
        place = storage.absolute(storage.join(out, "prepared", preparation.name))
        record = f"{place}.json"
        if not storage.exists(record):
            made = MAKERS[preparation.makes](preparation, request, rows, store, place, progress)
            storage.write_json(record, made.to_dict())
        found[preparation.name] = Made(**storage.read_json(record))
    return found


def _model(
    asked: Preparation, request: RecipeRequest, rows: pa.Table, store: str, place: str, progress: Progress
) -> Made:
    """A model of classes of sounds, those of `--sounds` or made-up ones."""
    manifest = read_manifest(request.sounds) if request.sounds else make_sounds(f"{place}-sounds")
    model, report = train(
        asked.family,
        manifest,
        store,
        settings={**asked.settings, **own_settings(asked.name, request.settings)},
        progress=progress,
        inner_folds=CALIBRATED_BY,
        label=RAW_LABEL,
    )
    save_model(model, place)
    learned = model.card["trained_on"]
    what = (
        f"{asked.what}: {learned['utterances']} of {', '.join(learned['corpora'])}, {len(model.labels)} "
        f"classes, UA {report.ua} on those held out"
    )
    return Made(place, what, facts={"metrics": model.card["metrics"], "trained_on": learned})


def _checkpoint(
    asked: Preparation, request: RecipeRequest, rows: pa.Table, store: str, place: str, progress: Progress
) -> Made:
    """The checkpoint of wav2vec that the request names, or one that learned `--speech` or the corpus."""
    if request.checkpoint:
        return Made(request.checkpoint, f"wav2vec: {storage.name(request.checkpoint)}")
    speech = read_manifest(request.speech) if request.speech else rows
    place = f"{place}.safetensors"
    workers = Workers(1, f"{place}.checkpoints")
    settings = {**asked.settings, **own_settings(asked.name, request.settings)}
    card = pretrain(speech, place, store, workers, settings, progress=progress)
    heard = set(speech["id"].to_pylist()) & set(rows["id"].to_pylist())
    what = (
        f"{asked.what}, {card['settings']['size']}, on {card['hours']:.2f} h of {', '.join(card['corpora'])}"
    )
    return Made(place, what, transductive=bool(heard), facts=card)


def _given(
    asked: Preparation, request: RecipeRequest, rows: pa.Table, store: str, place: str, progress: Progress
) -> Made:
    """What the request names."""
    given = str(getattr(request, asked.source))
    return Made(given, f"{asked.what}: {storage.name(given)}")


Maker = Callable[[Preparation, RecipeRequest, pa.Table, str, str, Progress], Made]
MAKERS: Mapping[str, Maker] = {"model": _model, "checkpoint": _checkpoint, "given": _given}
