"""Pitch statistics that are chosen on the training side of each fold, before anything is fitted there.

OUT/chosen/PROTOCOL/SEED/FOLD.json; of models of the whole corpus OUT/chosen/corpus/0/all.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ser_ray import storage
from ser_ray.corpora.splits import Fold
from ser_ray.models.selection import columns_text
from ser_ray.pipelines.candidates import Candidate
from ser_ray.pipelines.cluster import Progress
from ser_ray.pipelines.recipes.material import Material
from ser_ray.pipelines.recipes.results import plain_name
from ser_ray.pipelines.selection import select_columns

COLUMNS = "columns"  # the setting that takes them
FEWEST = 2  # inner folds; no mixture holds a slice out to be judged by


@dataclass(frozen=True)
class Choice:
    """How columns are chosen: by the UA of the fused system on inner folds of the training rows.

    Attributes:
        member: the fused system.
        material: what it learns from.
        wanted: how many columns.
        inner_folds: of the training rows, `FEWEST` at least.
        out: folder of the recipe.
        progress: told how far it is.
    """

    member: Candidate
    material: Material
    wanted: int
    inner_folds: int
    out: str
    progress: Progress

    def on_all(self) -> Mapping[str, str]:
        """The setting for a model of the whole corpus."""
        rows = np.arange(len(self.material.data.y))
        return self("corpus", 0, Fold("all", rows, rows[:0]))

    def __call__(self, protocol: str, seed: int, fold: Fold) -> Mapping[str, str]:
        """The setting that a fold's variants get; once chosen, it is kept."""
        parts: Sequence[str] = (protocol, str(seed), fold.name)
        place = storage.join(self.out, "chosen", *map(plain_name, parts)) + ".json"
        if not storage.exists(place):
            steps = select_columns(
                self.material.loaded(),
                fold.train,
                self.member.settings,
                self.wanted,
                max(self.inner_folds, FEWEST),
                seed,
                self.progress,
            )
            told = [{COLUMNS: columns_text(step.columns), "ua": step.score} for step in steps]
            storage.write_json(place, told)
        return {COLUMNS: storage.read_json(place)[-1][COLUMNS]}
