"""What a job is: options that are checked once, for the command line, YAML files and Ray Jobs alike."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from ser_ray import storage
from ser_ray.errors import OutputConflict, SerRayError, UsageError
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.night import DATE, fill, night_of, texts
from ser_ray.pipelines.notification import notify, target_of
from ser_ray.storage import StorageOptions

Summary = dict[str, Any]  # what a job did, as plain data
Show = Callable[[Summary], None]
PASSWORD = re.compile(r"://[^/@\s\"]*:[^/@\s\"]+@")


class Job(BaseModel):
    """Base of all jobs: strict options, an optional cluster, and `run`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    verb: ClassVar[str]
    identity: ClassVar[tuple[str, ...]] = ("out",)  # options by which it is known: what it fills, first

    address: str | None = None  # of a Ray cluster; None: this machine, or where the job runs already
    date: str | None = None  # that stands for {date} in all options: 2026-11-22, or yesterday by UTC
    notify: list[str] | None = None  # command, or URL of a webhook, that is told how the job ended

    @field_validator("date", mode="before")
    @classmethod
    def _night(cls, value: Any) -> str | None:
        return None if value is None else night_of(value)

    @field_validator("notify", mode="before")
    @classmethod
    def _target(cls, value: Any) -> Any:
        return target_of(value)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name in type(self).model_fields:
            for text in texts(getattr(self, name)):
                if DATE in text and not self.date:
                    raise ValueError(
                        f"{name} has {DATE} and no date is given. Give one like 2026-11-22, or yesterday"
                    )
                if PASSWORD.search(text):
                    raise ValueError(f"{name} holds a password. Put it into the environment")
        return self

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
            what = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"{where}: {what}. Options: {', '.join(cls.model_fields)}.") from error

    @property
    def dated(self) -> Self:
        """The same job with its date in place of every `{date}`."""
        if not self.date:
            return self
        return self.model_copy(
            update={name: fill(getattr(self, name), self.date) for name in type(self).model_fields}
        )

    def run(self, progress: Progress = quiet) -> dict[str, Any]:
        """Do it, and sum up what was done as plain data."""
        storage.use_options(self.storage)
        connect(self.address)
        return self.dated.work(progress)

    def work(self, progress: Progress) -> dict[str, Any]:
        """What `run` does once the cluster is joined and the options are dated."""
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


def print_summary(summary: Summary) -> None:
    """One line of JSON."""
    print(json.dumps(summary, ensure_ascii=False), flush=True)


def run_file(kind: type[Job], arguments: list[str], show: Show = print_summary) -> int:
    """Run a job from a YAML file, as `jobs/*.py` do.

    Args:
        kind: the job.
        arguments: the YAML's path or URI.
        show: prints the summary, as JSON on its last line.

    Returns:
        The exit code, as `run_job`.
    """

    def read() -> Job:
        if len(arguments) != 1:
            raise UsageError(f"usage: python jobs/{kind.verb}.py CONFIG.yaml")
        return read_job(kind, arguments[0])

    return run_job(read, show)


def run_job(read: Callable[[], Job], show: Show = print_summary) -> int:
    """Run what `read` gives, with a line `done/total counted` now and then; the last is the summary as JSON.

    Returns:
        The exit code: 0 all well, 1 the run failed, 2 the request is wrong, 75 another attempt may help.
    """
    try:
        job = read()
        carry_out(job, lambda: job.run(_print_progress), show)
    except SerRayError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.code
    return 0


def carry_out(job: Job, run: Callable[[], Summary], show: Show) -> None:
    """Run a job by `run`, show its summary, check it, and tell its `notify` how it ended.

    Raises:
        SerRayError: as `run` and `check`. That nobody could be told is a line on standard error.
    """
    asked = job.dated
    told: dict[str, Any] = {"job": job.verb, "target": getattr(asked, job.identity[0]), "date": job.date}
    told |= {"exit_code": 0, "error": None, "summary": None}
    try:
        told["summary"] = run()
        show(told["summary"])
        job.check(told["summary"])
    except SerRayError as error:
        _tell(asked, told | {"exit_code": error.code, "error": str(error)})
        raise
    except Exception as error:
        _tell(asked, told | {"exit_code": 1, "error": f"{type(error).__name__}: {error}"})
        raise
    _tell(asked, told)


def _tell(job: Job, message: dict[str, Any]) -> None:
    if job.notify and (problem := notify(job.notify, message)):
        print(f"warning: nobody was notified: {problem}", file=sys.stderr, flush=True)


def read_job(kind: type[Job], config: str, **given: Any) -> Job:
    """A job from a YAML file, in which what is `given` and not None counts more.

    Raises:
        MissingInput: no such file.
        UsageError: not YAML, or options that the job does not have.
    """
    given = {name: value for name, value in given.items() if value is not None}
    return kind.of(**{**read_options(config, "job file"), **given})


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
