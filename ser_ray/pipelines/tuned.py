"""What a search leaves behind: the request that it answers, its figures, the table of its trials."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.splits import Fold
from ser_ray.evaluation import Interval, compare, measure, unweighted_accuracy
from ser_ray.models.space import Settings, Space
from ser_ray.pipelines import request as request_of
from ser_ray.pipelines.search import SearchOptions, importance
from ser_ray.pipelines.trials import Trial, best_of

TUNING = "tuning.json"


def keep_request(request: Any, manifest: pa.Table, out: str, anew: bool = False) -> None:
    """Write down what is asked for, or make sure that a search which is gone on with was asked for it.

    More samples and more time may be asked for.

    Args:
        request: what is asked for, a dataclass.
        manifest: of what.
        out: folder of the search.
        anew: delete what is there first.

    Raises:
        OutputConflict: it was asked for something else.
    """
    wanted = asdict(request)
    for name in ("samples", "time_s"):
        del wanted["options"][name]
    request_of.keep_request(wanted, manifest, out, "a search", anew)


def summary_of(
    options: SearchOptions, space: Space, trials: Sequence[Trial], default: Settings
) -> dict[str, Any]:
    """What tuning.json says of any search."""
    best, at_default = (
        best_of(trials),
        next((t for t in trials if t.settings == default and t.status == "done"), None),
    )
    return {
        "seed": options.seed,
        "searcher": options.searcher,
        "scheduler": options.scheduler,
        "space": {name: dict(dimension) for name, dimension in space.searched.items()},
        "fixed": dict(space.fixed),
        "trials": {s: Counter(t.status for t in trials)[s] for s in ("done", "stopped", "failed")},
        "default": None
        if at_default is None
        else {"settings": default, "ua": at_default.ua, "spread": at_default.spread},
        "best": {
            "trial": f"{best.number:05d}",
            "settings": {**space.fixed, **best.settings},
            "ua": best.ua,
            "spread": best.spread,
        },
        "importance": importance(space, trials),
    }


def write_outputs(summary: Mapping[str, Any], trials: Sequence[Trial], out: str) -> None:
    """Write tuning.json and trials.parquet."""
    table = pa.table(
        {
            "trial": [f"{t.number:05d}" for t in trials],
            "status": [t.status for t in trials],
            "ua": pa.array([t.ua for t in trials], pa.float64()),
            "spread": pa.array([t.spread for t in trials], pa.float64()),
            "folds": pa.array([t.folds for t in trials], pa.list_(pa.float64())),
            "share": [t.share for t in trials],
            "seconds": [t.seconds for t in trials],
            "ended": pa.array([datetime.fromisoformat(t.ended) for t in trials], pa.timestamp("us", "UTC")),
            "error": pa.array([t.error for t in trials], pa.string()),
            "settings": [json.dumps(t.settings) for t in trials],
        }
    )
    storage.write_parquet(storage.join(out, "trials.parquet"), table)
    storage.write_json(storage.join(out, TUNING), dict(summary))


def outer_summary(
    protocol: str,
    y: np.ndarray,
    labels: tuple[str, ...],
    speakers: np.ndarray | None,
    divided: Sequence[Fold],
    found: Sequence[Trial],
    default: np.ndarray,
    tuned: np.ndarray,
) -> dict[str, Any]:
    """What tuning.json says of the outer folds, their test rows one after the other."""
    rows = np.concatenate([fold.test for fold in divided])
    truth, who = y[rows], None if speakers is None else speakers[rows]
    ends = np.cumsum([len(fold.test) for fold in divided])
    parts = [slice(end - len(fold.test), end) for fold, end in zip(divided, ends, strict=True)]
    return {
        "protocol": protocol,
        "utterances": len(rows),
        "default": {"ua": _listed(measure(truth, default, labels, who).ua)},
        "tuned": {"ua": _listed(measure(truth, tuned, labels, who).ua)},
        "difference": _listed(compare(truth, tuned, default, who)),
        "folds": [
            {
                "fold": fold.name,
                "settings": best.settings,
                "inner_ua": best.ua,
                "default_ua": unweighted_accuracy(truth[part], default[part]),
                "tuned_ua": unweighted_accuracy(truth[part], tuned[part]),
            }
            for fold, best, part in zip(divided, found, parts, strict=True)
        ],
    }


def _listed(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]
