"""Where the members of an ensemble are asked: in this process, or the deep ones on a cluster's GPUs.

One actor a GPU holds the deep members and the features of pre-trained networks, loaded once. The CPU
workers decode, extract, normalise, ask the classical members and fuse as ever; only a deep member's rows
go to an actor, and only its probabilities come back, so the figures are those of a run without GPUs.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import ray
import torch
from ray.exceptions import RayError, RayTaskError

from ser_ray.errors import RunFailed
from ser_ray.features import Feature
from ser_ray.features.feature import Array
from ser_ray.features.inference import exact
from ser_ray.fusion import Ensemble, load_ensemble
from ser_ray.models import Model, family
from ser_ray.models.family import Classifier
from ser_ray.pipelines.cluster import connect, count_gpus, own_error

SLICE = 256  # segments that pass through the object store together
RESTARTS = 3  # of an actor whose process died, and of the question that it was asked meanwhile
START_S = 300.0  # until an actor has its GPU and its weights
ANSWER_S = 600.0  # less than cluster.NO_PROGRESS_S, and other workers may be served first


def load_unchanged(uri: str, fingerprint: str) -> Ensemble:
    """The ensemble at `uri`; raises RunFailed where it is another than the run began with."""
    ensemble, found = load_ensemble(uri)
    if found != fingerprint:
        raise RunFailed(f"the ensemble {uri} changed while the run was going on. Choose another -o.")
    return ensemble


@contextmanager
def gpu_pool(ensemble: Ensemble, uri: str, fingerprint: str, most: int) -> Iterator[GpuPool | None]:
    """Actors on the cluster's GPUs while it is open; None without GPUs, or where no member has a use for one.

    Args:
        ensemble: what is in `uri`.
        uri: ensemble directory, within reach of the whole cluster.
        fingerprint: of the ensemble.
        most: actors that are of use at once.

    Raises:
        BadModel: the ensemble cannot be loaded on a machine with a GPU.
        RunFailed: no GPU came free.
    """
    connect()
    gpus = min(count_gpus(), most)
    if not gpus or not (any(map(_deep, ensemble.members.values())) or _accelerated(ensemble)):
        yield None
        return
    actors = [GpuActor.remote(uri, fingerprint) for _ in range(gpus)]  # type: ignore[attr-defined]
    try:
        yield GpuPool(_started(actors))
    finally:
        for actor in actors:
            with suppress(RayError):  # the cluster may be what broke off
                ray.kill(actor)


@dataclass(frozen=True)
class GpuPool:
    """The actors as a worker sees them.

    Attributes:
        actors: handles of `GpuActor`.
        slice: segments that are sent together.
    """

    actors: tuple[Any, ...]
    slice: int = SLICE

    def ensemble(self, ensemble: Ensemble) -> Ensemble:
        """The same ensemble, its deep members without weights of their own: the actors answer for them."""
        members = {
            name: replace(model, classifier=cast(Classifier, _Remote(self, name, model.classifier.classes_)))
            if _deep(model)
            else model
            for name, model in ensemble.members.items()
        }
        return replace(ensemble, members=members)

    def predict(self, member: str, X: np.ndarray) -> np.ndarray:
        """What a deep member's classifier gives for rows that are normalised already [rows, classes]."""
        parts = [X[i : i + self.slice] for i in range(0, len(X), self.slice)]
        return np.concatenate([self._ask("predict", member, part) for part in parts])

    def batch(self, feature: Feature, waves: Sequence[Array]) -> list[Array]:
        """`feature.batch(waves)`, where it is fastest."""
        if not feature.accelerated:
            return feature.batch(waves)
        found: list[Array] = self._ask("batch", feature.fingerprint, list(waves))
        return found

    def _ask(self, question: str, *arguments: Any) -> Any:
        """An actor's answer; what it raised is raised here as if it had been asked in this process."""
        actor = random.choice(self.actors)
        try:
            return ray.get(getattr(actor, question).remote(*arguments), timeout=ANSWER_S)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise _lost(error) from error


@ray.remote(num_cpus=0, num_gpus=1, max_restarts=RESTARTS, max_task_retries=RESTARTS)  # type: ignore[untyped-decorator]
class GpuActor:
    """What Ray runs on a GPU. It loads when first asked: errors of its construction would lose their kind."""

    def __init__(self, uri: str, fingerprint: str) -> None:
        self.uri, self.fingerprint = uri, fingerprint
        self.classifiers: dict[str, Classifier] = {}  # of the deep members
        self.features: dict[str, Feature] = {}  # accelerated ones, by their fingerprints

    def load(self) -> None:
        """Load what a GPU is for, unless it is there."""
        if not (self.classifiers or self.features):
            ensemble = load_unchanged(self.uri, self.fingerprint)
            self.classifiers = {n: model.classifier for n, model in ensemble.members.items() if _deep(model)}
            self.features = {feature.fingerprint: feature for feature in _accelerated(ensemble)}

    def predict(self, member: str, X: np.ndarray) -> np.ndarray:
        """Probabilities by a deep member's classifier [rows, classes]."""
        self.load()
        with _computing():
            return self.classifiers[member].predict_proba(X)

    def batch(self, feature: str, waves: list[Array]) -> list[Array]:
        """An accelerated feature of each wave."""
        self.load()
        with _computing():
            return self.features[feature].batch(waves)


@dataclass(frozen=True)
class _Remote:
    """A deep member's classifier as a worker sees it: it answers, and learns nothing."""

    pool: GpuPool
    member: str
    classes_: np.ndarray

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.pool.predict(self.member, X)


def _deep(model: Model) -> bool:
    return family(model.family).deep


def _accelerated(ensemble: Ensemble) -> list[Feature]:
    return [feature for feature in ensemble.features if feature.accelerated]


@contextmanager
def _computing() -> Iterator[None]:
    """Compute as exactly as a CPU; leave the process where a CUDA error made it useless for good."""
    try:
        with exact():
            yield
    except torch.AcceleratorError:
        os._exit(1)  # Ray starts another, and asks it the same


def _started(actors: Sequence[Any]) -> tuple[Any, ...]:
    """The actors that have a GPU and their weights in time; others may be held by another job."""
    asked = {actor.load.remote(): actor for actor in actors}
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=START_S)
    if not ready:
        taken = f"none of {len(actors)} GPUs came free in {START_S:.0f} s"
        raise RunFailed(f"{taken}. Start again when the jobs that hold them are done.", passing=True)
    try:
        ray.get(ready)
    except RayTaskError as error:
        raise own_error(error) from error
    except RayError as error:
        raise _lost(error) from error
    return tuple(asked[answer] for answer in ready)


def _lost(error: RayError) -> RunFailed:
    """What to do where an actor does not come back."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
    return RunFailed(
        f"a GPU worker was started {RESTARTS + 1} times and died, or did not answer: {reason}. "
        "Look for memory that ran out on its machine or GPU, and start the run again.",
        passing=True,
    )
