"""The job `pretrain`: wav2vec learns from audio without labels."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ser_ray import storage
from ser_ray.corpora import read_manifest
from ser_ray.errors import OutputConflict
from ser_ray.pipelines.cluster import Progress
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.job import Job
from ser_ray.pipelines.pretrain import pretrain
from ser_ray.pipelines.tracking import tracker


class PretrainJob(Job):
    """Pre-train wav2vec and write its checkpoint."""

    verb = "pretrain"

    manifest: str
    out: str  # file to write; its card is OUT.json
    store: str | None = None  # of the waves; None: OUT.waves, which is deleted in the end
    band: Literal["wide", "telephone"] = "wide"
    settings: dict[str, Any] = Field({})
    seed: int = Field(0, ge=0)
    workers: int = Field(1, ge=1)  # that train together
    checkpoints: str | None = None  # of the workers, to go on from; None: OUT.checkpoints
    stream: bool | None = None  # None: where the waves take too much memory
    log: str | None = None  # tensorboard:FOLDER or mlflow:URI
    overwrite: bool = False

    def work(self, progress: Progress) -> dict[str, Any]:
        """Decode, train, write the checkpoint and its card."""
        out = storage.absolute(self.out)
        self._check_vacant(out)
        store = self.store or f"{out}.waves"
        workers = Workers(self.workers, self.checkpoints or f"{out}.checkpoints", stream=self.stream)
        with tracker(self.log, f"pretrain-{storage.name(out)}", self.settings) as track:
            card = pretrain(
                read_manifest(self.manifest),
                out,
                store,
                workers,
                self.settings,
                self.band,
                self.seed,
                progress,
                track,
            )
        if not self.store:
            storage.remove(store)
        return {"checkpoint": out, **card}

    def _check_vacant(self, out: str) -> None:
        if storage.is_local(out) and storage.local_path(out).is_dir():
            raise OutputConflict(f"{out} is a folder. Name a file, such as wav2vec.safetensors.")
        if storage.exists(out) and not self.overwrite:
            raise OutputConflict(f"{out} exists. Choose another -o, or pass --overwrite to replace it.")
