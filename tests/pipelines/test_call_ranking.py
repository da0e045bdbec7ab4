"""Whether the calls that hold an emotion come to the top."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray.errors import BadManifest
from ser_ray.pipelines.call_ranking import rank_calls

STRETCH, OWN = "negative stretch", "anger of the 3 most likely segments"


def write(folder: Path, calls: dict[str, tuple[float, list[float]]], angry: set[str]) -> tuple[str, str]:
    """Scores of calls with their worst score and the anger of each segment, and their truth."""
    (folder / "scores" / "calls").mkdir(parents=True)
    rows = [
        {"call_id": call, "worst_score": worst, "segments": [{"p": {"anger": p}} for p in segments] or None}
        for call, (worst, segments) in calls.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "scores" / "calls" / "one.parquet")
    run = {"ensemble": {"labels": ["anger", "neutral"]}}
    (folder / "scores" / "run.json").write_text(json.dumps(run))
    turns = [
        {"call": call, "leg": "customer", "start_s": 0.0, "end_s": 1.0, "emotion": emotion}
        for call in calls
        if call != "untold"
        for emotion in (["neutral", "anger"] if call in angry else ["neutral"])
    ]
    pq.write_table(pa.Table.from_pylist(turns), folder / "truth.parquet")
    return str(folder / "scores"), str(folder / "truth.parquet")


def test_calls_are_ranked_by_their_stretch_and_by_the_emotion_itself(tmp_path: Path) -> None:
    calls = {
        "a": (5.0, [0.1, 0.1, 0.1, 0.1]),
        "b": (3.0, [0.9, 0.8, 0.7, 0.0, 0.0]),  # anger 0.8
        "c": (0.0, [0.9]),  # 0.3: two segments are wanting
        "d": (0.0, []),  # nobody spoke, or it failed
        "untold": (9.0, [1.0, 1.0, 1.0]),
    }
    ranking = rank_calls(*write(tmp_path, calls, {"b", "c"}))
    assert ranking is not None
    assert (ranking.emotion, ranking.calls, ranking.holding) == ("anger", 4, 2)
    stretch, own = ranking.orders[STRETCH], ranking.orders[OWN]
    assert stretch.average_precision.value == pytest.approx((1 / 2 + 2 / 4) / 2)  # a, b, then c and d at once
    assert own.average_precision.value == 1.0  # b 0.8, c 0.3, a 0.1, d 0
    assert (stretch.top_tenth, own.top_tenth) == (0.0, 1.0)
    assert stretch.top == own.top == 0.5  # there are no ten calls


def test_the_first_ten_and_the_first_tenth_are_counted(tmp_path: Path) -> None:
    calls = {f"{n:03d}": (100.0 - n, [0.5]) for n in range(200)}
    ranking = rank_calls(*write(tmp_path, calls, {f"{n:03d}" for n in (0, 1, 2, 12, 150)}))
    assert ranking is not None
    assert (ranking.orders[STRETCH].top, ranking.orders[STRETCH].top_tenth) == (0.3, 0.2)


def test_there_is_no_ranking_where_there_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    calls = {"a": (1.0, [0.5]), "b": (2.0, [0.5])}
    assert rank_calls(*write(tmp_path / "none", calls, set())) is None
    assert rank_calls(*write(tmp_path / "all", calls, {"a", "b"})) is None
    assert rank_calls(*write(tmp_path / "unknown", calls, {"a"}), emotion="boredom") is None


def test_a_truth_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    scores, truth = write(tmp_path, {"a": (1.0, [0.5])}, set())
    pq.write_table(pq.read_table(truth).drop_columns(["leg"]), truth)
    with pytest.raises(BadManifest, match="'leg'"):
        rank_calls(scores, truth)
