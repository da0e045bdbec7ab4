"""The morning report: what was scored, the calls to hear first, hostile text, what it may load."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

from ser_ray.reports import summarise
from ser_ray.reports.wording import reason
from tests.reports.nights import (
    FAILURES,
    by_score,
    hostile_folder,
    night,
    page_of,
    scored,
    segment,
    unscored,
    write_scores,
)
from tests.reports.pages import Page, in_chromium


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
    assert Page(page_of(scores)).all("section", "notice") == []


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
    assert len(Page(page).all("svg", "timeline")) == len(places)


def test_only_the_top_calls_get_a_timeline(scores: str) -> None:
    page = page_of(scores, top=3)
    assert len(Page(page).all("svg", "timeline")) == 3
    assert "The first 3 are shown" in page
    assert "LIMIT 3;" in page


def test_segments_lie_in_proportion_to_time(tmp_path: Path) -> None:
    parts = [segment("agent", 0, 20, "calm", 1.0), segment("customer", 50, 100, "anger", 0.8)]
    page = page_of(write_scores(tmp_path / "scores", [scored("call", 200.0, parts)]))
    (calm,) = [rect for rect in Page(page).all("rect", "e-calm") if rect["height"] == "22"]
    (anger,) = [rect for rect in Page(page).all("rect", "e-anger") if rect["height"] == "22"]
    (outline,) = Page(page).all("rect", "worst")
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


def test_text_from_outside_never_becomes_markup(tmp_path: Path) -> None:
    page = page_of(hostile_folder(tmp_path / "<script>scores"))
    assert len(Page(page).all("script")) == 1  # our own
    assert '<script>alert("x")' not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_page_loads_nothing_and_runs_only_its_own_script(scores: str) -> None:
    page = Page(page_of(scores))
    assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page.policy
    assert not {"src", "style"} & page.attributes
    assert all((link["href"] or "").startswith("#") for link in page.all("a"))
    assert page.all("link") == []


def test_page_of_a_large_night_stays_small(tmp_path: Path) -> None:
    rows = night(60)
    many = [row | {"call_id": f"{row['call_id']}-{n}"} for n in range(20) for row in rows]
    page = page_of(write_scores(tmp_path / "scores", many))
    assert len(Page(page).all("svg", "timeline")) == 50
    assert len(page.encode()) < 2_000_000


def test_a_night_without_a_scored_call_still_has_a_page(tmp_path: Path) -> None:
    page = page_of(
        write_scores(tmp_path / "scores", [unscored("a", "no_speech"), unscored("b", "no_speech")])
    )
    assert "None of the 0 scored calls has a negative stretch." in page
    assert "No speech was scored." in page


def test_chromium_shows_the_page_without_an_error(tmp_path: Path) -> None:
    page_of(write_scores(tmp_path / "scores", night(12)))
    shown = in_chromium(tmp_path / "report.html")
    assert shown.returncode == 0
    assert ":CONSOLE" not in shown.stderr  # where Chromium logs script errors and refused loads
    dom = Page(shown.stdout)
    assert len(dom.all("svg", "timeline")) == len(by_score(night(12)))
    (search,) = dom.all("div", "filter")
    assert "hidden" not in search  # the script ran: its hash is the one the policy admits
