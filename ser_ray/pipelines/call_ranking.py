"""How well a scored archive brings the calls that hold an emotion to the top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_ray import storage
from ser_ray.evaluation import Interval, average_precision
from ser_ray.pipelines.truth import read_truth

ANGER = "anger"
LOUDEST = 3  # segments of a call by which its anger is told
TOP = 10  # calls that a person looks at
COLUMNS = ["call_id", "worst_score", "segments"]


@dataclass(frozen=True)
class Ranked:
    """One order of the calls.

    Attributes:
        average_precision: area under the precision-recall curve, with a bootstrap over calls.
        top: share of the first `TOP` calls that hold the emotion.
        top_tenth: that of the first tenth of the calls.
    """

    average_precision: Interval
    top: float
    top_tenth: float


@dataclass(frozen=True)
class CallRanking:
    """Orders of the calls by name: by the scores' own ranking, and by the emotion's own probability.

    Attributes:
        emotion: what is looked for.
        calls: scored calls that the truth knows.
        holding: those with a turn in that emotion.
        orders: by what the calls are ranked.
    """

    emotion: str
    calls: int
    holding: int
    orders: Mapping[str, Ranked]


def rank_calls(scores: str, truth: str, emotion: str = ANGER) -> CallRanking | None:
    """Hold the rankings of a run against a table of turns.

    Args:
        scores: scores folder.
        truth: see `truth.compare`; calls that it does not name are left out.
        emotion: what is looked for.

    Returns:
        None where the ensemble does not know the emotion, or all calls hold it, or none.

    Raises:
        BadManifest: a column is missing.
    """
    turns = read_truth(truth).to_pylist()
    known, holding = {t["call"] for t in turns}, {t["call"] for t in turns if t["emotion"] == emotion}
    folder = storage.join(scores, "calls")
    calls = [c for c in storage.read_parquet(folder, COLUMNS).to_pylist() if c["call_id"] in known]
    calls.sort(key=lambda call: call["call_id"])
    y = np.array([call["call_id"] in holding for call in calls], bool)
    if emotion not in storage.read_json(storage.join(scores, "run.json"))["ensemble"]["labels"]:
        return None
    if y.all() or not y.any():
        return None
    orders = {
        "negative stretch": np.array([call["worst_score"] for call in calls]),
        f"{emotion} of the {LOUDEST} most likely segments": np.array([_of(call, emotion) for call in calls]),
    }
    ranked = {name: _ranked(y, score) for name, score in orders.items()}
    return CallRanking(emotion, len(y), int(y.sum()), ranked)


def _of(call: Mapping[str, Any], emotion: str) -> float:
    """Mean probability of an emotion in the segments of a call where it is most likely; 0 without any."""
    p = sorted(segment["p"][emotion] for segment in call["segments"] or ())
    return float(np.sum(p[-LOUDEST:]) / LOUDEST)


def _ranked(y: np.ndarray, score: np.ndarray) -> Ranked:
    first = y[np.argsort(-score, kind="stable")]
    tenth = max(1, round(len(y) / 10))
    return Ranked(average_precision(y, score), float(first[:TOP].mean()), float(first[:tenth].mean()))
