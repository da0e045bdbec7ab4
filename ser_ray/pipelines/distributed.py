"""One network trained by several workers, through Ray Train: the loop of `models.networks`, kept going.

After every epoch the loop's state is kept; a worker that dies, or a driver that is started again with the
same request, goes on after the last of them, and ends with the weights of a run that nothing disturbed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

# Ray asks its workers what they have to report only so often, in seconds, and an epoch waits for it.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")

import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer, prepare_model
from torch import nn

from ser_ray import storage
from ser_ray.errors import RunFailed, SerRayError
from ser_ray.models.networks import workers
from ser_ray.models.networks.loop import LoopState, Report
from ser_ray.pipelines.cluster import connect, count_gpus, is_lost, require_cpus
from ser_ray.pipelines.parallel import POLL_S, Epochs

STATE = "state.pt"
KEPT = 2  # checkpoints; one may be half-written when a run is killed


@dataclass(frozen=True)
class Workers:
    """Who trains a network together.

    Attributes:
        number: of workers, each with a GPU where the cluster has so many.
        checkpoints: folder or bucket prefix that all of them reach.
        failures: how often a worker may die before the run is given up.
        stream: read the features anew in every epoch; None: only where they would
            take too much memory.
    """

    number: int
    checkpoints: str
    failures: int = 3
    stream: bool | None = None


class Learner(Protocol):
    """What has a network that learns."""

    network: nn.Module

    def restore(self, state: LoopState) -> None:
        """Take the best weights and the curve of a training that ended elsewhere."""


Learned = TypeVar("Learned", bound=Learner)
Fitted = TypeVar("Fitted", bound=Learner, covariant=True)
Wrap = Callable[[nn.Module], nn.Module]


class Fit(Protocol[Fitted]):
    """What each worker does: train, from a state or from the beginning."""

    def __call__(self, report: Report, state: LoopState | None, wrap: Wrap) -> Fitted:
        """The learner, trained."""


def train_together(
    fit: Fit[Learned],
    reads: bool,
    request: Mapping[str, Any],
    together: Workers,
    epochs: Epochs,
) -> Learned:
    """Train by workers.

    Args:
        fit: what each does; sent to them.
        reads: it lets tasks read for it, for which a CPU is to be left.
        request: what decides the result. One that is made again goes on where it was broken off.
        together: the workers.
        epochs: told of each epoch, and shown while it lasts.

    Returns:
        The learner, with the best epoch's weights.

    Raises:
        UsageError: this machine has fewer CPUs than they take.
        RunFailed: the loss is not finite, or too many workers died; checkpoints are kept.
    """
    cpus, gpus = connect(), count_gpus()
    check_cpus(together, reads)
    filesystem, path = storage.arrow_filesystem(together.checkpoints)
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    use_gpu, threads = gpus >= together.number, max(1, cpus // (together.number + reads))
    trainer = TorchTrainer(
        _work,
        train_loop_config={"fit": fit, "epochs": epochs, "threads": threads},
        scaling_config=ray.train.ScalingConfig(
            num_workers=together.number,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1} | ({"GPU": 1} if use_gpu else {}),
        ),
        run_config=ray.train.RunConfig(
            name=_name(request),
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=together.failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=KEPT),
        ),
    )
    with _shown(epochs):
        try:
            result = trainer.fit()
        except Exception as error:  # Ray raises what a worker or its own controller met
            raise RunFailed(
                f"training failed: {_last_line(error)}. Its checkpoints are kept; the same command goes on.",
                passing=is_lost(error),
            ) from error
    if isinstance(result.return_value, str):
        raise RunFailed(result.return_value)
    if result.checkpoint is None:
        raise RunFailed("training kept no checkpoint. Give --checkpoints a folder that all workers reach.")
    learner: Learned = result.return_value
    learner.restore(_restored(result.checkpoint))
    return learner


def check_cpus(together: Workers, reads: bool) -> None:
    """Refuse workers that this machine has no CPUs for.

    Args:
        together: the workers.
        reads: they let tasks read for them, for which a CPU is to be left.

    Raises:
        UsageError: fewer CPUs than they take.
    """
    who = f"{together.number} workers" + (" and a task that reads for them" if reads else "")
    require_cpus(together.number + reads, f"{who} take")


def clear_checkpoints(together: Workers, request: Mapping[str, Any]) -> None:
    """Delete what a finished training needs no more, and the folder where it is empty then."""
    storage.remove(storage.join(together.checkpoints, _name(request)))
    if storage.is_local(together.checkpoints):
        with suppress(OSError):  # other trainings keep theirs here
            storage.local_path(together.checkpoints).rmdir()


def _work(config: dict[str, Any]) -> Learner | str:
    """What runs in each worker; errors of ours come back as texts, since no second try would mend them."""
    torch.set_num_threads(config["threads"])
    epochs: Epochs = config["epochs"]

    def report(figures: dict[str, float], state: LoopState) -> None:
        first = workers.rank() == 0
        with tempfile.TemporaryDirectory() as folder:
            if first:
                torch.save(vars(state), Path(folder) / STATE)
                epochs.tell(1, figures)
            kept = ray.train.Checkpoint.from_directory(folder) if first else None
            ray.train.report(dict(figures), checkpoint=kept)

    kept = ray.train.get_checkpoint()
    state = _restored(kept) if kept else None
    if state and workers.rank() == 0:
        epochs.tell(state.epoch)
    try:
        learner: Learner = config["fit"](report, state, _prepared)
    except SerRayError as error:
        return str(error)
    del learner.network  # the last checkpoint has it
    return learner


def _prepared(network: nn.Module) -> nn.Module:
    """A network on this worker's device, in step with the other workers' ones."""
    several = {"parallel_strategy_kwargs": {"find_unused_parameters": True}} if workers.world() > 1 else {}
    prepared: nn.Module = prepare_model(network, **several)
    return prepared


def _restored(checkpoint: ray.train.Checkpoint) -> LoopState:
    with checkpoint.as_directory() as folder:
        return LoopState(**torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True))


def _name(request: Mapping[str, Any]) -> str:
    text = json.dumps(request, sort_keys=True, default=str)
    return f"train-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@contextmanager
def _shown(epochs: Epochs) -> Iterator[None]:
    """Show the epochs from a thread of their own, since `fit` does not return until the end."""
    ended = threading.Event()

    def show() -> None:
        while not ended.wait(POLL_S):
            epochs.show()

    shower = threading.Thread(target=show, daemon=True)
    shower.start()
    try:
        yield
    finally:
        ended.set()
        shower.join()
        epochs.show()


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
