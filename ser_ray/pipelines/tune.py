"""Tuning a family: which settings recognise best on speakers that each inner fold leaves out.

The inner folds are drawn once, and every trial is all of them. With an outer protocol the whole search is
made anew in each of its folds, on its training rows alone, and what it chose is measured on the test rows.

    DIR/request.json          what was asked for: a search that is resumed must be the same
       /trials/               a record of each trial
       /outer/1/trials/ ...   of the search in each outer fold
       /trials.parquet        the records as a table
       /best.yaml             what `ser-ray train --config` takes
       /best/                 the model trained with it
       /tuning.json           all figures
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from ser_ray import storage
from ser_ray.corpora.manifest import labelled
from ser_ray.corpora.splits import Fold, check_protocol, split
from ser_ray.errors import UsageError
from ser_ray.features import Band, Feature
from ser_ray.models import check_source, family, save_model
from ser_ray.models import normalisation as normalisations
from ser_ray.models.family import Family
from ser_ray.models.normalisation import NONE
from ser_ray.models.space import FEATURE, Settings, Space, space_of
from ser_ray.models.training import INNER_FOLDS
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.dataset import check_normalisation, chosen_features, find_utterances
from ser_ray.pipelines.objectives import FamilyObjective, Key, Loaded, Variants, key_of, split_settings
from ser_ray.pipelines.parallel import parallel_map
from ser_ray.pipelines.search import SearchOptions, search
from ser_ray.pipelines.tracking import Tracker
from ser_ray.pipelines.train import train, versions
from ser_ray.pipelines.trials import Trial, best_of
from ser_ray.pipelines.tuned import keep_request, outer_summary, summary_of, write_outputs

BEST, BEST_YAML = "best", "best.yaml"


@dataclass(frozen=True)
class TuneRequest:
    """What is tuned, on what, and how; see `tune`.

    Attributes:
        family: its name.
        features: specifications in place of the family's own.
        band: of the features; None keeps what they say.
        space: what a user makes of the family's space; see `models.space.space_of`.
        normalise: specification of the normalisation.
        inner_folds: of each trial.
        outer: protocol of the outer folds; None: only the search on everything.
        outer_folds: for outer protocols that divide into a number of parts.
        options: how the space is searched.
    """

    family: str
    features: Sequence[str] = ()
    band: Band | None = None
    space: Mapping[str, Any] | None = None
    normalise: str = NONE
    inner_folds: int = INNER_FOLDS
    outer: str | None = None
    outer_folds: int = 5
    options: SearchOptions = field(default_factory=SearchOptions)


@dataclass(frozen=True)
class Prepared:
    """A family ready to be searched.

    Attributes:
        kind: the family.
        space: what is searched of it.
        features: for each combination of their parameters that is searched.
        default: the defaults of what is searched.
        objective: what is raised.
    """

    kind: Family
    space: Space
    features: Mapping[Key, tuple[Feature, ...]]
    default: Settings
    objective: FamilyObjective

    def search(
        self,
        folder: str,
        options: SearchOptions,
        progress: Progress = quiet,
        rows: np.ndarray | None = None,
        track: Tracker | None = None,
    ) -> list[Trial]:
        """Search, or go on with a search, on some of the utterances or on all; see `search.search`."""
        objective = self.objective if rows is None else replace(self.objective, rows=rows)
        staged, deep = bool(self.kind.grow), self.kind.deep
        return search(objective, self.space, folder, options, staged, deep, [self.default], progress, track)


def tune(
    request: TuneRequest,
    manifest: pa.Table,
    store: str,
    out: str,
    progress: Progress = quiet,
    track: Tracker | None = None,
    anew: bool = False,
) -> dict[str, Any]:
    """Search, measure by the outer folds where wanted, train the best, and write all of it.

    Args:
        request: what is tuned.
        manifest: utterances; those without an emotion are left out.
        store: feature store; what it lacks is extracted first.
        out: folder of the search; one with the same request is gone on with.
        progress: told how far extraction and trials are.
        track: told the UA of each trial.
        anew: delete what `out` holds, once the request is found to be sound.

    Returns:
        What tuning.json holds.

    Raises:
        UnknownName, UsageError: a name, setting or feature that does not exist; no fold to search by.
        OutputConflict: `out` has another request.
        BadManifest: too few emotions or utterances.
        RunFailed: every trial failed.
    """
    started = time.monotonic()
    prepared = prepare(request, manifest, store, progress, out=out, anew=anew)
    kind, space, data = prepared.kind, prepared.space, prepared.objective.variants.data
    trials = prepared.search(out, request.options, progress, track=track)
    outer = _outer(request, prepared, out, progress) if request.outer else None
    settings = {**space.fixed, **best_of(trials).settings}
    own, _ = split_settings(settings)
    specs = [feature.spec for feature in prepared.features[key_of(settings)]]
    chosen = {
        "family": kind.name,
        "features": specs,
        "settings": kind.settings(own),
        "normalise": request.normalise,
    }
    storage.write_bytes(storage.join(out, BEST_YAML), yaml.safe_dump(chosen, sort_keys=False).encode())
    model, _ = train(
        kind.name,
        manifest,
        store,
        specs,
        settings=own,
        seed=request.options.seed,
        progress=progress,
        normalise=request.normalise,
    )
    save_model(model, storage.join(out, BEST))
    apart = data.speakers is not None and len(set(data.speakers)) >= 3
    summary = {
        "family": kind.name,
        "corpora": sorted({c or "unnamed" for c in data.recorded.rows["corpus"].to_pylist()}),
        "utterances": len(data.recorded.y),
        "labels": list(data.labels),
        "protocol": f"{request.inner_folds} inner folds, speakers {'apart' if apart else 'mixed'}",
        **summary_of(request.options, space, trials, prepared.default),
        "outer": outer,
        "wall_s": round(time.monotonic() - started, 2),
        "versions": versions(),
    }
    for which, chosen in (("best", best_of(trials).settings), ("default", prepared.default)):
        if summary[which]:
            own, of_features = split_settings({**space.fixed, **chosen})
            named = {FEATURE + name: value for name, value in of_features.items()}
            summary[which]["settings"] = {**kind.settings(own), **named}
    write_outputs(summary, trials, out)
    return summary


def prepare(
    request: TuneRequest,
    manifest: pa.Table,
    store: str,
    progress: Progress = quiet,
    known: Loaded | None = None,
    out: str | None = None,
    anew: bool = False,
) -> Prepared:
    """Check a request, and bring the features that it reads into the object store.

    Args:
        request: what is tuned.
        manifest: utterances; those without an emotion are left out.
        store: feature store; what it lacks is extracted first.
        progress: told how far extraction is.
        known: features that are in the object store already; what is new joins them.
        out: folder of the search, which is made sure to be of this request; None: not looked at.
        anew: delete what it holds first.

    Raises:
        UnknownName, UsageError, OutputConflict, BadManifest: see `tune`.
    """
    if request.inner_folds < 2:
        raise UsageError("a search needs 2 inner folds or more to compare by.")
    if request.outer:
        check_protocol(request.outer)
    kind = family(request.family)
    space = space_of(kind, request.space or {})
    usual = chosen_features(kind.name, request.features, request.band)
    chosen = feature_variants(space, usual)
    normalisation = normalisations.get(request.normalise)
    rows = labelled(manifest, "tuning")
    one_of_them, _ = split_settings({**space.fixed, **next(space.grid(2))})
    for features in chosen.values():
        check_normalisation(normalisation, features, rows)
        check_source(kind, kind.settings(one_of_them), features, normalisation)
    if out is not None:
        keep_request(request, manifest, out, anew)
    connect()
    everything = list(dict.fromkeys(feature for features in chosen.values() for feature in features))
    data = find_utterances(manifest, store, everything, progress)
    objective = FamilyObjective(
        kind.name,
        space.fixed,
        Variants.loaded(data, store, chosen, {} if known is None else known),
        np.arange(len(data.y)),
        request.inner_folds,
        request.options.seed,
        normalisation,
    )
    return Prepared(kind, space, chosen, defaults_of(kind, space, usual), objective)


def feature_variants(space: Space, chosen: Sequence[Feature]) -> dict[Key, tuple[Feature, ...]]:
    """The features for each combination of their parameters that is searched.

    Raises:
        UsageError: a parameter that none of the features has, or a value that will not do.
    """
    parameters = {k: v["choices"] for k, v in space.searched.items() if k.startswith(FEATURE)}
    parameters |= {k: [v] for k, v in space.fixed.items() if k.startswith(FEATURE)}
    names = [name.removeprefix(FEATURE) for name in sorted(parameters)]
    for name in names:
        if not any(name in (f.name for f in fields(feature)) for feature in chosen):
            raise UsageError(f"none of {', '.join(f.spec for f in chosen)} has a parameter {name!r}.")
    return {
        tuple(zip(names, values, strict=True)): tuple(
            feature.changed(**{n: v for n, v in zip(names, values, strict=True) if hasattr(feature, n)})
            for feature in chosen
        )
        for values in product(*(parameters[FEATURE + name] for name in names))
    }


def defaults_of(kind: Family, space: Space, chosen: Sequence[Feature]) -> Settings:
    """The defaults of what is searched; of a feature's parameter what the first feature that has it says."""

    def default(name: str) -> Any:
        own = name.removeprefix(FEATURE)
        return (
            kind.defaults[name] if own == name else next(getattr(f, own) for f in chosen if hasattr(f, own))
        )

    return {name: default(name) for name in space.searched}


def _outer(request: TuneRequest, prepared: Prepared, out: str, progress: Progress) -> dict[str, Any]:
    """Search on the training rows of each outer fold; default and tuned measured on its test rows."""
    objective, data = prepared.objective, prepared.objective.variants.data
    assert request.outer is not None
    divided = split(request.outer, data.rows, request.options.seed, request.outer_folds)
    found = [
        best_of(
            prepared.search(storage.join(out, "outer", str(number)), request.options, progress, fold.train)
        )
        for number, fold in enumerate(divided, 1)
    ]
    tasks = [
        (fold, settings)
        for fold, best in zip(divided, found, strict=True)
        for settings in (prepared.default, best.settings)
    ]

    def test(task: tuple[Fold, Settings]) -> np.ndarray:
        fold, settings = task
        learner = replace(objective, rows=fold.train).learner(settings)
        fitted, voices = learner.learn(np.arange(len(fold.train))), data.voices
        X = objective.variants.of({**objective.fixed, **settings})[fold.test]
        return fitted.predict_proba(X, None if voices is None else voices[fold.test], len(data.labels))

    tested = list(parallel_map(test, tasks, lambda task: prepared.kind.deep))
    p, q = np.concatenate(tested[::2]), np.concatenate(tested[1::2])  # default, tuned
    return outer_summary(request.outer, data.y, data.labels, data.speakers, divided, found, p, q)
