"""The scores folder: what a row says of a call, and the figures rolled up from its segments.

Negativity of a segment is the summed probability of the ensemble's negative emotions. The strongest
negative stretch of a leg is the run of neighbouring segments with the largest sum of
duration x (negativity - 0.5): seconds by which the negative outweighs the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ser_ray.corpora.labels import Groups


@dataclass(frozen=True)
class Segment:
    """One stretch of speech of one leg, with the probability of each label [labels]."""

    leg: str
    start_s: float
    end_s: float
    p: np.ndarray

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


def schema(labels: Sequence[str]) -> pa.Schema:
    """Columns of `calls/*.parquet` for an ensemble's labels."""
    by_label = pa.struct([(label, pa.float32()) for label in labels])
    segment = pa.struct(
        [
            ("leg", pa.string()),
            ("start_s", pa.float32()),
            ("end_s", pa.float32()),
            ("emotion", pa.string()),
            ("confidence", pa.float32()),
            ("group", pa.string()),  # of labels, the one with the largest summed probability
            ("certain", pa.bool_()),  # whether the confidence is large enough
            ("p", by_label),
        ]
    )
    leg = pa.struct(
        [
            ("leg", pa.string()),
            ("speech_s", pa.float32()),
            ("uncertain_s", pa.float32()),  # of it, segments that are not certain
            ("confidence", pa.float32()),
            ("negativity", pa.float32()),
            ("trend", pa.float32()),
            ("stretch_start_s", pa.float32()),
            ("stretch_end_s", pa.float32()),
            ("stretch_emotion", pa.string()),
            ("stretch_negativity", pa.float32()),
            ("stretch_score", pa.float32()),
            ("seconds", by_label),
        ]
    )
    return pa.schema(
        [
            ("call_id", pa.string()),
            ("uri", pa.string()),
            ("agent", pa.string()),  # null where not known, as the next
            ("date", pa.string()),  # of the call, 2026-11-22
            ("status", pa.string()),  # ok, no_speech, error
            ("error_stage", pa.string()),  # read, decode, band, score; "" where all is well
            ("error_type", pa.string()),
            ("error", pa.string()),
            ("duration_s", pa.float64()),
            ("speech_s", pa.float64()),
            ("sample_rate", pa.int32()),
            ("channels", pa.int16()),
            ("dual_mono", pa.bool_()),
            ("segments", pa.list_(segment)),
            ("legs", pa.list_(leg)),
            ("worst_leg", pa.string()),
            ("worst_start_s", pa.float32()),
            ("worst_end_s", pa.float32()),
            ("worst_emotion", pa.string()),
            ("worst_score", pa.float32()),
            ("confidence", pa.float32()),
        ]
    )


def segment_rows(
    segments: Sequence[Segment], labels: Sequence[str], groups: Groups, certain_from: float | None = None
) -> list[dict[str, Any]]:
    """The column `segments` of a call.

    Args:
        segments: scored segments.
        labels: order of the probabilities.
        groups: labels by the group that they count as.
        certain_from: the confidence from which a segment is certain; None: all are.
    """
    names, member = list(groups), np.array([[label in groups[g] for g in groups] for label in labels])
    p = np.array([s.p for s in segments]).reshape(len(segments), len(labels))
    best, largest, grouped = p.argmax(axis=1), p.max(axis=1), (p @ member).argmax(axis=1)
    columns = (best.tolist(), largest.tolist(), grouped.tolist(), p.tolist())
    return [
        {
            "leg": s.leg,
            "start_s": s.start_s,
            "end_s": s.end_s,
            "emotion": labels[emotion],
            "confidence": confidence,
            "group": names[group],
            "certain": confidence >= (certain_from or 0.0),
            "p": dict(zip(labels, row, strict=True)),
        }
        for s, emotion, confidence, group, row in zip(segments, *columns, strict=True)
    ]


def roll_up(
    legs: Sequence[str],
    segments: Sequence[Segment],
    duration_s: float,
    labels: Sequence[str],
    negative: Sequence[str],
    certain_from: float | None = None,
) -> dict[str, Any]:
    """The columns of a call that sum up its segments.

    Args:
        legs: all legs of the call, also silent ones.
        segments: scored segments in order of time.
        duration_s: length of the call.
        labels: order of the probabilities.
        negative: those labels that count as negative.
        certain_from: the confidence from which a segment is certain; None: all are.
    """
    rows = [
        _leg([s for s in segments if s.leg == leg], leg, duration_s, labels, negative, certain_from or 0.0)
        for leg in legs
    ]
    worst = max(rows, key=lambda row: row["stretch_score"], default=None)
    if worst is None or worst["stretch_score"] <= 0:
        worst = None
    durations = np.array([s.duration_s for s in segments])
    confidences = np.array([s.p.max() for s in segments])
    return {
        "legs": rows,
        "worst_leg": worst and worst["leg"],
        "worst_start_s": worst and worst["stretch_start_s"],
        "worst_end_s": worst and worst["stretch_end_s"],
        "worst_emotion": worst and worst["stretch_emotion"],
        "worst_score": worst["stretch_score"] if worst else 0.0,
        "confidence": float(np.average(confidences, weights=durations)) if segments else None,
    }


def total(calls: pa.Table) -> dict[str, Any]:
    """Sums over the columns `legs` and `worst_score`, from which `figures` makes those of a night."""
    legs = calls["legs"].combine_chunks().flatten()
    speech_s = legs.field("speech_s").cast(pa.float64())
    weighted = {
        name: pc.sum(pc.multiply(speech_s, legs.field(name))).as_py() for name in ("negativity", "confidence")
    }
    sums = {"ranked": pc.sum(pc.greater(calls["worst_score"], 0)).as_py(), **weighted}
    return {name: value or 0 for name, value in {**sums, "speech_s": pc.sum(speech_s).as_py()}.items()}


def figures(totals: Mapping[str, float]) -> dict[str, Any]:
    """What sums up a night beside its counts, so that nights can be compared without their rows.

    Args:
        totals: of all its calls, as `total` gives them.

    Returns:
        `ranked`: how many calls have a negative stretch; `negativity` and `confidence`: their means over
        the scored speech of all legs, None without any.
    """
    speech_s = totals.get("speech_s", 0.0)
    means = {name: totals[name] / speech_s if speech_s else None for name in ("negativity", "confidence")}
    return {"ranked": int(totals.get("ranked", 0)), **means}


def explode(calls: pa.Table) -> pa.Table:
    """The table `segments`: one row for each segment, with its call's id."""
    column = calls["segments"].combine_chunks()
    flat = pa.Table.from_struct_array(column.flatten())
    parents = column.value_parent_indices()
    return flat.add_column(0, "call_id", calls["call_id"].combine_chunks().take(parents))


def _leg(
    segments: list[Segment],
    leg: str,
    duration_s: float,
    labels: Sequence[str],
    negative: Sequence[str],
    certain_from: float,
) -> dict[str, Any]:
    p = np.array([s.p for s in segments]).reshape(len(segments), len(labels))
    durations = np.array([s.duration_s for s in segments])
    negativity = p[:, [labels.index(label) for label in negative]].sum(axis=1)
    seconds = np.bincount(p.argmax(axis=1), durations, len(labels)) if segments else np.zeros(len(labels))
    stretch = _strongest(durations * (negativity - 0.5))
    row: dict[str, Any] = {
        "leg": leg,
        "speech_s": float(durations.sum()),
        "uncertain_s": float(durations[p.max(axis=1) < certain_from].sum()),
        "confidence": _mean(p.max(axis=1), durations) if segments else None,
        "negativity": _mean(negativity, durations),
        "trend": _trend(segments, negativity, durations, duration_s),
        "stretch_start_s": None,
        "stretch_end_s": None,
        "stretch_emotion": None,
        "stretch_negativity": None,
        "stretch_score": 0.0,
        "seconds": dict(zip(labels, seconds.tolist(), strict=True)),
    }
    if stretch is not None:
        first, last = stretch
        inside = slice(first, last + 1)
        weights = durations[inside] @ p[inside]
        row["stretch_start_s"], row["stretch_end_s"] = segments[first].start_s, segments[last].end_s
        row["stretch_emotion"] = max(negative, key=lambda label: weights[labels.index(label)])
        row["stretch_negativity"] = _mean(negativity[inside], durations[inside])
        row["stretch_score"] = float((durations * (negativity - 0.5))[inside].sum())
    return row


def _strongest(gains: np.ndarray) -> tuple[int, int] | None:
    """First and last index of the run with the largest positive sum; None where there is none."""
    best, found, total, start = 0.0, None, 0.0, 0
    for i, gain in enumerate(gains):
        if total <= 0:
            total, start = 0.0, i
        total += gain
        if total > best:
            best, found = total, (start, i)
    return found


def _trend(
    segments: list[Segment], negativity: np.ndarray, durations: np.ndarray, duration_s: float
) -> float | None:
    """Negativity in the last third of the call less that in the first; None where either is silent."""
    middles = np.array([(s.start_s + s.end_s) / 2 for s in segments])
    first, last = middles < duration_s / 3, middles >= 2 * duration_s / 3
    if not first.any() or not last.any():
        return None
    before, after = _mean(negativity[first], durations[first]), _mean(negativity[last], durations[last])
    return None if before is None or after is None else after - before


def _mean(values: np.ndarray, weights: np.ndarray) -> float | None:
    return float(np.average(values, weights=weights)) if len(values) else None
