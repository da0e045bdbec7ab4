"""What a job is: options that are checked once, for the command line, YAML files and Ray Jobs alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from ser_ray import storage
from ser_ray.errors import OutputConflict, SerRayError, UsageError
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.storage import StorageOptions


class Job(BaseModel):
    """Base of all jobs: strict options, an optional cluster, and `run`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    verb: ClassVar[str]
    identity: ClassVar[tuple[str, ...]] = ("out",)  # options by which it is known: what it fills, first

    address: str | None = None  # of a Ray cluster; None: this machine, or where the job runs already
    storage: StorageOptions | None = None  # how buckets are reached, beside the environment

    @field_validator("storage", mode="before")
    @classmethod
    def _storage(cls, value: Any) -> Any:
        return StorageOptions.of(value) if isinstance(value, dict) else value

    @classmethod
    def of(cls, **options: Any) -> Self:
        """The job with these options.

        Raises:
            UsageError: an option that does not exist, or of the wrong type; the message names it.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or cls.verb
            raise UsageError(f"{where}: {first['msg']}. Options: {', '.join(cls.model_fields)}.") from error

    def run(self, progress: Progress = quiet) -> dict[str, Any]:
        """Do it, and sum up what was done as plain data."""
        storage.use_options(self.storage)
        connect(self.address)
        return self.work(progress)

    def work(self, progress: Progress) -> dict[str, Any]:
        """What `run` does once the cluster is joined."""
        raise AssertionError(f"{type(self).__name__} does no work")

    def check(self, summary: dict[str, Any]) -> None:
        """Raise RunFailed where `run` ended, but not well enough."""


def check_vacant(uri: str, marker: str, overwrite: bool, other: str = "Choose another -o") -> None:
    """Make sure that writing a directory at `uri` destroys nothing that was not meant.

    Args:
        uri: where.
        marker: file in it by which a directory of this kind is known.
        overwrite: it may be replaced.
        other: what else can be done, for the message.

    Raises:
        OutputConflict: something is there, and it is either foreign (no `marker` in it) or kept.
    """
    if not storage.exists(uri):
        return
    folder = storage.local_path(uri) if storage.is_local(uri) else None
    if folder and folder.is_dir() and not any(folder.iterdir()):
        return
    if not storage.exists(storage.join(uri, marker)):
        raise OutputConflict(
            f"{uri} exists and is not a folder of this kind (no {marker}). Choose another -o."
        )
    if not overwrite:
        raise OutputConflict(f"{uri} exists. {other}, or pass --overwrite to replace it.")


def run_file(kind: type[Job], arguments: list[str]) -> int:
    """Run a job from a YAML file, as `jobs/*.py` do.

    Args:
        kind: the job.
        arguments: the YAML's path or URI.

    Returns:
        The exit code, as `run_job`.
    """

    def read() -> Job:
        if len(arguments) != 1:
            raise UsageError(f"usage: python jobs/{kind.verb}.py CONFIG.yaml")
        return read_job(kind, arguments[0])

    return run_job(read)


def run_job(read: Callable[[], Job]) -> int:
    """Run what `read` gives, with a line `done/total counted` now and then; the last is the summary as JSON.

    Returns:
        The exit code: 0 all well, 1 the run failed, 2 the request is wrong.
    """
    try:
        job = read()
        summary = job.run(_print_progress)
        print(json.dumps(summary, ensure_ascii=False), flush=True)
        job.check(summary)
    except SerRayError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def read_job(kind: type[Job], config: str) -> Job:
    """A job from a YAML file.

    Raises:
        MissingInput: no such file.
        UsageError: not YAML, or options that the job does not have.
    """
    return kind.of(**read_options(config, "job file"))


def read_options(uri: str, what: str) -> dict[str, Any]:
    """The names and values in a YAML file.

    Raises:
        MissingInput: no such file.
        UsageError: it is not YAML, or holds something else.
    """
    try:
        options = yaml.safe_load(storage.read_bytes(storage.require(uri, what)))
    except yaml.YAMLError as error:
        raise UsageError(f"{uri} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise UsageError(f"{uri} should hold options, one `name: value` a line.")
    return options


def _print_progress(done: int, total: int, counted: str) -> None:
    print(f"{done}/{total} {counted}", flush=True)
