"""The summary of a night: counts, order of calls, emotion time, ledger, and its lines in the terminal."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ser_ray.reports import print_summary, summarise
from ser_ray.reports.phrases import ENGLISH
from tests.reports.nights import (
    NEGATIVE,
    by_score,
    conversation,
    hostile_folder,
    night,
    page_of,
    scored,
    segment,
    write_scores,
)


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
    assert ENGLISH.problem(problem) == "1 call ids have more than one row, the first is twice."


def test_terminal_totals_and_calls(scores: str) -> None:
    terminal = StringIO()
    summary = summarise(scores)
    print_summary(summary, Console(file=terminal, width=200), top=4)
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "36 listed = 30 ok + 1 no speech + 5 failed"
    shown = [
        ranked for ranked in summary.ranked if any(ENGLISH.reason(ranked.worst) in line for line in lines)
    ]
    assert shown == list(summary.ranked[:4])
    assert any("truncated" in line and " 2 " in line for line in lines)


def test_escape_sequences_never_reach_the_terminal(tmp_path: Path) -> None:
    terminal = StringIO()
    summary = summarise(hostile_folder(tmp_path / "scores"))
    print_summary(summary, Console(file=terminal, width=200, force_terminal=False))
    assert "alert" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()
