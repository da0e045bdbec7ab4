"""A scored archive held against its truth: what `simulate` wrote, or what people annotated."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.table import read_table
from ser_ray.errors import BadManifest
from ser_ray.evaluation import Report, measure

COLUMNS = ("call", "leg", "start_s", "end_s", "emotion")


@dataclass(frozen=True)
class Comparison:
    """Segments against the turns that they overlap most.

    Attributes:
        report: recognition of the segments that lie on a turn.
        found: share of the turns' time that lies in segments.
        elsewhere: share of the segments' time that lies outside every turn.
        unknown: segments on turns of an emotion that the ensemble does not know.
        coverage: share of the segments of `report` that is certain.
        precision: share of the certain ones that is right; None where there are none.
    """

    report: Report
    found: float
    elsewhere: float
    unknown: int
    coverage: float
    precision: float | None


def compare(scores: str, truth: str) -> Comparison:
    """Compare the segments of a complete run with a table of turns.

    Args:
        scores: scores folder.
        truth: table with `call` (the call's id), `leg`, `start_s`, `end_s`, `emotion`, and optionally
            `speaker`.

    Raises:
        BadManifest: a column is missing, or no segment lies on a turn.
    """
    table = read_truth(truth)
    segments = storage.read_parquet(storage.require(storage.join(scores, "segments"), "complete run"))
    labels = tuple(field.name for field in segments.schema.field("p").type)
    turns: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for turn in table.to_pylist():
        turns[turn["call"], turn["leg"]].append(turn)
    scored = set(segments["call_id"].to_pylist())
    return _measured(segments, {k: v for k, v in turns.items() if k[0] in scored}, labels, truth)


def read_truth(truth: str) -> pa.Table:
    """A table of turns; raises BadManifest where a column is missing."""
    table = read_table(storage.require(truth, "truth"))
    missing = [c for c in COLUMNS if c not in table.column_names]
    if missing:
        raise BadManifest(f"{truth} lacks the column {missing[0]!r}; it needs {', '.join(COLUMNS)}.")
    return table


def _measured(
    segments: pa.Table,
    turns: dict[tuple[str, str], list[dict[str, Any]]],
    labels: tuple[str, ...],
    truth: str,
) -> Comparison:
    y, p, speakers, certain, unknown = [], [], [], [], 0
    on_turns = heard = 0.0
    for segment in segments.to_pylist():
        heard += segment["end_s"] - segment["start_s"]
        near = turns.get((segment["call_id"], segment["leg"]), [])
        shared = [min(t["end_s"], segment["end_s"]) - max(t["start_s"], segment["start_s"]) for t in near]
        on_turns += sum(s for s in shared if s > 0)
        if not near or max(shared) <= 0:
            continue
        turn = near[int(np.argmax(shared))]
        if turn["emotion"] not in labels:
            unknown += 1
            continue
        y.append(labels.index(turn["emotion"]))
        p.append([segment["p"][label] for label in labels])
        speakers.append(turn.get("speaker"))
        certain.append(segment["certain"])
    if not y:
        raise BadManifest(
            f"no segment lies on a turn of {truth}. Do its calls, legs and emotions fit the scores?"
        )
    spoken = sum(t["end_s"] - t["start_s"] for near in turns.values() for t in near)
    known = None if None in speakers else np.array(speakers)
    truly, taken = np.array(y), np.array(p)
    right = (taken.argmax(axis=1) == truly)[certain]
    return Comparison(
        report=measure(truly, taken, labels, known),
        found=on_turns / spoken,
        elsewhere=1 - on_turns / heard,
        unknown=unknown,
        coverage=len(right) / len(truly),
        precision=float(right.mean()) if len(right) else None,
    )
