"""The morning report, from scores folders made here: row by row, as `score` writes them."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import subprocess
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ser_ray.errors import BadStore, MissingInput
from ser_ray.reports import print_summary, summarise, write_scores_page
from ser_ray.reports.records import Stretch
from ser_ray.reports.wording import clock, printable, reason

LABELS = ("anger", "boredom", "calm", "disgust", "excitement", "fear", "frustration", "happiness", "neutral",
          "sadness", "surprise")  # fmt: skip
NEGATIVE = ("anger", "disgust", "fear", "frustration", "sadness")
HOSTILE = '<script>alert("x")</script>\x1b[31m\u202egnp.exe'

PER_LABEL = pa.struct([(label, pa.float32()) for label in LABELS])
SEGMENT = pa.struct([("leg", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64()),
                     ("emotion", pa.string()), ("confidence", pa.float32()), ("p", PER_LABEL)])  # fmt: skip
LEG = pa.struct([("leg", pa.string()), ("speech_s", pa.float64()), ("confidence", pa.float32()),
                 ("negativity", pa.float32()), ("trend", pa.float32()), ("stretch_start_s", pa.float64()),
                 ("stretch_end_s", pa.float64()), ("stretch_emotion", pa.string()),
                 ("stretch_negativity", pa.float32()), ("stretch_score", pa.float64()),
                 ("seconds", PER_LABEL)])  # fmt: skip
SCHEMA = pa.schema([
    ("call_id", pa.string()), ("uri", pa.string()), ("status", pa.string()), ("error_stage", pa.string()),
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
            "confidence": confidence, "p": p}  # fmt: skip


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
    }  # fmt: skip


def scored(call_id: str, length: float, parts: list[dict[str, Any]]) -> dict[str, Any]:
    names = sorted({part["leg"] for part in parts})
    legs = [roll_up(name, [part for part in parts if part["leg"] == name], length) for name in names]
    worst = max(legs, key=lambda leg: leg["stretch_score"])
    found = worst["stretch_score"] > 0
    return {
        "call_id": call_id, "uri": f"s3://calls/2026-11-22/{call_id}.wav", "status": "ok", "error_stage": "",
        "error_type": "", "error": "", "duration_s": length, "speech_s": sum(leg["speech_s"] for leg in legs),
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
                     "members": ["is10-svm", "cnn-bilstm", "wavlm-head"]},
        "options": {"legs": "agent,customer"},
        "counts": {"listed": len(rows), **{name: status[name] for name in ("ok", "no_speech", "error")}},
        "errors": Counter(row["error_type"] for row in rows if row["status"] == "error"),
        "audio_hours": audio_s / 3600, "speech_hours": sum(row["speech_s"] or 0 for row in rows) / 3600,
        "wall_s": 97.4, "times_real_time": audio_s / 97.4, "started": "2026-11-23T02:00:11+00:00",
        "finished": "2026-11-23T02:01:48+00:00", "complete": True,
        "versions": {"ser-ray": "0.1.0", "ray": "2.60.0", "torch": "2.12.1"},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run | changes))
    return str(folder)


def night(calls: int = 30) -> list[dict[str, Any]]:
    """Rows of a usual night, with every kind of failure and a call without speech among them."""
    rows = [conversation(f"2026-11-22T{8 + n % 10:02}-{n:04}-agent{n % 7}", seed=n) for n in range(calls)]
    rows += [unscored(f"failed-{n}", "error", *failure) for n, failure in enumerate(FAILURES)]
    return [*rows, unscored("silent-1", "no_speech")]


class Element(HTMLParser):
    """Every element of a page as (tag, attributes), and what a browser would take as script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str, tag: str, css_class: str = "") -> list[dict[str, str | None]]:
    return [
        attributes for name, attributes in Element(page).found
        if name == tag and (not css_class or css_class in (attributes.get("class") or "").split())
    ]  # fmt: skip


def page_of(scores: str, top: int = 50) -> str:
    target = Path(scores).parent / "report.html"
    write_scores_page(scores, str(target), top)
    return target.read_text()


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_scores(tmp_path_factory.mktemp("night") / "scores", night())


def by_score(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    worrying = [row for row in rows if row["status"] == "ok" and row["worst_score"] > 0]
    return sorted(worrying, key=lambda row: (-row["worst_score"], row["call_id"]))


def test_summary_counts_each_call_once(scores: str) -> None:
    summary = summarise(scores)
    counts = summary.counts
    assert (counts.listed, counts.ok, counts.no_speech, counts.error) == (36, 30, 1, 5)
    assert summary.problems == ()
    assert sum(len(group.calls) for group in summary.ledger) == 5
    assert [call.call_id for call in summary.no_speech] == ["silent-1"]


def test_calls_are_ranked_by_their_strongest_negative_stretch(scores: str) -> None:
    ranked = summarise(scores).ranked
    expected = by_score(night())
    assert [call.call.call_id for call in ranked] == [row["call_id"] for row in expected]
    assert ranked[0].worst.score == expected[0]["worst_score"]
    assert (ranked[0].worst.leg, ranked[0].worst.start_s) == (
        expected[0]["worst_leg"],
        expected[0]["worst_start_s"],
    )


def test_equal_scores_are_ranked_by_call_id(tmp_path: Path) -> None:
    rows = [scored(name, 60.0, [segment("mono", 10, 20, "anger")]) for name in ("c", "a", "b")]
    ranked = summarise(write_scores(tmp_path / "scores", rows)).ranked
    assert [call.call.call_id for call in ranked] == ["a", "b", "c"]


def test_emotion_time_adds_up_to_the_speech_of_each_leg(scores: str) -> None:
    rows = [row for row in night() if row["status"] == "ok"]
    for leg in summarise(scores).emotion_time:
        angry = sum(
            part["end_s"] - part["start_s"]
            for row in rows
            for part in row["segments"]
            if part["leg"] == leg.leg and part["emotion"] == "anger"
        )
        speech = sum(side["speech_s"] for row in rows for side in row["legs"] if side["leg"] == leg.leg)
        assert leg.seconds["anger"] == pytest.approx(angry, rel=1e-5)
        assert leg.total_s == pytest.approx(speech, rel=1e-5)
        assert tuple(leg.seconds)[: len(NEGATIVE)] == NEGATIVE


def test_ledger_lists_the_largest_group_first(scores: str) -> None:
    groups = [(group.stage, group.type, len(group.calls)) for group in summarise(scores).ledger]
    assert groups == [
        ("decode", "truncated", 2),
        ("decode", "not_audio", 1),
        ("open", "missing", 1),
        ("score", "timeout", 1),
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"counts": {"listed": 40, "ok": 34, "no_speech": 1, "error": 5}}, "40 calls were listed, but 36"),
        ({"counts": {"listed": 36, "ok": 30, "no_speech": 1, "error": 4}}, "36 listed, but 30 ok + 1"),
        (
            {"counts": {"listed": 36, "ok": 29, "no_speech": 2, "error": 5}},
            "29 calls as ok, the rows hold 30",
        ),
        ({"errors": {"truncated": 2, "timeout": 3}}, "3 failures of type timeout, the rows hold 1"),
    ],
)
def test_counts_that_do_not_add_up_are_shown(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    scores = write_scores(tmp_path / "scores", night(), **changes)
    page = page_of(scores)
    assert "The counts do not add up" in page
    assert problem in page
    terminal = StringIO()
    print_summary(summarise(scores), Console(file=terminal, width=200))
    assert problem in terminal.getvalue()


def test_a_call_with_two_rows_is_shown_as_a_problem(tmp_path: Path) -> None:
    rows = [conversation("twice", 1), conversation("twice", 1), conversation("once", 2)]
    (problem,) = summarise(write_scores(tmp_path / "scores", rows)).problems
    assert problem == "1 call ids have more than one row, the first is twice."


def test_header_says_what_was_scored_when_and_by_which_ensemble(scores: str) -> None:
    page = page_of(scores)
    assert "<h1>Calls scored on 23 November 2026</h1>" in page
    for name, fact in {
        "Archive": "s3://calls/2026-11-22",
        "Scored": "23 November 2026, 02:00–02:01 UTC",
        "Ensemble": "night-shift-ensemble, stacking of is10-svm, cnn-bilstm, wavlm-head",
        "Band": "narrow",
        "Fingerprint": "9f3c1ab277de",
    }.items():
        assert f"<dt>{name}</dt><dd>{fact}</dd>" in page


def test_a_run_past_midnight_names_both_days(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2), finished="2026-11-24T01:30:00+00:00")
    assert "23 November 2026, 02:00 – 24 November 2026, 01:30 UTC" in page_of(scores)


def test_a_complete_run_shows_no_notice(scores: str) -> None:
    assert elements(page_of(scores), "section", "notice") == []


def test_a_run_that_is_not_complete_says_how_much_is_missing(tmp_path: Path) -> None:
    counts = {"listed": 100, "ok": 30, "no_speech": 1, "error": 5}
    page = page_of(write_scores(tmp_path / "scores", night(), complete=False, finished=None, counts=counts))
    assert "This run is not complete" in page
    assert "64 of 100 listed calls have no result yet" in page
    assert ">≠</span>" in page


def test_page_shows_the_reason_of_each_ranked_call_in_order(scores: str) -> None:
    page = page_of(scores)
    text = unescape(re.sub(r"<[^>]+>", "", page))
    places = [text.index(f"{reason(ranked.worst)}") for ranked in summarise(scores).ranked]
    assert places == sorted(places)
    assert len(elements(page, "svg", "timeline")) == len(places)


def test_only_the_top_calls_get_a_timeline(scores: str) -> None:
    page = page_of(scores, top=3)
    assert len(elements(page, "svg", "timeline")) == 3
    assert "The first 3 are shown" in page
    assert "LIMIT 3;" in page


def test_segments_lie_in_proportion_to_time(tmp_path: Path) -> None:
    parts = [segment("agent", 0, 20, "calm", 1.0), segment("customer", 50, 100, "anger", 0.8)]
    page = page_of(write_scores(tmp_path / "scores", [scored("call", 200.0, parts)]))
    (calm,) = [rect for rect in elements(page, "rect", "e-calm") if rect["height"] == "22"]
    (anger,) = [rect for rect in elements(page, "rect", "e-anger") if rect["height"] == "22"]
    (outline,) = elements(page, "rect", "worst")
    assert (calm["x"], calm["width"], calm["opacity"]) == ("0.00%", "10.00%", "1.00")
    assert (anger["x"], anger["width"], anger["opacity"]) == ("25.00%", "25.00%", "0.87")
    assert (outline["x"], outline["width"]) == ("25.00%", "25.00%")
    assert "<title>anger, 80 % confident, 00:50–01:40</title>" in page
    assert ">customer: anger</b> from 00:50 to 01:40, 88 % negative</span>" in page
    assert '<text class="minor" x="15.00%"' in page  # 00:30 of 03:20


def test_every_failure_is_on_the_page_with_its_message(scores: str) -> None:
    text = unescape(re.sub(r"<[^>]+>", " ", page_of(scores)))
    for number, (_, kind, message) in enumerate(FAILURES):
        assert message in text
        assert kind in text
        assert f"s3://calls/2026-11-22/failed-{number}.wav" in text
    assert "silent-1" in text


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


def test_text_from_outside_never_becomes_markup(tmp_path: Path) -> None:
    page = page_of(hostile_folder(tmp_path / "<script>scores"))
    assert len(elements(page, "script")) == 1  # our own
    assert '<script>alert("x")' not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_escape_sequences_never_reach_the_terminal(tmp_path: Path) -> None:
    terminal = StringIO()
    summary = summarise(hostile_folder(tmp_path / "scores"))
    print_summary(summary, Console(file=terminal, width=200, force_terminal=False))
    assert "alert" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


def test_page_loads_nothing_and_runs_only_its_own_script(scores: str) -> None:
    page = page_of(scores)
    (policy,) = [meta["content"] for meta in elements(page, "meta") if "http-equiv" in meta]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert all("src" not in attributes and "style" not in attributes for _, attributes in Element(page).found)
    assert all((link["href"] or "").startswith("#") for link in elements(page, "a"))
    assert elements(page, "link") == []


def test_page_of_a_large_night_stays_small(tmp_path: Path) -> None:
    rows = night(60)
    many = [row | {"call_id": f"{row['call_id']}-{n}"} for n in range(20) for row in rows]
    page = page_of(write_scores(tmp_path / "scores", many))
    assert len(elements(page, "svg", "timeline")) == 50
    assert len(page.encode()) < 2_000_000


def test_a_night_without_a_scored_call_still_has_a_page(tmp_path: Path) -> None:
    page = page_of(
        write_scores(tmp_path / "scores", [unscored("a", "no_speech"), unscored("b", "no_speech")])
    )
    assert "None of the 0 scored calls has a negative stretch." in page
    assert "No speech was scored." in page


def test_terminal_totals_and_calls(scores: str) -> None:
    terminal = StringIO()
    summary = summarise(scores)
    print_summary(summary, Console(file=terminal, width=200), top=4)
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "36 listed = 30 ok + 1 no speech + 5 failed"
    shown = [ranked for ranked in summary.ranked if any(reason(ranked.worst) in line for line in lines)]
    assert shown == list(summary.ranked[:4])
    assert any("truncated" in line and " 2 " in line for line in lines)


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="scores folder not found"):
        summarise(str(tmp_path / "nowhere"))


def test_folder_without_run_json_is_not_a_scores_folder(tmp_path: Path) -> None:
    with pytest.raises(BadStore, match=r"no run\.json"):
        summarise(str(tmp_path))


def test_folder_without_calls_is_reported(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    shutil.rmtree(tmp_path / "scores" / "calls")
    with pytest.raises(MissingInput, match="scores/calls"):
        summarise(scores)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "has format None"),
        ('{"format": 2}', "has format 2, this version reads 1"),
        ('{"format": 1}', "archive: Field required"),
    ],
)
def test_foreign_run_json_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    (tmp_path / "scores" / "run.json").write_text(content)
    with pytest.raises(BadStore, match=message) as error:
        summarise(scores)
    assert "\n" not in str(error.value)


def test_foreign_parquet_is_refused_with_the_missing_columns(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", [])
    for file in (tmp_path / "scores" / "calls").iterdir():
        pq.write_table(pa.table({"call_id": ["a"], "price": [1.0]}), file)
    with pytest.raises(BadStore, match=r"scores/calls does not hold.*uri") as error:
        summarise(scores)
    assert "\n" not in str(error.value)


def test_damaged_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    file = tmp_path / "scores" / "calls" / "part-1.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadStore, match=r"scores/calls does not hold") as error:
        summarise(scores)
    assert "\n" not in str(error.value)


def test_files_of_two_schemas_are_refused(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    file = tmp_path / "scores" / "calls" / "part-0.parquet"
    table = pq.read_table(file)
    column = table.schema.get_field_index("duration_s")
    pq.write_table(table.set_column(column, "duration_s", pa.array(["long"] * len(table))), file)
    with pytest.raises(BadStore, match="duration_s has incompatible types"):
        summarise(scores)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (59.6, "01:00"), (130.2, "02:10"), (3599.7, "1:00:00"), (7384, "2:03:04")],
)
def test_clock_reads_as_in_a_player(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("trend", "word"), [(0.3, ", rising"), (-0.3, ", falling"), (0.05, ", steady"), (None, "")]
)
def test_reason_is_a_sentence(trend: float | None, word: str) -> None:
    stretch = Stretch("customer", 130.0, 168.0, "anger", 0.81, 11.8, trend)
    assert reason(stretch) == f"customer: anger from 02:10 to 02:48, 81 % negative{word}"


@pytest.mark.parametrize(("text", "safe"), [("a\nb\tc", "a b c"), ("\x1b[2J", "�[2J"), ("Zoë 東", "Zoë 東")])
def test_printable_keeps_words_and_marks_control_characters(text: str, safe: str) -> None:
    assert printable(text) == safe


# Simulation of colour-blind sight in linear RGB at full severity (Machado, Oliveira & Fernandes 2009).
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def oklab(colours: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """sRGB colours [n, 3] in 0..1, as seen with `sight`, in Oklab (Ottosson 2020)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                      [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    to_lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                       [1.9779984951, -2.4285922050, 0.4505937099],
                       [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    return np.cbrt(np.clip(linear @ sight.T, 0, 1) @ cones.T) @ to_lab.T


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_emotions_stay_apart_for_colour_blind_eyes(scores: str, scheme: int, sight: str) -> None:
    palette = re.findall(rf"--({'|'.join(LABELS)}): #([0-9a-f]{{6}})", page_of(scores, top=1))
    colours = dict(palette[scheme * len(LABELS) : (scheme + 1) * len(LABELS)])
    assert colours.keys() == set(LABELS)
    rgb = np.array([list(bytes.fromhex(colour)) for colour in colours.values()]) / 255
    seen = oklab(rgb, SIGHT[sight])
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 0.08


def test_chromium_shows_the_page_without_an_error(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    page_of(write_scores(tmp_path / "scores", night(12)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]  # fmt: skip
    shown = subprocess.run(
        [chromium, *flags, (tmp_path / "report.html").as_uri()], capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0
    assert ":CONSOLE" not in shown.stderr  # where Chromium logs script errors and refused loads
    assert len(elements(shown.stdout, "svg", "timeline")) == len(by_score(night(12)))
    (search,) = elements(shown.stdout, "div", "filter")
    assert "hidden" not in search  # the script ran: its hash is the one the policy admits
