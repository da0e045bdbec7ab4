"""Tuning a fusion: which members, which rule, and how far their probabilities are evened out before it.

The members are trained once; the search then works on what they predicted out of fold, and is measured, where
an outer protocol is wanted, on folds in which neither members nor fusion saw the test rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from ser_ray import storage
from ser_ray.corpora.splits import check_protocol, split
from ser_ray.errors import UsageError
from ser_ray.fusion import RULES, STACKING, Ensemble, Fusion, fit_fusion, save_ensemble
from ser_ray.fusion.ensemble import aligned
from ser_ray.models import Model, load_model, save_model
from ser_ray.models.family import Tunable
from ser_ray.models.normalisation import NONE, spec_of
from ser_ray.models.space import Settings, Space, space_of
from ser_ray.models.training import INNER_FOLDS
from ser_ray.pipelines.candidates import Candidate, candidates_of
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.evaluate import common_rows, datasets_of, out_of_fold_of, predicted_members
from ser_ray.pipelines.objectives import MEMBER, FusionObjective, chosen_members
from ser_ray.pipelines.search import SearchOptions, search
from ser_ray.pipelines.tracking import Tracker
from ser_ray.pipelines.train import train, versions
from ser_ray.pipelines.trials import Trial, best_of
from ser_ray.pipelines.tuned import keep_request, outer_summary, summary_of, write_outputs

FUSION = "fusion"  # what the command line calls it


@dataclass(frozen=True)
class FusionRequest:
    """What is tuned, on what, and how.

    Attributes:
        members: families `a,b,c`, or an ensemble directory, whose members are trained anew.
        space: what a user makes of the space; see `models.space.space_of`.
        normalise: specification of the members' normalisation.
        inner_folds: of the members' out-of-fold predictions, and of each trial.
        outer: protocol of the outer folds; None: only the search on everything.
        outer_folds: for outer protocols that divide into a number of parts.
        options: how the space is searched.
    """

    members: str
    space: Mapping[str, Any] | None = None
    normalise: str = NONE
    inner_folds: int = INNER_FOLDS
    outer: str | None = None
    outer_folds: int = 5
    options: SearchOptions = field(default_factory=SearchOptions)


def fusion_of(members: Sequence[str]) -> Tunable:
    """The hyperparameters of a fusion of these members."""
    return Tunable(
        name=FUSION,
        defaults={**{MEMBER + name: True for name in members}, "rule": "paper", "temperature": 1.0},
        space={
            **{MEMBER + name: {"type": "choice", "choices": [True, False]} for name in members},
            "rule": {"type": "choice", "choices": [*RULES, STACKING]},
            "temperature": {"type": "log", "low": 0.25, "high": 4.0},
        },
    )


def tune_fusion(
    request: FusionRequest,
    manifest: pa.Table,
    store: str,
    out: str,
    progress: Progress = quiet,
    track: Tracker | None = None,
    anew: bool = False,
) -> dict[str, Any]:
    """Train the members, search for their fusion, measure by the outer folds, write the best ensemble.

    Args:
        request: what is tuned.
        manifest: utterances; those without an emotion are left out.
        store: feature store; what it lacks is extracted first.
        out: folder of the search; one with the same request is gone on with, its members too.
        progress: told how far extraction, members and trials are.
        track: told the UA of each trial.
        anew: delete what `out` holds, once the request is found to be sound.

    Returns:
        What tuning.json holds.

    Raises:
        UnknownName, UsageError: no such family, setting or protocol; fewer than two members.
        OutputConflict: `out` has another request.
        RunFailed: every trial failed.
    """
    candidates = candidates_of(request.members, normalise=request.normalise)
    if len(candidates) < 2:
        raise UsageError("a fusion needs two members or more. Name families, such as svm,xgboost.")
    if request.inner_folds < 2:
        raise UsageError("a search needs 2 inner folds or more to compare by.")
    if request.outer:
        check_protocol(request.outer)
    names, seed = list(candidates), request.options.seed
    tunable = fusion_of(names)
    space = space_of(tunable, request.space or {})
    default = {name: tunable.defaults[name] for name in space.searched}
    keep_request(request, manifest, out, anew)
    connect()
    started = time.monotonic()
    members = {
        name: _member(candidate, manifest, store, storage.join(out, "members", name), request, progress)
        for name, candidate in candidates.items()
    }
    p, y, groups, ids = aligned(members)
    objective = FusionObjective(names, p, y, groups, request.inner_folds, seed, space.fixed)
    trials = search(objective, space, out, request.options, first=[default], progress=progress, track=track)
    settings = {**tunable.defaults, **space.fixed, **best_of(trials).settings}
    outer = None
    if request.outer:
        outer = _outer(request, candidates, space, manifest, store, out, default, progress)
    save_ensemble(_ensemble(members, settings, objective), storage.join(out, "best"))
    chosen = {"members": [names[k] for k in chosen_members(names, settings)]}
    chosen |= {name: settings[name] for name in ("rule", "temperature")}
    storage.write_bytes(storage.join(out, "best.yaml"), yaml.safe_dump(chosen, sort_keys=False).encode())
    first = next(iter(members.values()))
    summary = {
        "family": FUSION,
        "corpora": list(first.card["trained_on"]["corpora"]),
        "utterances": len(ids),
        "labels": list(first.labels),
        "protocol": f"{request.inner_folds} inner folds of out-of-fold predictions, "
        f"speakers {'mixed' if groups is None else 'apart'}",
        **summary_of(request.options, space, trials, default),
        "outer": outer,
        "wall_s": round(time.monotonic() - started, 2),
        "versions": versions(),
    }
    summary["best"]["settings"] = settings
    if summary["default"]:
        summary["default"]["settings"] = {**tunable.defaults, **space.fixed, **default}
    write_outputs(summary, trials, out)
    return summary


def _member(
    candidate: Candidate,
    manifest: pa.Table,
    store: str,
    place: str,
    request: FusionRequest,
    progress: Progress,
) -> Model:
    """A member, trained now or in the run that was broken off."""
    if storage.exists(place):
        return load_model(place)
    model, _ = train(
        candidate.family,
        manifest,
        store,
        [feature.spec for feature in candidate.features],
        settings=candidate.settings,
        seed=request.options.seed,
        progress=progress,
        normalise=spec_of(candidate.normalisation),
        inner_folds=request.inner_folds,
    )
    save_model(model, place)
    return model


def _fitted(objective: FusionObjective, settings: Mapping[str, Any]) -> tuple[list[int], Fusion]:
    """The members that settings take in, all where they take in none, and their fusion."""
    chosen = chosen_members(objective.members, settings) or list(range(len(objective.members)))
    p, temperature = objective.p[chosen], settings["temperature"]
    return chosen, fit_fusion(settings["rule"], p, objective.y, objective.groups, objective.seed, temperature)


def _ensemble(members: Mapping[str, Model], settings: Settings, objective: FusionObjective) -> Ensemble:
    chosen, fusion = _fitted(objective, settings)
    kept = {name: members[name] for number, name in enumerate(objective.members) if number in chosen}
    return Ensemble(kept, fusion, {"seed": objective.seed, "versions": versions()})


def _outer(
    request: FusionRequest,
    candidates: Mapping[str, Candidate],
    space: Space,
    manifest: pa.Table,
    store: str,
    out: str,
    default: Settings,
    progress: Progress,
) -> dict[str, Any]:
    """Members and search anew in each outer fold; default and tuned fusion measured on its test rows."""
    names, seed = list(candidates), request.options.seed
    data = datasets_of(candidates, manifest, store, progress)
    first = next(iter(data.values()))
    assert request.outer is not None
    divided = split(request.outer, first.rows, seed, request.outer_folds)
    results = predicted_members(candidates, data, divided, seed, request.inner_folds, progress)
    found: list[Trial] = []
    tested: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for number, fold in enumerate(divided, 1):
        members = [results[fold.name, name] for name in names]
        rows, outer = common_rows(members), np.stack([member.tested for member in members])
        within = FusionObjective(
            names,
            out_of_fold_of(members, rows),
            first.y[rows],
            None if first.speakers is None else first.speakers[rows],
            request.inner_folds,
            seed,
            space.fixed,
        )
        folder = storage.join(out, "outer", str(number))
        best = best_of(search(within, space, folder, request.options, first=[default], progress=progress))
        found.append(best)
        for settings, parts in zip((default, best.settings), tested, strict=True):
            chosen, fusion = _fitted(within, {**fusion_of(names).defaults, **space.fixed, **settings})
            parts.append(fusion(outer[chosen]))
    p, q = (np.concatenate(parts) for parts in tested)
    return outer_summary(request.outer, first.y, first.labels, first.speakers, divided, found, p, q)
