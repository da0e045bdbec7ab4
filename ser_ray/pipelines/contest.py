"""A contest of families under one budget, by successive halving: each round the better half searches on.

DIR/svm/trials/ ...    the records of each family, which its next round goes on from
   /winners.json       the table
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.errors import RunFailed, SerRayError, UsageError
from ser_ray.models import family
from ser_ray.pipelines.cluster import Progress, quiet
from ser_ray.pipelines.objectives import Loaded
from ser_ray.pipelines.trials import Trial, best_of
from ser_ray.pipelines.tune import TuneRequest, prepare, tune
from ser_ray.pipelines.tuned import keep_request

WINNERS = "winners.json"


@dataclass(frozen=True)
class Place:
    """Where a family came in.

    Attributes:
        family: its name.
        rounds: that it took part in.
        trials: that it was given, with those that failed.
        ua: of its best trial, mean over the inner folds; None where all failed.
        spread: of that trial, over the folds.
        settings: that it chose.
        seconds: of computing, over all trials.
        error: why it is out, where it never found anything.
    """

    family: str
    rounds: int
    trials: int
    ua: float | None = None
    spread: float | None = None
    settings: dict[str, Any] | None = None
    seconds: float = 0.0
    error: str | None = None


def contest(
    families: Sequence[str],
    request: TuneRequest,
    manifest: pa.Table,
    store: str,
    out: str,
    progress: Progress = quiet,
    anew: bool = False,
) -> dict[str, Any]:
    """Let families search under one budget, and train the winner.

    Args:
        families: names.
        request: of each; its `family` is not looked at, its samples and its time are those of all together,
            and its `space` has that of each family by name.
        manifest: utterances; those without an emotion are left out.
        store: feature store; what it lacks is extracted first.
        out: folder of the contest; one with the same request is gone on with.
        progress: told how far extraction and trials are.
        anew: delete what `out` holds, once the request is found to be sound.

    Returns:
        What winners.json holds: the places, best first, and where the winner's model is.

    Raises:
        UnknownName: no such family.
        UsageError: too few samples for one trial of each in each round.
        OutputConflict: `out` has another request.
        RunFailed: no family found anything.
    """
    for name in families:
        family(name)
    rounds = max(1, math.ceil(math.log2(max(len(families), 1))))
    samples, time_s = request.options.samples, request.options.time_s
    if samples // rounds < len(families):
        raise UsageError(
            f"{samples} trials in {rounds} rounds are too few for {len(families)} families. "
            f"Give {rounds * len(families)} or more."
        )
    spaces = dict(request.space or {})
    if unknown := sorted(set(spaces) - set(families)):
        raise UsageError(f"the spaces of a contest are named by family; {unknown[0]!r} does not take part.")
    keep_request(replace(request, family=",".join(families)), manifest, out, anew)
    started, known = time.monotonic(), Loaded()
    given = dict.fromkeys(families, 0)
    trials: dict[str, list[Trial]] = {name: [] for name in families}
    errors: dict[str, str] = {}
    took: dict[str, int] = dict.fromkeys(families, 0)
    searching = list(families)
    for number in range(rounds):
        share = samples // rounds // len(searching)
        for name in searching:
            given[name] += share
            took[name] = number + 1
            limit = time_s and time_s / rounds / len(searching)
            options = replace(request.options, samples=given[name], time_s=limit)
            try:
                own = replace(request, family=name, space=spaces.get(name), options=options)
                prepared = prepare(own, manifest, store, progress, known)
                trials[name] = prepared.search(storage.join(out, name), options, progress)
            except SerRayError as error:  # of this family alone: features, settings, every trial
                errors[name] = str(error)
        searching = [name for name in searching if name not in errors]
        if not searching:
            raise RunFailed(f"no family found anything, the last: {errors[list(errors)[-1]]}")
        searching.sort(key=lambda name: -(best_of(trials[name]).ua or 0.0))
        searching = searching[: max(1, math.ceil(len(searching) / 2))]
    winner = searching[0]
    options = replace(request.options, samples=given[winner], time_s=None)
    own = replace(request, family=winner, space=spaces.get(winner), options=options)
    tune(own, manifest, store, storage.join(out, winner), progress)
    places = [_place(name, took[name], trials[name], errors.get(name)) for name in families]
    summary = {
        "winner": winner,
        "model": storage.join(out, winner, "best"),
        "places": [vars(place) for place in sorted(places, key=lambda p: -(p.ua or -1.0))],
        "wall_s": round(time.monotonic() - started, 2),
    }
    storage.write_json(storage.join(out, WINNERS), summary)
    return summary


def _place(name: str, rounds: int, trials: Sequence[Trial], error: str | None) -> Place:
    seconds = round(sum(t.seconds for t in trials), 2)
    if error:
        return Place(name, rounds, len(trials), seconds=seconds, error=error)
    best = best_of(trials)
    return Place(name, rounds, len(trials), best.ua, best.spread, best.settings, seconds)
