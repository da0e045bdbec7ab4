"""The job `benchmark`: speed and memory of one part, beside a baseline in the same run."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ser_ray.corpora import read_manifest
from ser_ray.pipelines.benchmark import (
    benchmark_extract,
    benchmark_features,
    benchmark_is10,
)
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.growth_benchmark import benchmark_growth
from ser_ray.pipelines.job import Job
from ser_ray.pipelines.planning_benchmark import benchmark_plan
from ser_ray.pipelines.scoring_benchmark import benchmark_score
from ser_ray.pipelines.training_benchmark import benchmark_train
from ser_ray.pipelines.tuning_benchmark import benchmark_tune


class BenchmarkJob(Job):
    """Measure one part of the product."""

    verb = "benchmark"
    identity = ("part",)
    needs: ClassVar[dict[str, tuple[str, ...]]] = {
        "features": ("manifest",),
        "is10": ("manifest",),
        "extract": ("manifest",),
        "train": ("manifest", "store"),
        "tune": ("manifest", "store"),
        "score": ("archive", "ensemble"),
        "growth": ("archive", "ensemble"),
        "plan": (),
    }
    takes: ClassVar[dict[str, tuple[str, ...]]] = {
        "features": ("files",),
        "is10": ("files",),
        "extract": ("feature", "hours"),
        "train": ("family", "epochs", "workers"),
        "tune": ("trials",),
        "score": ("peers",),
        "growth": ("sizes", "long"),
        "plan": ("objects",),
    }

    part: Literal["features", "is10", "extract", "train", "tune", "score", "growth", "plan"]
    manifest: str | None = None
    store: str | None = None  # feature store
    archive: str | None = None  # of calls
    ensemble: str | None = None
    files: int = Field(200, ge=1)
    feature: str = "mfcc_stats"
    hours: float = Field(10.0, gt=0)  # of audio, by repeating the manifest
    family: str = "cnn1d"
    epochs: int = Field(6, ge=1)
    workers: int = Field(1, ge=1)
    trials: int = Field(60, ge=1)
    peers: int = Field(4, ge=0)  # calls that the loops to compare with are given
    sizes: str = Field("1,10", pattern=r"^[\d.]+(,[\d.]+)*$")  # audio hours of each archive
    long: float = Field(0.0, ge=0)  # hours of the one long call of one more archive
    objects: int = Field(1_000_000, ge=1)
    repeats: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        needed = self.needs[self.part]
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"{missing[0]} is missing; {self.part} needs {' and '.join(needed)}")
        known = {*needed, *self.takes[self.part], "part", "repeats", *Job.model_fields}
        if strange := sorted(self.model_fields_set - known):
            raise ValueError(f"{self.part} has no {strange[0]}")
        return self

    def run(self, progress: Progress = quiet) -> dict[str, Any]:
        """Measure; features, IS10 and plans are those of one core, without a cluster."""
        if self.part not in ("features", "is10", "plan"):
            connect(self.address)
        return self.dated.work(progress)

    def work(self, progress: Progress) -> dict[str, Any]:
        """The figures."""
        if self.part == "score":
            return benchmark_score(self.archive or "", self.ensemble or "", self.repeats, self.peers)
        if self.part == "growth":
            archive, ensemble = self.archive or "", self.ensemble or ""
            return benchmark_growth(archive, ensemble, self.sizes, self.long, self.repeats)
        if self.part == "plan":
            return benchmark_plan(self.objects, self.repeats)
        manifest, store = read_manifest(self.manifest or ""), self.store or ""
        if self.part == "features":
            return benchmark_features(manifest, self.files, self.repeats)
        if self.part == "is10":
            return benchmark_is10(manifest, self.files, self.repeats)
        if self.part == "extract":
            return benchmark_extract(manifest, self.feature, self.hours, self.repeats)
        if self.part == "tune":
            return benchmark_tune(manifest, store, self.trials, self.repeats)
        return benchmark_train(manifest, store, self.family, self.epochs, self.repeats, self.workers)
