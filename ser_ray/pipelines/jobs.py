"""The jobs: what each takes, does and sums up."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ser_ray import storage
from ser_ray.corpora import read_manifest
from ser_ray.errors import RunFailed, UsageError
from ser_ray.fusion import load_ensemble
from ser_ray.models import FAMILIES, save_model
from ser_ray.models.normalisation import NONE, spec_of
from ser_ray.models.training import INNER_FOLDS
from ser_ray.pipelines.attempts import READ_LIMIT_S
from ser_ray.pipelines.candidates import candidates_of, check_unchanged
from ser_ray.pipelines.claim import claimed
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.contest import contest
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.evaluate import UNSEEN, Evaluation, evaluate, evaluate_unseen
from ser_ray.pipelines.extract import extract
from ser_ray.pipelines.job import Job, check_vacant
from ser_ray.pipelines.pretrain_job import PretrainJob
from ser_ray.pipelines.recipes.job import RecipeJob
from ser_ray.pipelines.request import REQUEST
from ser_ray.pipelines.retention import check_pattern, remove_expired
from ser_ray.pipelines.score import score
from ser_ray.pipelines.search import SearchOptions
from ser_ray.pipelines.shard import ScoreOptions
from ser_ray.pipelines.tracking import tracker
from ser_ray.pipelines.train import train
from ser_ray.pipelines.tune import TuneRequest, tune
from ser_ray.pipelines.tune_fusion import FUSION, FusionRequest, tune_fusion


class ExtractJob(Job):
    """Extract features of a manifest into a store."""

    verb = "extract"
    identity = ("store", "manifest", "features")

    manifest: str
    store: str
    features: list[str] = Field(min_length=1)
    retry_failed: bool = False

    def work(self, progress: Progress) -> dict[str, Any]:
        """Extract what the store lacks."""
        manifest = read_manifest(self.manifest)
        return extract(manifest, self.store, self.features, self.retry_failed, progress).to_dict()


class TrainJob(Job):
    """Train one family and save the model."""

    verb = "train"

    family: str
    manifest: str
    store: str
    out: str
    features: list[str] = Field([])
    band: Literal["wide", "telephone"] | None = None
    settings: dict[str, Any] = Field({})
    normalise: str = NONE
    seed: int = 0
    inner_folds: int = Field(INNER_FOLDS, ge=1)
    workers: int | None = Field(None, ge=1)  # that train one network together; None: fits side by side
    checkpoints: str | None = None  # of the workers; None: OUT.checkpoints
    stream: bool | None = None  # None: where the features take too much memory
    log: str | None = None  # tensorboard:FOLDER or mlflow:URI
    label: Literal["emotion", "raw_label"] = "emotion"  # the column that is learned
    overwrite: bool = False

    def work(self, progress: Progress) -> dict[str, Any]:
        """Train, measure out of fold, save."""
        check_vacant(self.out, "model.json", self.overwrite)
        name = f"{self.family}-{storage.name(self.out)}"
        with tracker(self.log, name, self.settings) as track:
            model, report = train(
                self.family,
                read_manifest(self.manifest),
                self.store,
                self.features,
                self.band,
                self.settings,
                self.seed,
                progress,
                self.normalise,
                self.inner_folds,
                self._workers(),
                track,
                self.label,
            )
        save_model(model, self.out)
        return {
            "model": storage.absolute(self.out),
            "family": self.family,
            "labels": list(model.labels),
            "band": model.band,
            "features": [f.spec for f in model.features],
            "normalisation": spec_of(model.normalisation),
            **{name: model.card[name] for name in ("trained_on", "metrics", "wall_s")},
            "ua_interval": [report.ua.low, report.ua.high],
        }

    def _workers(self) -> Workers | None:
        if self.workers is None:
            if self.checkpoints or self.stream is not None:
                raise UsageError(
                    "checkpoints and stream are for several workers. Give workers, or leave out."
                )
            return None
        place = self.checkpoints or storage.absolute(self.out) + ".checkpoints"
        return Workers(self.workers, place, stream=self.stream)


class TuneJob(Job):
    """Search for better settings of a family, of a fusion, or of all families under one budget."""

    verb = "tune"

    family: str | None = None  # or `fusion`; None: a contest of families
    families: list[str] = Field([])  # of the contest; none: all that there are
    members: str | None = None  # of the fusion: families a,b,c, or an ensemble directory
    manifest: str
    store: str
    out: str
    features: list[str] = Field([])
    band: Literal["wide", "telephone"] | None = None
    space: dict[str, Any] = Field(
        {}
    )  # fixes, lists, narrows or replaces what is searched; by family in a contest
    normalise: str = NONE
    seed: int = 0
    inner_folds: int = Field(INNER_FOLDS, ge=2)
    outer: str | None = None  # protocol by which the search itself is measured
    outer_folds: int = Field(5, ge=2)
    samples: int = Field(50, ge=1)
    time_s: float | None = Field(None, gt=0)
    searcher: Literal["optuna", "random", "grid"] = "optuna"
    scheduler: Literal["asha", "pbt", "none"] = "asha"
    points: int = Field(3, ge=2)  # of each range in a grid
    at_once: int | None = Field(None, ge=1)  # trials side by side; None: as the cluster has CPUs or GPUs
    gpu_share: float = Field(1.0, gt=0, le=1)  # of a GPU for each trial of a network
    log: str | None = None  # tensorboard:FOLDER or mlflow:URI
    resume: bool = False  # go on with the search in `out`, if there is one
    overwrite: bool = False

    def work(self, progress: Progress) -> dict[str, Any]:
        """Search, or go on, and sum up."""
        given = (read_manifest(self.manifest), self.store, self.out, progress)
        if not (self.resume and storage.exists(storage.join(self.out, REQUEST))):
            check_vacant(self.out, REQUEST, self.overwrite, "--resume goes on with it")
        shared = {
            name: getattr(self, name)
            for name in ("space", "normalise", "inner_folds", "outer", "outer_folds")
        }
        shared["options"] = SearchOptions(**{f.name: getattr(self, f.name) for f in fields(SearchOptions)})
        name = f"tune-{self.family or 'all'}-{storage.name(self.out)}"
        with tracker(self.log, name, self.space) as track:
            if self.family == FUSION:
                if not self.members or self.features or self.band:
                    raise UsageError("a fusion is tuned of members, which have their own features and band.")
                return tune_fusion(FusionRequest(self.members, **shared), *given, track, not self.resume)
            if self.members:
                raise UsageError("members are for the fusion. Tune `fusion`, or leave them out.")
            request = TuneRequest(self.family or "", self.features, self.band, **shared)
            if self.family:
                return tune(request, *given, track, not self.resume)
            if self.outer:
                raise UsageError("a contest has no outer folds. Tune the winner with --outer.")
            return contest(self.families or list(FAMILIES), request, *given, not self.resume)


class EvaluateJob(Job):
    """Measure members and every fusion rule side by side, trained anew in each fold."""

    verb = "evaluate"
    identity = ("target", "manifest", "protocol", "out")

    target: str  # families a,b,c, or a model or ensemble directory
    manifest: str
    store: str
    protocol: str = "loso"
    folds: int = Field(5, ge=2)
    features: list[str] = Field([])
    band: Literal["wide", "telephone"] | None = None
    normalise: str = NONE
    settings: dict[str, Any] = Field({})
    inner_folds: int = INNER_FOLDS
    seed: int = 0
    out: str | None = None  # folder for the figures

    def run(self, progress: Progress = quiet) -> dict[str, Any]:
        """Evaluate, and give all figures as plain data."""
        return self.dated.measure(progress).to_dict()

    def measure(self, progress: Progress) -> Evaluation:
        """What `run` sums up. A wrong request is refused before the cluster is joined."""
        storage.use_options(self.storage)
        manifest = read_manifest(self.manifest)
        brought = (self.features, self.band, self.normalise, self.settings)
        if self.protocol == UNSEEN:
            check_unchanged(*brought)
            ensemble, _ = load_ensemble(self.target)
            connect(self.address)
            result = evaluate_unseen(ensemble, manifest, self.store, progress)
        else:
            candidates = candidates_of(self.target, *brought)
            connect(self.address)
            divided = (self.protocol, self.folds, self.seed)
            result = evaluate(candidates, manifest, self.store, *divided, progress, self.inner_folds)
        if self.out:
            result.save(self.out)
        return result


class ScoreJob(Job):
    """Score an archive of calls."""

    verb = "score"

    archive: str
    ensemble: str
    out: str
    legs: list[str] = Field(["agent", "customer"])
    max_errors: float = Field(0.05, ge=0.0, le=1.0)  # share of calls, or "5%"
    allow_band_mismatch: bool = False
    smooth: Literal["none", "median", "hmm"] = "none"
    certain_from: float | None = Field(None, ge=0.0, le=1.0)  # in place of the ensemble's own
    keep_days: int | None = Field(None, ge=1)  # a complete run removes older nights beside `out`
    call_time_limit_s: float = Field(READ_LIMIT_S, gt=0)  # to read and decode one call

    @field_validator("max_errors", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        if isinstance(value, str) and value.strip().endswith("%"):
            return float(value.strip()[:-1]) / 100
        return value

    @field_validator("legs")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        if not value or len(set(value)) < len(value) or not all(value):
            raise ValueError("legs need one name each, and no name twice")
        return value

    @model_validator(mode="after")
    def _nights(self) -> Self:
        if self.keep_days:
            check_pattern(self.out)
        return self

    def run(self, progress: Progress = quiet) -> dict[str, Any]:
        """Score, and remove the nights whose time is over."""
        run = super().run(progress)
        if self.keep_days and self.date and run["complete"]:
            run["retention"] = remove_expired(self.out, self.date, self.keep_days)
        return run

    def work(self, progress: Progress) -> dict[str, Any]:
        """Score every call; the rows stand also where too many failed."""
        options = ScoreOptions(
            tuple(self.legs),
            allow_band_mismatch=self.allow_band_mismatch,
            smooth=self.smooth,
            certain_from=self.certain_from,
        )
        with claimed(self.out):
            return score(self.archive, self.ensemble, self.out, options, progress, self.call_time_limit_s)

    def check(self, run: dict[str, Any]) -> None:
        """Raise RunFailed where more calls failed than `max_errors` allows, or old nights are still there."""
        counts = run["counts"]
        if counts["error"] > self.max_errors * counts["listed"]:
            raise RunFailed(
                f"{counts['error']} of {counts['listed']} calls failed, more than --max-errors "
                f"{100 * self.max_errors:g}%. All rows are written; see the ledger in {self.dated.out}."
            )
        if problem := run.get("retention", {}).get("error"):
            raise RunFailed(f"all calls are scored, but older nights are still there: {problem}")


_KINDS = (ScoreJob, ExtractJob, PretrainJob, TrainJob, TuneJob, EvaluateJob, RecipeJob)
JOBS: dict[str, type[Job]] = {kind.verb: kind for kind in _KINDS}
