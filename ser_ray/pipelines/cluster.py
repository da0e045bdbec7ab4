"""The Ray cluster that a pipeline runs on: this machine's own, or one that is named."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data.exceptions import ExecutionTimeoutError

from ser_ray import storage
from ser_ray.errors import RunFailed, SerRayError, UsageError
from ser_ray.pipelines.attempts import READ_LIMIT_S, Attempt, open_ledger

NO_PROGRESS_S = 900  # a pipeline in which nothing happens for so long is given up
JOIN_S = 10.0  # that a machine may still take to join
HANGS = 4  # recordings in one call of a worker that may take all their time, on top of that
MAX_BLOCKS = 2000
MIB = 1 << 20
_PART = "part"  # column that numbers the calls of a worker

Progress = Callable[[int, int, str], None]  # done, of all, what is counted

_MORE = (
    "Bring workers first: --cpus of ser-ray submit, or python -m ser_ray.pipelines.workers CPUS -- COMMAND, "
    "asks its autoscaler; elsewhere start machines with ray start --address."
)
_alone = False  # Ray was started here, for this process
_reaching: dict[str, str] = {}  # by which Ray's workers reach stores, beside the environment of their machine


def connect(address: str | None = None) -> int:
    """Join the cluster at `address`, or start one on this machine, and return its number of CPUs.

    Args:
        address: as `ray.init` takes it; the environment's `RAY_ADDRESS` counts where it is None.

    Raises:
        RunFailed: no cluster answers at the address, or it has no CPU.
        UsageError: it was joined before, with other storage options.
    """
    global _alone, _reaching
    if not ray.is_initialized():
        known = address or os.environ.get("RAY_ADDRESS")
        local: dict[str, Any] = (
            {"runtime_env": {"env_vars": storage.environment()}}
            if known
            else {"include_dashboard": False, "object_store_memory": 512 * MIB}
        )
        try:
            with _core_silenced():
                ray.init(known or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
        except Exception as error:  # where its own node does not come up in time, Ray raises no other kind
            if not known:
                busy = f"Ray does not start on this machine, perhaps too busy: {error}"
                raise RunFailed(busy, passing=True) from error
            raise RunFailed(
                f"no Ray cluster answers at {known}: {error}. "
                "Check --address, and RAY_AUTH_TOKEN where the cluster asks for one.",
                passing=True,
            ) from error
        _alone, _reaching = not known, storage.environment()
    if storage.environment() != _reaching:
        raise UsageError("Ray was joined with other storage options. Give them to a process's first job.")
    until = time.monotonic() + JOIN_S
    while (cpus := int(ray.cluster_resources().get("CPU", 0))) < 1:
        if time.monotonic() > until:
            raise RunFailed(f"the cluster has no CPU to work with. {_MORE}")
        time.sleep(0.5)
    return cpus


def require_cpus(number: int, what: str) -> None:
    """Refuse what would wait for ever: a job works with what the cluster has when it starts.

    Raises:
        UsageError: there are fewer CPUs.
    """
    cpus = connect()
    if cpus < number:
        there = f"this machine has {cpus}." if _alone else f"the cluster has {cpus}. {_MORE}"
        raise UsageError(f"{what} {number} CPUs, and {there}")


def largest_node() -> int:
    """CPUs of the cluster's largest machine: no task can take more."""
    return max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])


def count_gpus() -> int:
    """GPUs of the cluster that `connect` joined, whoever holds them."""
    return int(ray.cluster_resources().get("GPU", 0))


def run_batches(
    worker: type,
    arguments: tuple[Any, ...],
    table: pa.Table,
    rows: int,
    progress: Progress,
    counted: str,
    total: int,
    accelerated: bool = False,
    done_with: Callable[[dict[str, Any]], None] | None = None,
    limit_s: float = READ_LIMIT_S,
    workers: int | None = None,
) -> list[dict[str, Any]]:
    """Give a table to a pool of actors, `rows` rows a call, and collect the small summary of each call.

    The workers write their own results, each part whole or not at all, so nothing large moves through
    the object store and a run that is killed keeps every part that was written.

    Args:
        worker: class with `__init__(*arguments)` and `__call__(pa.Table, Attempt) -> dict` of plain data,
            which has a key `counted`.
        arguments: of its construction.
        table: the work.
        rows: rows a call.
        progress: told the sum of the column `counted`.
        counted: what is counted, such as "calls".
        total: how many of them there are.
        accelerated: each worker takes one of the cluster's GPUs, where it has any.
        done_with: told what each call of a worker returned, as it comes.
        limit_s: the longest that a worker may read and decode one recording.
        workers: at most so many; None: as many as there are CPUs.

    Returns:
        What each call of a worker returned.

    Raises:
        RunFailed: the cluster broke off, or a worker met an error; what was finished is kept.
    """
    connect()
    if not len(table):
        return []
    gpus = count_gpus() if accelerated else 0
    dataset = _dataset(worker, arguments, table, rows, gpus, limit_s, workers)
    summaries: list[dict[str, Any]] = []
    done = 0
    progress(0, total, counted)
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for summary in map(json.loads, batch["summary"].to_pylist()):
                if "failure" in summary:
                    raise RunFailed(f"{summary['failure']} What was finished is kept.", summary["passing"])
                summaries.append(summary)
                if done_with:
                    done_with(summary)
                done += summary[counted]
            progress(done, total, counted)
    except ray.exceptions.RayTaskError as error:
        raise own_error(error) from error
    except ExecutionTimeoutError as error:
        raise RunFailed(
            f"the run broke off: nothing happened for {_patience(limit_s):.0f} s. Look whether the cluster "
            "still has workers and its storage answers, and start it again: what was finished is kept."
        ) from error
    except ray.exceptions.RayError as error:
        raise RunFailed(
            f"the run broke off: {error}. Start it again: what was finished is kept.", passing=True
        ) from error
    return summaries


def _dataset(
    worker: type,
    arguments: tuple[Any, ...],
    table: pa.Table,
    rows: int,
    gpus: int,
    limit_s: float,
    workers: int | None,
) -> Dataset:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = _patience(limit_s)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    per_block = rows * -(-len(table) // (rows * MAX_BLOCKS))
    table = table.append_column(_PART, pa.array(i // rows for i in range(len(table))))
    blocks = [table.slice(i, per_block) for i in range(0, len(table), per_block)]
    cpus = connect()
    return ray.data.from_arrow(blocks).map_batches(
        _Worker,
        fn_constructor_args=(worker, arguments, open_ledger(), limit_s),
        batch_size=rows,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(gpus or cpus, cpus, workers or cpus, len(blocks))),
        num_cpus=1,
        num_gpus=1 if gpus else None,
    )


def _patience(limit_s: float) -> float:
    return NO_PROGRESS_S + HANGS * limit_s


class _Worker:
    """What Ray runs: a worker whose errors of ours come back as data, since Ray would strip their kind."""

    def __init__(self, kind: type, arguments: tuple[Any, ...], ledger: Any, limit_s: float) -> None:
        self.kind, self.arguments = kind, arguments
        self.ledger, self.limit_s = ledger, limit_s
        self.worker: Any = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        part = batch[_PART][0].as_py()
        try:
            with Attempt(part, self.ledger, self.limit_s) as attempt:
                self.worker = self.worker or self.kind(*self.arguments)
                summary = self.worker(batch.drop_columns([_PART]), attempt)
        except SerRayError as error:
            summary = {"failure": str(error), "passing": error.passing}
        return pa.table({"summary": [json.dumps(summary)]})


@contextmanager
def _core_silenced() -> Iterator[None]:
    """Keep Ray's C++ core, which writes past Python's logging, from announcing its log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def quiet(done: int, total: int, counted: str) -> None:
    """A progress callback that says nothing."""


def put(value: Any) -> Any:
    """A value in the object store, for all workers.

    Raises:
        RunFailed: neither the store nor the disk that it spills to has room.
    """
    try:
        return ray.put(value)
    except (ray.exceptions.OutOfDiskError, ray.exceptions.ObjectStoreFullError) as error:
        raise RunFailed(
            "no room for the features in Ray's object store: its memory and its spill directory are full. "
            "Free disk space, or start Ray with a larger --object-store-memory or another "
            "--object-spilling-directory."
        ) from error


def own_error(error: ray.exceptions.RayTaskError) -> SerRayError:
    """The error of ours that a worker raised, or a RunFailed that quotes it."""
    if isinstance(error.cause, SerRayError):
        return error.cause
    last = str(error).strip().splitlines()[-1:]
    return RunFailed(
        f"a worker failed: {' '.join(last)}. Start it again: what was finished is kept.", is_lost(error)
    )


def is_lost(error: BaseException | None) -> bool:
    """Whether the cluster failed, not what ran on it: a machine or a worker that went, a driver cut off."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return is_lost(error.cause)
    behind = [*getattr(error, "worker_failures", {}).values(), getattr(error, "controller_failure", None)]
    return isinstance(error, ray.exceptions.RayError) or any(
        is_lost(each) for each in [*behind, getattr(error, "__cause__", None)] if each is not None
    )
