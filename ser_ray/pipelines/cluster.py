"""The Ray cluster that a pipeline runs on: this machine's own, or one that is named."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext

from ser_ray.errors import RunFailed, SerRayError, UsageError

NO_PROGRESS_S = 900  # a pipeline in which nothing happens for so long is given up
MAX_BLOCKS = 2000
MIB = 1 << 20

Progress = Callable[[int, int, str], None]  # done, of all, what is counted

_alone = False  # Ray was started here, for this process


def connect(address: str | None = None) -> int:
    """Join the cluster at `address`, or start one on this machine, and return its number of CPUs.

    Args:
        address: as `ray.init` takes it; the environment's `RAY_ADDRESS` counts where it is None.

    Raises:
        RunFailed: no cluster answers at the address.
    """
    global _alone
    if not ray.is_initialized():
        known = address or os.environ.get("RAY_ADDRESS")
        local: dict[str, Any] = (
            {} if known else {"include_dashboard": False, "object_store_memory": 512 * MIB}
        )
        try:
            with _core_silenced():
                ray.init(known or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
        except Exception as error:  # where its own node does not come up in time, Ray raises no other kind
            if not known:
                raise RunFailed(f"Ray does not start on this machine, perhaps too busy: {error}") from error
            raise RunFailed(
                f"no Ray cluster answers at {known}: {error}. "
                "Check --address, and RAY_AUTH_TOKEN where the cluster asks for one."
            ) from error
        _alone = not known
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def require_cpus(number: int, what: str) -> None:
    """Refuse what this machine can never do; a cluster is waited for, since machines may join it.

    Raises:
        UsageError: Ray was started here, and has fewer CPUs.
    """
    if _alone and connect() < number:
        raise UsageError(f"{what} {number} CPUs, and this machine has {connect()}.")


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
) -> list[dict[str, Any]]:
    """Give a table to a pool of actors, `rows` rows a call, and collect the small summary of each call.

    The workers write their own results, each part whole or not at all, so nothing large moves through
    the object store and a run that is killed keeps every part that was written.

    Args:
        worker: class with `__init__(*arguments)` and `__call__(pa.Table) -> dict` of plain data, which
            has a key `counted`.
        arguments: of its construction.
        table: the work.
        rows: rows a call.
        progress: told the sum of the column `counted`.
        counted: what is counted, such as "calls".
        total: how many of them there are.
        accelerated: each worker takes one of the cluster's GPUs, where it has any.

    Returns:
        What each call of a worker returned.

    Raises:
        RunFailed: the cluster broke off, or a worker met an error; what was finished is kept.
    """
    cpus = connect()
    gpus = count_gpus() if accelerated else 0
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_S
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    parts = [table.slice(i, rows) for i in range(0, len(table), rows)]
    if not parts:
        return []
    per_block = -(-len(parts) // MAX_BLOCKS)
    blocks = [table.slice(i, rows * per_block) for i in range(0, len(table), rows * per_block)]
    dataset = ray.data.from_arrow(blocks).map_batches(
        _Worker,
        fn_constructor_args=(worker, arguments),
        batch_size=rows,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(gpus or cpus, cpus, len(blocks))),
        num_cpus=1,
        num_gpus=1 if gpus else None,
    )
    summaries: list[dict[str, Any]] = []
    done = 0
    progress(0, total, counted)
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for summary in map(json.loads, batch["summary"].to_pylist()):
                if "failure" in summary:
                    raise RunFailed(f"{summary['failure']} What was finished is kept.")
                summaries.append(summary)
                done += summary[counted]
            progress(done, total, counted)
    except ray.exceptions.RayTaskError as error:
        raise own_error(error) from error
    except ray.exceptions.RayError as error:
        raise RunFailed(f"the run broke off: {error}. Start it again: what was finished is kept.") from error
    return summaries


class _Worker:
    """What Ray runs: a worker whose errors of ours come back as data, since Ray would strip their kind."""

    def __init__(self, kind: type, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments = kind, arguments
        self.worker: Any = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        try:
            self.worker = self.worker or self.kind(*self.arguments)
            summary = self.worker(batch)
        except SerRayError as error:
            summary = {"failure": str(error)}
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


def own_error(error: ray.exceptions.RayTaskError) -> SerRayError:
    """The error of ours that a worker raised, or a RunFailed that quotes it."""
    if isinstance(error.cause, SerRayError):
        return error.cause
    last = str(error).strip().splitlines()[-1:]
    return RunFailed(f"a worker failed: {' '.join(last)}. Start it again: what was finished is kept.")
