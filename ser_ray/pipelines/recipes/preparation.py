"""What a recipe learns before its folds, from other recordings than the corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.pipelines.cluster import Progress
from ser_ray.pipelines.recipes.request import RecipeRequest
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


Maker = Callable[[Preparation, RecipeRequest, pa.Table, str, str, Progress], Made]
MAKERS: Mapping[str, Maker] = {}


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
        texts = [str(value) for v in variants for value in (*v.settings.values(), *v.features)]
        if any("{" + preparation.name + "}" in text for text in texts):
            place = storage.join(out, "prepared", preparation.name)
            record = storage.join(out, "prepared", f"{preparation.name}.json")
            if storage.exists(record):
                found[preparation.name] = Made(**storage.read_json(record))
                continue
            made = MAKERS[preparation.makes](preparation, request, rows, store, place, progress)
            storage.write_json(record, made.to_dict())
            found[preparation.name] = made
    return found
