"""Scores folders of nights: row by row, as `score` writes them."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ser_ray.pipelines.scores import figures, total
from ser_ray.reports import write_scores_page
from tests.reports.pages import HOSTILE

LABELS = ("anger", "boredom", "calm", "disgust", "excitement", "fear", "frustration", "happiness", "neutral",
          "sadness", "surprise")  # fmt: skip
NEGATIVE = ("anger", "disgust", "fear", "frustration", "sadness")
CERTAIN = 0.5  # confidence from which a segment is certain
PER_LABEL = pa.struct([(label, pa.float32()) for label in LABELS])
SEGMENT = pa.struct([("leg", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64()),
                     ("emotion", pa.string()), ("confidence", pa.float32()), ("p", PER_LABEL),
                     ("certain", pa.bool_())])  # fmt: skip
LEG = pa.struct([("leg", pa.string()), ("speech_s", pa.float64()), ("confidence", pa.float32()),
                 ("negativity", pa.float32()), ("trend", pa.float32()), ("stretch_start_s", pa.float64()),
                 ("stretch_end_s", pa.float64()), ("stretch_emotion", pa.string()),
                 ("stretch_negativity", pa.float32()), ("stretch_score", pa.float64()),
                 ("seconds", PER_LABEL), ("uncertain_s", pa.float32())])  # fmt: skip
SCHEMA = pa.schema([
    ("call_id", pa.string()), ("uri", pa.string()), ("agent", pa.string()), ("date", pa.string()),
    ("status", pa.string()), ("error_stage", pa.string()),
    ("error_type", pa.string()), ("error", pa.string()), ("duration_s", pa.float64()),
    ("speech_s", pa.float64()), ("sample_rate", pa.int32()), ("channels", pa.int16()),
    ("dual_mono", pa.bool_()), ("segments", pa.list_(SEGMENT)), ("legs", pa.list_(LEG)),
    ("worst_leg", pa.string()), ("worst_start_s", pa.float64()), ("worst_end_s", pa.float64()),
    ("worst_emotion", pa.string()), ("worst_score", pa.float64()), ("confidence", pa.float32()),
])  # fmt: skip
FAILURES = (
    ("decode", "truncated", "the header promises 412.0 s, the data ends after 31.4 s"),
    ("decode", "not_audio", "starts with <!DOCTYPE html>, not with a sound file's header"),
    ("decode", "truncated", "the header promises 95.2 s, the data ends after 0.2 s"),
    ("open", "missing", "listed in the archive, gone when it was opened"),
    ("score", "timeout", "no result after 600 s"),
)


def segment(leg: str, start_s: float, end_s: float, emotion: str, confidence: float = 0.7) -> dict[str, Any]:
    rest = (1 - confidence) / (len(LABELS) - 1)
    p = {label: confidence if label == emotion else rest for label in LABELS}
    return {"leg": leg, "start_s": start_s, "end_s": end_s, "emotion": emotion,
            "confidence": confidence, "p": p, "certain": confidence >= CERTAIN}  # fmt: skip


def negativity(part: dict[str, Any]) -> float:
    return sum(part["p"][label] for label in NEGATIVE)


def mean(values: list[float], weights: list[float]) -> float | None:
    return float(np.average(values, weights=weights)) if values else None


def roll_up(name: str, parts: list[dict[str, Any]], length: float) -> dict[str, Any]:
    """A leg of the contract, by brute force over all runs of segments."""
    spans = [part["end_s"] - part["start_s"] for part in parts]
    shares = [negativity(part) for part in parts]
    first = [i for i, part in enumerate(parts) if part["end_s"] <= length / 3]
    last = [i for i, part in enumerate(parts) if part["start_s"] >= 2 * length / 3]
    thirds = [mean([shares[i] for i in third], [spans[i] for i in third]) for third in (first, last)]
    trend = None if None in thirds else thirds[1] - thirds[0]
    gains = [span * (share - 0.5) for span, share in zip(spans, shares, strict=True)]
    runs = [(sum(gains[i:j]), i, j) for i, j in itertools.combinations(range(len(parts) + 1), 2)]
    score, i, j = max(runs, default=(0.0, 0, 0), key=lambda run: run[0])
    found = score > 0
    run = parts[i:j]
    emotions = Counter()
    for part in run:
        emotions[part["emotion"]] += part["end_s"] - part["start_s"]
    seconds = dict.fromkeys(LABELS, 0.0)
    for part, span in zip(parts, spans, strict=True):
        seconds[part["emotion"]] += span
    return {
        "leg": name, "speech_s": sum(spans), "confidence": mean([p["confidence"] for p in parts], spans),
        "negativity": mean(shares, spans), "trend": trend,
        "stretch_start_s": run[0]["start_s"] if found else None,
        "stretch_end_s": run[-1]["end_s"] if found else None,
        "stretch_emotion": emotions.most_common(1)[0][0] if found else None,
        "stretch_negativity": mean(shares[i:j], spans[i:j]) if found else None,
        "stretch_score": score if found else 0.0, "seconds": seconds,
        "uncertain_s": sum(span for part, span in zip(parts, spans, strict=True) if not part["certain"]),
    }  # fmt: skip


def scored(call_id: str, length: float, parts: list[dict[str, Any]]) -> dict[str, Any]:
    names = sorted({part["leg"] for part in parts})
    legs = [roll_up(name, [part for part in parts if part["leg"] == name], length) for name in names]
    worst = max(legs, key=lambda leg: leg["stretch_score"])
    found = worst["stretch_score"] > 0
    return {
        "call_id": call_id, "uri": f"s3://calls/2026-11-22/{call_id}.wav", "agent": None, "date": None,
        "status": "ok", "error_stage": "", "error_type": "", "error": "", "duration_s": length,
        "speech_s": sum(leg["speech_s"] for leg in legs),
        "sample_rate": 8000, "channels": len(names), "dual_mono": False, "segments": parts, "legs": legs,
        "worst_leg": worst["leg"] if found else None, "worst_start_s": worst["stretch_start_s"],
        "worst_end_s": worst["stretch_end_s"], "worst_emotion": worst["stretch_emotion"],
        "worst_score": worst["stretch_score"],
        "confidence": mean([leg["confidence"] for leg in legs], [leg["speech_s"] for leg in legs]),
    }  # fmt: skip


def unscored(call_id: str, status: str, stage: str = "", kind: str = "", message: str = "") -> dict[str, Any]:
    row = dict.fromkeys(SCHEMA.names)
    known = {"duration_s": 41.0, "speech_s": 0.0, "sample_rate": 8000, "channels": 2, "dual_mono": False}
    return row | (known if status == "no_speech" else {}) | {
        "call_id": call_id, "uri": f"s3://calls/2026-11-22/{call_id}.wav", "status": status,
        "error_stage": stage, "error_type": kind, "error": message, "segments": [], "legs": [],
        "worst_score": 0.0,
    }  # fmt: skip


def conversation(call_id: str, seed: int) -> dict[str, Any]:
    """Two people taking turns; some customers lose their temper for a while."""
    rng = random.Random(seed)
    length = rng.uniform(90, 780)
    angry_from, angry_to = sorted(rng.uniform(0, length) for _ in range(2))
    upset = rng.choice(("anger", "frustration", "sadness", "fear", "disgust")) if rng.random() < 0.7 else None
    parts, now = [], rng.uniform(0, 3)
    for leg in itertools.cycle(("agent", "customer")):
        for _ in range(rng.randint(1, 4)):
            end = now + rng.uniform(1.5, 6)
            if end >= length:
                return scored(call_id, length, parts)
            usual = ("neutral", "calm", "happiness") if leg == "agent" else ("neutral", "boredom", "surprise")
            emotion = rng.choices((*usual, rng.choice(LABELS)), (8, 2, 1, 2))[0]
            if upset and leg == "customer" and angry_from < now < angry_to and rng.random() < 0.85:
                emotion = upset
            parts.append(segment(leg, now, end, emotion, rng.betavariate(5, 2.5)))
            now = end
        now += rng.uniform(-0.5, 4)
    raise AssertionError("a conversation always ends")


def night(calls: int = 30) -> list[dict[str, Any]]:
    """Rows of a usual night, with every kind of failure and a call without speech among them."""
    rows = [conversation(f"2026-11-22T{8 + n % 10:02}-{n:04}-agent{n % 7}", seed=n) for n in range(calls)]
    rows += [unscored(f"failed-{n}", "error", *failure) for n, failure in enumerate(FAILURES)]
    return [*rows, unscored("silent-1", "no_speech")]


def busy_night(calls: int, agents: int = 40) -> list[dict[str, Any]]:
    """As many calls of several agents on two days, a hundred different ones over and over."""
    some = night(94)
    return [
        some[n % 100] | {
            "call_id": f"dt=2026-11-{21 + n % 2}/{n:06}.wav", "date": f"2026-11-{21 + n % 2}",
            "agent": f"agent-{n % agents:03}" if n % 7 else None,
            "uri": f"s3://calls/dt=2026-11-{21 + n % 2}/{n:06}.wav",
        }
        for n in range(calls)
    ]  # fmt: skip


def hostile_folder(folder: Path) -> str:
    row = scored(HOSTILE, 60.0, [segment(HOSTILE, 10, 20, "anger")])
    for leg in row["legs"]:
        leg["stretch_emotion"] = HOSTILE
    failed = unscored(HOSTILE + "-2", "error", HOSTILE, HOSTILE, HOSTILE)
    silent = unscored(HOSTILE + "-3", "no_speech")
    ensemble = {"uri": HOSTILE, "fingerprint": HOSTILE, "rule": HOSTILE, "labels": [*LABELS, HOSTILE],
                "negative": [*NEGATIVE, HOSTILE], "band": HOSTILE, "members": [HOSTILE]}  # fmt: skip
    rows = [row, failed, silent, unscored("odd", HOSTILE)]
    return write_scores(folder, rows, ensemble=ensemble, archive=HOSTILE, versions={HOSTILE: HOSTILE})


def write_scores(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> str:
    """A scores folder of two Parquet files with a run.json that fits it, but for `changes`."""
    (folder / "calls").mkdir(parents=True)
    half = (len(rows) + 1) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        pq.write_table(pa.Table.from_pylist(part, SCHEMA), folder / "calls" / f"part-{number}.parquet")
    status = Counter(row["status"] for row in rows)
    audio_s = sum(row["duration_s"] or 0 for row in rows)
    run = {
        "format": 1, "archive": "s3://calls/2026-11-22",
        "ensemble": {"uri": "s3://models/night-shift-ensemble", "fingerprint": "9f3c1ab277de40be",
                     "rule": "stacking", "labels": LABELS, "negative": NEGATIVE, "band": "narrow",
                     "members": ["is10-svm", "cnn-bilstm", "wavlm-head"], "certain_from": CERTAIN},
        "options": {"legs": "agent,customer"},
        "counts": {"listed": len(rows), **{name: status[name] for name in ("ok", "no_speech", "error")}},
        "errors": Counter(row["error_type"] for row in rows if row["status"] == "error"),
        "audio_hours": audio_s / 3600, "speech_hours": sum(row["speech_s"] or 0 for row in rows) / 3600,
        "figures": figures(total(pa.Table.from_pylist(rows, SCHEMA))),
        "wall_s": 97.4, "times_real_time": audio_s / 97.4, "started": "2026-11-23T02:00:11+00:00",
        "finished": "2026-11-23T02:01:48+00:00", "complete": True,
        "versions": {"ser-ray": "0.1.0", "ray": "2.60.0", "torch": "2.12.1"},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run | changes))
    return str(folder)


def by_score(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    worrying = [row for row in rows if row["status"] == "ok" and row["worst_score"] > 0]
    return sorted(worrying, key=lambda row: (-row["worst_score"], row["call_id"]))


def page_of(scores: str, top: int = 50) -> str:
    target = Path(scores).parent / "report.html"
    write_scores_page(scores, str(target), top)
    return target.read_text()
