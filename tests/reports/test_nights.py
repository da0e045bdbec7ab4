"""Nights beside a scores folder, and what the page says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_ray.reports import summarise, write_scores_page
from ser_ray.reports.nights import Nights, read_nights
from tests.reports.nights import LABELS, night, write_scores
from tests.reports.pages import Page


def write(folder: Path, day: int, **changes: Any) -> str:
    figures = {"ranked": 15, "negativity": day / 100, "confidence": 0.7}
    return write_scores(folder / f"dt=2026-11-{day:02}", night(), **{"figures": figures, **changes})


def nights_of(scores: str, most: int = 14) -> Nights | None:
    return read_nights(scores, summarise(scores).run, most)


def test_complete_nights_before_this_one_are_found_by_date(tmp_path: Path) -> None:
    for day in (20, 18, 19, 23):
        write(tmp_path, day)
    (tmp_path / "dt=2026-11-17").mkdir()
    write(tmp_path, 16, complete=False)
    other = {
        "uri": "e",
        "fingerprint": "f",
        "rule": "mean",
        "labels": LABELS[:2],
        "negative": [],
        "band": "wide",
    }
    write(tmp_path, 15, ensemble={**other, "members": []})
    write(tmp_path, 14, figures=None)
    scores = write(tmp_path, 22)
    nights = nights_of(scores)
    assert nights is not None
    assert [night.date for night in nights.before] == ["2026-11-18", "2026-11-19", "2026-11-20"]
    assert nights.left_out == 4
    assert (nights.now.date, nights.now.calls, nights.now.ranked) == ("2026-11-22", 36, 15 / 30)
    assert nights.now.failed == 5 / 36
    assert nights.median(lambda night: night.negativity) == 0.19
    assert nights.is_outside(lambda night: night.negativity)
    assert not nights.is_outside(lambda night: night.confidence)
    nearest = nights_of(scores, most=2)
    assert nearest is not None
    assert [night.date for night in nearest.before] == ["2026-11-19", "2026-11-20"]
    assert nights_of(scores, most=0) is None


def test_a_folder_without_a_date_or_alone_has_no_trend(tmp_path: Path) -> None:
    alone = write(tmp_path, 22)
    assert nights_of(alone) is None
    write(tmp_path, 21)
    assert nights_of(write_scores(tmp_path / "scores", night())) is None


def test_the_page_says_what_is_out_of_the_ordinary(tmp_path: Path) -> None:
    for day in (18, 19, 20):
        write(tmp_path, day)
    scores = write(tmp_path, 22)
    write_scores_page(scores, str(tmp_path / "report.html"))
    page = Page((tmp_path / "report.html").read_text())
    assert "Outside the range of the 3 earlier nights: negativity 22.0 % (median 19.0 %)." in page.text
    assert page.tables["Figures of each night"][1] == [
        "2026-11-22",
        "36",
        "22.0 %",
        "50.0 %",
        "13.9 %",
        "70.0 %",
    ]
    assert len(page.all("svg", "nightly")) == 5
    write_scores_page(scores, str(tmp_path / "report.html"), nights=0)
    assert Page((tmp_path / "report.html").read_text()).all("svg", "nightly") == []
