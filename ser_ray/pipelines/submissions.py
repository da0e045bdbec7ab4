"""Jobs that a cluster elsewhere runs, through Ray Jobs: submitted once, listed, looked at, stopped."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

import ser_ray
from ser_ray import storage
from ser_ray.errors import MissingInput, RunFailed, UsageError
from ser_ray.pipelines.job import Job

TIMEOUT_S = 60.0  # of each request
AGENT_S = 60.0  # a new head answers for so long before it can take jobs
STOP_S = 120.0  # until a job that is stopped has ended
ADDRESS = "RAY_API_SERVER_ADDRESS"  # of the environment; Ray lets it count more than what it is given
OTHER_PORTS = {6379: "drivers that run in the cluster", 10001: "Ray Client"}
PLACES = ("archive", "ensemble", "manifest", "corpus", "sounds", "speech", "store", "out", "checkpoints")


@dataclass(frozen=True)
class Submission:
    """One submission as its cluster knows it; times in s since 1970."""

    id: str
    status: str  # PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED
    started: float | None
    ended: float | None
    exit_code: int | None
    message: str

    @property
    def over(self) -> bool:
        """It will not change any more."""
        return self.status not in ("PENDING", "RUNNING")


class Submissions:
    """The submissions of the cluster whose dashboard is at `address`.

    Raises, as each of its methods:
        UsageError: the address is of another kind, or the token is missing or another cluster's.
        RunFailed: nobody answers, or not as a Ray dashboard does.
    """

    def __init__(self, address: str) -> None:
        self.address = _check_address(address)
        before = os.environ.get(ADDRESS)
        os.environ[ADDRESS] = self.address
        try:
            with self._clear_errors():
                self._client = _Client(self.address)
        finally:
            os.environ.pop(ADDRESS)
            os.environ.update({ADDRESS: before} if before else {})

    def submit(self, name: str, command: str, again: bool = False, ship_code: bool = False) -> str:
        """Start a job there, once: only one that failed or was stopped is started anew by itself.

        Args:
            name: of the job, as `name_of` gives it.
            command: as `command_of` gives it.
            again: also one that succeeded.
            ship_code: send this package along, for a cluster that has another version, or only what it needs.

        Returns:
            The submission's id: the name, and for the next attempt the name with `-r2`.

        Raises:
            UsageError: it was submitted already.
        """
        chosen = self._next_id(name, again)
        environment = {"py_modules": [str(Path(ser_ray.__file__).parent)]} if ship_code else {}
        until = time.monotonic() + AGENT_S
        while True:
            try:
                with self._clear_errors():
                    return str(
                        self._client.submit_job(
                            entrypoint=command, submission_id=chosen, runtime_env=environment
                        )
                    )
            except RunFailed as error:
                if "already exists" in str(error):  # somebody was faster
                    raise UsageError(_refusal(self.find(chosen))) from error
                if "try again later" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(1)

    def all(self) -> list[Submission]:
        """Every submission that the cluster remembers, the latest first."""
        with self._clear_errors():
            found = [_submission(job) for job in self._client.list_jobs() if job.submission_id]
        return sorted(found, key=lambda each: each.started or 0, reverse=True)

    def find(self, submission_id: str) -> Submission:
        """One submission.

        Raises:
            MissingInput: the cluster knows none of this id.
        """
        with self._clear_errors(submission_id):
            return _submission(self._client.get_job_info(submission_id))

    def log(self, submission_id: str) -> str:
        """All that its job has printed so far."""
        with self._clear_errors(submission_id):
            return str(self._client.get_job_logs(submission_id))

    def stop(self, submission_id: str) -> Submission:
        """End it, and return what became of it: it may have ended by itself before."""
        until = time.monotonic() + STOP_S
        while not (now := self.find(submission_id)).over:
            if time.monotonic() > until:
                raise RunFailed(f"{submission_id} has not ended {STOP_S:g} s after it was asked to.")
            with self._clear_errors(submission_id):
                self._client.stop_job(submission_id)  # does nothing to one that only begins to start
            time.sleep(1)
        return now

    def _next_id(self, name: str, again: bool) -> str:
        attempts = {}
        for each in self.all():
            if found := re.fullmatch(rf"{re.escape(name)}(?:-r(\d+))?", each.id):
                attempts[int(found[1] or 1)] = each
        if not attempts:
            return name
        last = attempts[max(attempts)]
        if not last.over or (last.status == "SUCCEEDED" and not again):
            raise UsageError(_refusal(last))
        return f"{name}-r{max(attempts) + 1}"

    @contextmanager
    def _clear_errors(self, submission_id: str = "") -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise UsageError(
                f"{self.address} asks for a token, and got none or another cluster's. "
                "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as they are on that cluster."
            ) from error
        except (OSError, KeyError, TypeError) as error:  # refused, lost, too slow, or no JSON of Ray's
            raise RunFailed(
                f"no Ray dashboard answers at {self.address} ({type(error).__name__}). Check --address, "
                "which is like http://HEAD:8265, and the tunnel to it where there is one.",
                passing=True,
            ) from error
        except RuntimeError as error:
            said = str(error).strip()
            if submission_id and "status code 404" in said:
                raise MissingInput(
                    f"{self.address} knows no submission {submission_id!r}. `ser-ray status` lists them; "
                    "a head that was started anew has forgotten those before."
                ) from error
            raise RunFailed(f"{self.address} refuses: {said.splitlines()[-1]}") from error


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's own client, whose requests would wait for ever."""

    def _do_request(self, *arguments: Any, **options: Any) -> Any:
        return super()._do_request(*arguments, timeout=TIMEOUT_S, **options)


def name_of(job: Job) -> str:
    """What a job is always called: its verb, the last part of what it fills, and a hash of all of that."""
    job = job.dated
    asked = [getattr(job, option) for option in job.identity]
    asked = [value.rstrip("/") if isinstance(value, str) else value for value in asked]
    last = re.sub(r"^\w+=", "", storage.name(asked[0]))  # a partition such as dt=2026-11-22
    safe = re.sub(r"[^A-Za-z0-9._]+", "-", last).strip("-")
    return f"{job.verb}-{safe}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:6]}"


def command_of(job: Job, cpus: int = 0, gpus: int = 0) -> str:
    """The command by which a cluster runs a job; the options that were given travel in it.

    Args:
        job: what to do.
        cpus: the cluster's autoscaler is asked for so many first, and they are given back at the end.
        gpus: likewise.

    Raises:
        UsageError: an option that means nothing there.
    """
    options = job.model_dump(mode="json", exclude_unset=True)
    if job.address:
        raise UsageError("address: a submitted job runs where it is submitted. Leave it out.")
    for name in PLACES:
        place = options.get(name)
        if place and storage.is_local(place) and not place.removeprefix("file://").startswith("/"):
            raise UsageError(
                f"{name}: {place!r} is below a folder of this machine. Give a bucket, or a path that begins "
                "with / and that all machines of the cluster have."
            )
    if in_use := storage.options_in_use():
        options["storage"] = in_use | options.get("storage", {})
    command = ["python", "-m", "ser_ray.pipelines", job.verb, json.dumps(options)]
    if cpus or gpus:
        asking = ["python", "-m", "ser_ray.pipelines.workers", f"--gpus={gpus}", str(cpus)]
        if target := job.dated.notify:
            asking.append(f"--notify={json.dumps(target)}")
        command = [*asking, "--", *command]
    return shlex.join(command)


def _check_address(address: str) -> str:
    url = urlsplit(address)
    try:
        port = url.port
    except ValueError:
        port = -1
    if url.scheme in ("http", "https") and url.hostname and port not in (-1, *OTHER_PORTS):
        return address.rstrip("/")
    kind = OTHER_PORTS.get(port or 0) or ("Ray Client" if url.scheme == "ray" else "")
    why = f"is for {kind}" if kind else "is not like that"
    raise UsageError(f"jobs are submitted to the dashboard, --address http://HEAD:8265; {address} {why}.")


def _refusal(last: Submission) -> str:
    if last.over:
        return f"{last.id} has {last.status.lower()}. Nothing is left to do; --again submits it all the same."
    return (
        f"{last.id} is {last.status.lower()}. `ser-ray status {last.id} --follow` follows it, "
        f"`ser-ray stop {last.id}` ends it."
    )


def _submission(job: Any) -> Submission:
    started, ended = (None if time is None else time / 1000 for time in (job.start_time, job.end_time))
    status = str(job.status.value)
    return Submission(job.submission_id, status, started, ended, job.driver_exit_code, job.message or "")
