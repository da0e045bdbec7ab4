"""A scored archive held against its truth."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray.errors import BadManifest
from ser_ray.pipelines.truth import compare

LABELS = ("anger", "neutral")


def segment(call: str, leg: str, start_s: float, end_s: float, anger: float) -> dict[str, object]:
    p = {"anger": anger, "neutral": 1 - anger}
    place = {"call_id": call, "leg": leg, "start_s": start_s, "end_s": end_s}
    return {**place, "certain": abs(anger - 0.5) > 0.25, "p": p}


def turn(leg: str, start_s: float, end_s: float, emotion: str, call: str = "a.wav") -> dict[str, object]:
    return {"call": call, "leg": leg, "start_s": start_s, "end_s": end_s, "emotion": emotion}


def write(folder: Path, segments: list[dict[str, object]], turns: list[dict[str, object]]) -> tuple[str, str]:
    (folder / "scores" / "segments").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(segments), folder / "scores" / "segments" / "one.parquet")
    pq.write_table(pa.Table.from_pylist(turns), folder / "truth.parquet")
    return str(folder / "scores"), str(folder / "truth.parquet")


def test_each_segment_is_held_against_the_turn_it_overlaps_most(tmp_path: Path) -> None:
    segments = [
        segment("a.wav", "agent", 0.0, 2.0, 0.9),  # anger, right
        segment("a.wav", "agent", 2.5, 6.0, 0.2),  # 0.5 s on anger, 3 s on neutral: neutral, right
        segment("a.wav", "customer", 0.0, 1.0, 0.8),  # neutral, wrong
        segment("a.wav", "customer", 8.0, 9.0, 0.8),  # on no turn
        segment("a.wav", "customer", 10.0, 11.0, 0.8),  # on an emotion not known
    ]
    turns = [
        turn("agent", 0.0, 3.0, "anger"),
        turn("agent", 3.0, 7.0, "neutral"),
        turn("customer", 0.0, 2.0, "neutral"),
        turn("customer", 10.0, 11.0, "boredom"),
        turn("agent", 0.0, 50.0, "anger", call="not-scored.wav"),
    ]
    result = compare(*write(tmp_path, segments, turns))
    assert result.report.labels == LABELS
    assert result.report.confusion == ((1, 0), (1, 1))
    assert result.unknown == 1
    assert result.found == pytest.approx((2 + 3.5 + 1 + 1) / 10)
    assert result.elsewhere == pytest.approx(1 / 8.5)
    assert (result.coverage, result.precision) == (1.0, pytest.approx(2 / 3))


def test_certain_segments_are_measured_by_themselves(tmp_path: Path) -> None:
    segments = [
        segment("a.wav", "agent", 0.0, 2.0, 0.9),  # right
        segment("a.wav", "agent", 2.0, 4.0, 0.6),  # right, uncertain
        segment("a.wav", "agent", 4.0, 6.0, 0.4),  # wrong, uncertain
        segment("a.wav", "agent", 6.0, 8.0, 0.1),  # wrong
        segment("a.wav", "agent", 8.0, 9.0, 0.8),  # right
        segment("a.wav", "agent", 20.0, 21.0, 0.9),  # on no turn
    ]
    result = compare(*write(tmp_path, segments, [turn("agent", 0.0, 9.0, "anger")]))
    assert (result.coverage, result.precision) == (pytest.approx(3 / 5), pytest.approx(2 / 3))
    unsure = [{**one, "certain": False} for one in segments]
    result = compare(*write(tmp_path / "unsure", unsure, [turn("agent", 0.0, 9.0, "anger")]))
    assert (result.coverage, result.precision) == (0.0, None)


@pytest.mark.parametrize("broken", ["no such leg", "column"])
def test_truth_that_does_not_fit_is_refused(tmp_path: Path, broken: str) -> None:
    turns = [turn("left", 0.0, 3.0, "anger")]
    if broken == "column":
        del turns[0]["leg"]
    with pytest.raises(BadManifest, match="'leg'" if broken == "column" else "no segment lies on a turn"):
        compare(*write(tmp_path, [segment("a.wav", "agent", 0.0, 2.0, 0.9)], turns))
