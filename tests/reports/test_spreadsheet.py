"""The CSV: every call once, numbers as numbers, and no text that a spreadsheet would run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ser_ray.reports import summarise, write_spreadsheet
from ser_ray.reports.phrases import ENGLISH
from tests.reports.nights import by_score, night, scored, segment, unscored, write_scores


def read(file: Path) -> list[dict[str, str]]:
    assert file.read_bytes().startswith("\N{ZERO WIDTH NO-BREAK SPACE}".encode())
    return list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))


def test_every_call_has_a_row_and_the_ranked_ones_come_first(scores: str, tmp_path: Path) -> None:
    summary = summarise(scores)
    write_spreadsheet(summary, str(tmp_path / "calls.csv"))
    rows = read(tmp_path / "calls.csv")
    ranked = by_score(night())
    assert [row["call_id"] for row in rows[: len(ranked)]] == [row["call_id"] for row in ranked]
    assert [row["rank"] for row in rows[: len(ranked) + 1]] == [*map(str, range(1, len(ranked) + 1)), ""]
    assert sorted(row["call_id"] for row in rows) == sorted(row["call_id"] for row in night())
    first = summary.ranked[0]
    assert rows[0]["reason"] == ENGLISH.reason(first.worst)
    assert float(rows[0]["negativity"]) == pytest.approx(first.call.negativity, abs=5e-4)
    (missing,) = [row for row in rows if row["error_type"] == "missing"]
    assert (missing["status"], missing["error_stage"], missing["worst_emotion"]) == ("error", "open", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " \t=1", "＝1"])
def test_a_text_that_would_be_a_formula_begins_with_an_apostrophe(text: str, tmp_path: Path) -> None:
    rows = [scored(text, 60.0, [segment("agent", 0, 5, "calm")]), unscored("b", "error", "read", "x", text)]
    write_spreadsheet(summarise(write_scores(tmp_path / "scores", rows)), str(tmp_path / "calls.csv"))
    written = {row["status"]: row for row in read(tmp_path / "calls.csv")}
    assert written["ok"]["call_id"] == f"'{text.strip()}"
    assert written["error"]["error"] == f"'{text.strip()}"
    assert written["error"]["call_id"] == "b"
