from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.pipelines.scores import Segment, explode, figures, roll_up, schema, segment_rows, total

LABELS = ("anger", "happiness", "neutral", "sadness")
NEGATIVE = ("anger", "sadness")
GROUPS = {"negative": NEGATIVE, "neutral": ("neutral",), "positive": ("happiness",)}


def segment(start_s, end_s, *p, leg="customer"):
    return Segment(leg, start_s, end_s, np.array(p))


# Durations 2, 2, 4, 2 s and negativities 0.2, 0.9, 0.7, 0.1: gains -0.6, 0.8, 0.8, -0.8.
COURSE = [
    segment(0.0, 2.0, 0.1, 0.2, 0.6, 0.1),
    segment(3.0, 5.0, 0.6, 0.0, 0.1, 0.3),
    segment(6.0, 10.0, 0.2, 0.1, 0.2, 0.5),
    segment(13.0, 15.0, 0.1, 0.7, 0.2, 0.0),
]


def only_leg(segments, duration_s=15.0):
    (row,) = roll_up(["customer"], segments, duration_s, LABELS, NEGATIVE)["legs"]
    return row


def test_a_leg_is_summed_up_as_reckoned_by_hand():
    row = only_leg(COURSE)
    assert row["speech_s"] == pytest.approx(10.0)
    assert row["seconds"] == pytest.approx({"anger": 2.0, "happiness": 2.0, "neutral": 2.0, "sadness": 4.0})
    assert row["confidence"] == pytest.approx((2 * 0.6 + 2 * 0.6 + 4 * 0.5 + 2 * 0.7) / 10)
    assert row["negativity"] == pytest.approx((2 * 0.2 + 2 * 0.9 + 4 * 0.7 + 2 * 0.1) / 10)


def test_the_strongest_stretch_is_the_run_of_largest_sum():
    row = only_leg(COURSE)
    assert (row["stretch_start_s"], row["stretch_end_s"]) == (3.0, 10.0)
    assert row["stretch_score"] == pytest.approx(2 * 0.4 + 4 * 0.2)
    assert row["stretch_negativity"] == pytest.approx((2 * 0.9 + 4 * 0.7) / 6)
    assert row["stretch_emotion"] == "sadness"  # 2 x 0.3 + 4 x 0.5 s, against 2 x 0.6 + 4 x 0.2 of anger


def test_trend_is_the_last_third_less_the_first():
    assert only_leg(COURSE)["trend"] == pytest.approx(0.1 - (2 * 0.2 + 2 * 0.9) / 4)
    assert only_leg(COURSE, duration_s=60.0)["trend"] is None
    assert only_leg(COURSE[2:3])["trend"] is None


gains = st.lists(st.floats(-1, 1), max_size=12)


@given(gains)
def test_no_run_of_segments_outweighs_the_one_that_is_found(values):
    segments = [
        segment(2.0 * i, 2.0 * i + 1, (v + 1) / 2, 0.0, (1 - v) / 2, 0.0) for i, v in enumerate(values)
    ]
    worth = [s.p[0] - 0.5 for s in segments]
    sums = [sum(worth[a:b]) for a in range(len(worth)) for b in range(a + 1, len(worth) + 1)]
    row = only_leg(segments, 60.0)
    assert row["stretch_score"] == pytest.approx(max([0.0, *sums]), abs=1e-9)
    if row["stretch_start_s"] is not None:
        inside = [s for s in segments if row["stretch_start_s"] <= s.start_s < row["stretch_end_s"]]
        assert sum(s.p[0] - 0.5 for s in inside) == pytest.approx(row["stretch_score"])


def test_a_leg_without_anger_has_no_stretch():
    call = roll_up(["customer"], [COURSE[0], COURSE[3]], 15.0, LABELS, NEGATIVE)
    row = call["legs"][0]
    assert row["stretch_score"] == 0.0
    assert [row[f"stretch_{c}"] for c in ("start_s", "end_s", "emotion", "negativity")] == [None] * 4
    assert [call[f"worst_{c}"] for c in ("leg", "start_s", "end_s", "emotion")] == [None] * 4
    assert call["worst_score"] == 0.0


def test_the_worst_leg_speaks_for_the_call_and_a_silent_one_stays_listed():
    agent = [segment(0.0, 1.0, 0.6, 0.0, 0.4, 0.0, leg="agent")]
    call = roll_up(["agent", "customer", "silent"], [*agent, *COURSE], 15.0, LABELS, NEGATIVE)
    assert [row["leg"] for row in call["legs"]] == ["agent", "customer", "silent"]
    assert (call["worst_leg"], call["worst_emotion"]) == ("customer", "sadness")
    assert (call["worst_start_s"], call["worst_end_s"]) == (3.0, 10.0)
    assert call["worst_score"] == pytest.approx(1.6)
    assert call["confidence"] == pytest.approx((0.6 + 5.8) / 11)
    silent = call["legs"][2]
    assert silent["speech_s"] == 0.0
    assert silent["seconds"] == dict.fromkeys(LABELS, 0.0)
    assert [silent[c] for c in ("confidence", "negativity", "trend", "stretch_start_s")] == [None] * 4


def test_a_call_without_segments_has_no_figures():
    call = roll_up(["agent"], [], 0.0, LABELS, NEGATIVE)
    assert (call["confidence"], call["worst_leg"], call["worst_score"]) == (None, None, 0.0)
    assert roll_up([], [], 0.0, [], [])["legs"] == []


def test_an_ensemble_without_negative_emotions_finds_none():
    call = roll_up(["customer"], COURSE, 15.0, LABELS, ())
    assert call["worst_leg"] is None
    assert call["legs"][0]["negativity"] == 0.0


def test_a_segment_says_its_likeliest_emotion_and_all_probabilities():
    (row,) = segment_rows(COURSE[1:2], LABELS, GROUPS)
    assert row == {
        "leg": "customer",
        "start_s": 3.0,
        "end_s": 5.0,
        "emotion": "anger",
        "confidence": 0.6,
        "group": "negative",
        "certain": True,
        "p": {"anger": 0.6, "happiness": 0.0, "neutral": 0.1, "sadness": 0.3},
    }


def test_the_group_is_that_of_the_largest_sum_and_not_of_the_likeliest_emotion():
    mixed = segment(0.0, 2.0, 0.3, 0.4, 0.0, 0.3)  # happiness is likeliest, negative 0.6
    (row,) = segment_rows([mixed], LABELS, GROUPS)
    assert (row["emotion"], row["group"]) == ("happiness", "negative")
    (row,) = segment_rows([mixed], LABELS, {"loud": ("anger", "happiness"), "low": ("neutral", "sadness")})
    assert row["group"] == "loud"


def test_segments_below_the_threshold_are_uncertain_and_counted_in_seconds():
    rows = segment_rows(COURSE, LABELS, GROUPS, certain_from=0.6)  # confidences 0.6, 0.6, 0.5, 0.7
    assert [row["certain"] for row in rows] == [True, True, False, True]
    (leg,) = roll_up(["customer"], COURSE, 15.0, LABELS, NEGATIVE, 0.6)["legs"]
    assert leg["uncertain_s"] == pytest.approx(4.0)
    assert {k: v for k, v in leg.items() if k != "uncertain_s"} == {
        k: v for k, v in only_leg(COURSE).items() if k != "uncertain_s"
    }
    assert only_leg(COURSE)["uncertain_s"] == 0.0
    silent = roll_up(["customer"], [], 15.0, LABELS, NEGATIVE, 0.6)["legs"][0]
    assert silent["uncertain_s"] == 0.0


def calls_table(segments_of):
    rows = [
        {
            "call_id": name,
            "segments": segment_rows(segments, LABELS, GROUPS),
            **roll_up(["customer"], segments, 15.0, LABELS, NEGATIVE),
        }
        for name, segments in segments_of.items()
    ]
    return pa.Table.from_pylist(rows, schema=schema(LABELS))


def test_exploded_segments_carry_their_calls_id():
    calls = calls_table({"a": COURSE[:2], "none": [], "b": COURSE[2:3]})
    flat = explode(calls)
    assert flat["call_id"].to_pylist() == ["a", "a", "b"]
    assert flat["start_s"].to_pylist() == [0.0, 3.0, 6.0]
    assert flat["emotion"].to_pylist() == ["neutral", "anger", "sadness"]
    assert flat.column_names == [
        "call_id", "leg", "start_s", "end_s", "emotion", "confidence", "group", "certain", "p"
    ]  # fmt: skip


def test_a_part_of_a_table_explodes_to_its_own_segments():
    calls = calls_table({"a": COURSE[:2], "none": [], "b": COURSE[2:3], "c": COURSE[3:]})
    assert explode(calls.slice(1, 2))["call_id"].to_pylist() == ["b"]
    both = explode(pa.concat_tables([calls.slice(2, 2), calls.slice(0, 1)]))
    assert both["call_id"].to_pylist() == ["b", "c", "a", "a"]
    assert both["start_s"].to_pylist() == [6.0, 13.0, 0.0, 3.0]


@pytest.mark.parametrize("segments_of", [{}, {"a": []}, {"a": [], "b": []}])
def test_no_segments_at_all_explode_to_an_empty_table_of_the_same_columns(segments_of):
    flat = explode(calls_table(segments_of))
    assert len(flat) == 0
    assert flat.schema == explode(calls_table({"a": COURSE})).schema


def test_a_call_that_failed_fits_the_schema_and_has_no_segments():
    rows = [{"call_id": "a", "status": "error", "segments": [], **roll_up([], [], 0.0, [], [])}]
    table = pa.Table.from_pylist(rows, schema=schema(LABELS))
    assert table["legs"].to_pylist() == [[]]
    assert len(explode(table)) == 0


def test_figures_of_a_night_are_means_over_the_speech_of_all_its_calls():
    calm = [segment(0.0, 10.0, 0.1, 0.2, 0.6, 0.1, leg="agent")]
    rolled = [
        roll_up(["agent", "customer"], [*COURSE, *calm], 15.0, LABELS, NEGATIVE),
        roll_up(["agent", "customer"], calm, 15.0, LABELS, NEGATIVE),
    ]
    rows = [{"status": "ok", **row} for row in rolled] + [{"status": "error", "worst_score": 0.0, "legs": []}]
    tables = [pa.Table.from_pylist([row], schema=schema(LABELS)) for row in rows]
    totals = Counter()
    for table in tables:
        totals.update(total(table))
    night = figures(totals)
    assert night["ranked"] == 1
    negative_s = 2 * 0.2 + 2 * 0.9 + 4 * 0.7 + 2 * 0.1 + 2 * 10 * 0.2
    assert night["negativity"] == pytest.approx(negative_s / 30)
    assert night["confidence"] == pytest.approx((2 * 0.6 + 2 * 0.6 + 4 * 0.5 + 2 * 0.7 + 2 * 10 * 0.6) / 30)
    assert figures(totals) == figures(total(pa.concat_tables(tables)))
    assert figures({}) == {"ranked": 0, "negativity": None, "confidence": None}
