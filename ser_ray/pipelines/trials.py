"""Trials: what runs in each, and the record of a search, a file for every trial that ended.

    FOLDER/trials/00007.json

The records are what a search goes on from when it was broken off, and what the next round of a contest
begins with. Nothing is unpickled.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from ray import tune
from ray.exceptions import RayTaskError

from ser_ray import storage
from ser_ray.errors import BadStore, RunFailed, SerRayError
from ser_ray.models.space import Settings
from ser_ray.pipelines.cluster import Progress, own_error
from ser_ray.pipelines.tracking import Tracker

HOPELESS = 5  # failed trials, and none that did not, after which a search is given up
METRIC, WORK, STATE = "ua", "work", "state.pt"


class Tried(NamedTuple):
    """What an objective found after a share of the training: UA of each fold, and what it can go on from."""

    scores: Sequence[float]
    state: Any = None


class Objective(Protocol):
    """What is searched for; sent to the trials."""

    def __call__(self, settings: Settings, shares: Sequence[float], state: Any = None) -> Iterator[Tried]:
        """Try settings after each share of the training, or once where there are no stages."""


@dataclass(frozen=True)
class Trial:
    """One trial that ended.

    Attributes:
        number: from 0, in the order of the ends.
        settings: what the searcher chose.
        status: `done`, `stopped` before the end of its training, or `failed`.
        ua: mean UA of the inner folds, None where failed.
        spread: standard deviation over the folds.
        folds: UA of each.
        share: of the training that it got.
        rungs: work done and UA, at each comparison.
        seconds: that it took.
        ended: when, ISO 8601.
        error: the cause where failed.
    """

    number: int
    settings: Settings
    status: Literal["done", "stopped", "failed"]
    ua: float | None = None
    spread: float | None = None
    folds: list[float] = field(default_factory=list)
    share: float = 0.0
    rungs: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    ended: str = ""
    error: str | None = None


def read_trials(folder: str) -> list[Trial]:
    """The records of a search, in the order of their ends.

    Raises:
        BadStore: a record is corrupt.
    """
    place = storage.join(folder, "trials")
    if not storage.exists(place):
        return []
    found = []
    for file in storage.list_files(place, (".json",)):
        try:
            found.append(Trial(**storage.read_json(file.uri)))
        except (TypeError, ValueError) as error:
            raise BadStore(f"{file.uri} is no record of a trial: {error}. Delete it and go on.") from error
    return sorted(found, key=lambda trial: trial.number)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The finished trial with the highest UA, the earliest of equal ones; a stopped one where none finished.

    Raises:
        RunFailed: all failed.
    """
    tried = [t for t in trials if t.status == "done"] or [t for t in trials if t.ua is not None]
    if not tried:
        last = trials[-1].error if trials else "there was none"
        raise RunFailed(f"every trial failed, the last with: {last}")
    return max(tried, key=lambda trial: (trial.ua, -trial.number))


def try_settings(config: Settings, objective: Objective, work: tuple[int, ...], keeps: bool) -> None:
    """What runs in each trial: it tells Ray Tune what the objective finds.

    Args:
        config: the settings.
        objective: what is raised.
        work: how much of it is done at each comparison; the last is all.
        keeps: Ray may stop it, and go on with its state and other settings.
    """
    began, rungs, state = time.monotonic(), [], None
    kept = tune.get_checkpoint() if keeps else None
    if kept:
        import torch  # here, because trials of classical families start without it

        with kept.as_directory() as at:
            last = torch.load(Path(at) / STATE, map_location="cpu", weights_only=True)
        rungs, state, began = last["rungs"], last["state"], began - last["seconds"]

    def figures(**found: Any) -> dict[str, Any]:
        copied = [list(rung) for rung in rungs]
        return {**found, "rungs": copied, "seconds": time.monotonic() - began}

    left = work[len(rungs) :]
    try:
        for tried, reached in zip(objective(config, [w / work[-1] for w in left], state), left, strict=False):
            scores = [float(score) for score in tried.scores]
            rungs.append([reached, float(np.mean(scores))])
            told = figures(**{METRIC: rungs[-1][1], WORK: reached}, folds=scores, share=reached / work[-1])
            if keeps:
                _tell_with_state(told, tried.state)
            else:
                tune.report(told)
    except Exception as error:  # whatever a family's libraries raise on settings that they do not like
        if keeps:
            raise  # the population goes on without it
        kind = "" if isinstance(error, SerRayError) else f"{type(error).__name__}: "
        cause = kind + " ".join(str(error).split())
        # As a result, since Ray would start a new process after an error.
        tune.report(figures(**{METRIC: math.nan, WORK: work[-1]}, error=cause))


def _tell_with_state(told: dict[str, Any], state: Any) -> None:
    import torch

    with tempfile.TemporaryDirectory() as at:
        torch.save({**told, "state": state}, Path(at) / STATE)
        tune.report(told, checkpoint=tune.Checkpoint.from_directory(at))


class Records(tune.Callback):  # type: ignore[misc]
    """Writes each trial of a run of Ray Tune down as it ends.

    Args:
        folder: of the search.
        progress: told the number of trials, of `total`.
        track: told the UA of each trial and the best so far, in place of the figures of epochs.
    """

    def __init__(self, folder: str, progress: Progress, track: Tracker | None = None) -> None:
        self.folder, self.progress, self.track, self.total = folder, progress, track, 0
        self.trials = read_trials(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return tune.Callback, ()  # Ray keeps a copy for a restart that we never ask of it

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write down a trial that came to its end, or was stopped before it."""
        result = trial.last_result or {}
        if METRIC not in result:
            return None  # the time was up before it found anything
        if "error" in result:
            return self._failed(trial.config, result["error"], result["seconds"])
        return self._add(
            settings=trial.config,
            status="done" if result["share"] == 1 else "stopped",
            ua=result[METRIC],
            spread=float(np.std(result["folds"])),
            **{name: result[name] for name in ("folds", "share", "rungs", "seconds")},
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write down a trial whose process died."""
        error = trial.get_pickled_error()
        cause = str(own_error(error)) if isinstance(error, RayTaskError) else " ".join(str(error).split())
        self._failed(trial.config, cause)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Give up where nothing else happens than failures."""
        if len(self.trials) >= HOPELESS and all(t.status == "failed" for t in self.trials):
            last = self.trials[-1].error
            raise RunFailed(f"the first {len(self.trials)} trials all failed, the last with: {last}")

    def checked(self) -> list[Trial]:
        """All trials.

        Raises:
            RunFailed: none found anything.
        """
        best_of(self.trials)
        return self.trials

    def _failed(self, settings: Settings, cause: str, seconds: float = 0.0) -> None:
        self._add(settings=settings, status="failed", error=cause, seconds=seconds)

    def _add(self, **found: Any) -> None:
        number = 1 + max((t.number for t in self.trials), default=-1)
        ended = datetime.now(UTC).isoformat(timespec="milliseconds")
        trial = Trial(number=number, ended=ended, **found)
        storage.write_json(storage.join(self.folder, "trials", f"{number:05d}.json"), asdict(trial))
        self.trials.append(trial)
        self.progress(len(self.trials), self.total, "trials")
        if self.track and trial.ua is not None:
            best = best_of(self.trials).ua
            self.track({"epoch": len(self.trials), "ua": trial.ua, "best_ua": best or 0.0})
