"""The job `recipe`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ser_ray import storage
from ser_ray.corpora import read_manifest
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.job import Job, check_vacant
from ser_ray.pipelines.recipes.figures import Outcome
from ser_ray.pipelines.recipes.request import RecipeRequest
from ser_ray.pipelines.recipes.run import run_recipe
from ser_ray.pipelines.request import REQUEST
from ser_ray.recipes import recipe


class RecipeJob(Job):
    """Run a published system: every variant of it under its protocols, and one table."""

    verb = "recipe"
    identity = ("out", "recipe", "corpus")

    recipe: str  # its name, or `all`
    corpus: str  # manifest
    out: str
    store: str | None = None  # None: OUT/store
    protocols: list[str] = Field([])  # in place of the recipe's own
    folds: int = Field(5, ge=2)
    seeds: int = Field(1, ge=1)
    variants: list[str] = Field([])  # only these
    settings: dict[str, Any] = Field({})  # NAME for all families that have it, VARIANT.NAME for one
    emotions: list[str] = Field([])  # only these; [all] of the corpus; none: the paper's
    inner_folds: int = Field(2, ge=0)  # of what is fused
    sounds: str | None = None  # manifest of sound events to learn from first
    speech: str | None = None  # manifest of speech without labels to learn from first
    checkpoint: str | None = None  # of wav2vec, in place of one that is pre-trained on `speech`
    encoder: str | None = None  # of transformers, for variants that have one
    models: bool = False  # also train each variant on all of the corpus, into OUT/models
    overwrite: bool = False

    def run(self, progress: Progress = quiet) -> dict[str, Any]:
        """Run it, and give all figures as plain data."""
        return self.dated.measure(progress).to_dict()

    def measure(self, progress: Progress) -> Outcome:
        """What `run` sums up; what `out` holds of the same request is gone on with."""
        storage.use_options(self.storage)
        asked, manifest = recipe(self.recipe), read_manifest(self.corpus)
        if not storage.exists(storage.join(self.out, REQUEST)):
            check_vacant(self.out, REQUEST, self.overwrite)
        request = RecipeRequest(
            asked.name,
            self.protocols,
            self.folds,
            self.seeds,
            self.variants,
            self.settings,
            self.emotions,
            self.inner_folds,
            self.sounds,
            self.speech,
            self.checkpoint,
            self.encoder,
        )
        connect(self.address)
        store = self.store or storage.join(self.out, "store")
        return run_recipe(asked, request, manifest, store, self.out, progress, self.models, self.overwrite)
