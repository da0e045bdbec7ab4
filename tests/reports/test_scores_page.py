"""The morning report: what was scored, the calls to hear first, hostile text, what it may load."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray.reports import summarise, write_scores_page
from ser_ray.reports.phrases import ENGLISH
from tests.reports.nights import (
    FAILURES,
    LEG,
    SCHEMA,
    SEGMENT,
    busy_night,
    by_score,
    hostile_folder,
    night,
    page_of,
    scored,
    segment,
    unscored,
    write_scores,
)
from tests.reports.pages import SAFE, Page, in_chromium


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
    places = [text.index(ENGLISH.reason(ranked.worst)) for ranked in summarise(scores).ranked]
    assert places == sorted(places)
    assert len(Page(page).all("svg", "timeline")) == len(places)


def test_only_the_top_calls_get_a_timeline_and_all_are_in_the_data(scores: str) -> None:
    page = Page(page_of(scores, top=3))
    assert len(page.all("svg", "timeline")) == 3
    assert "The first 3 are shown" in page.text
    held = [call[0] for call in page.data["calls"]]
    assert held == [row["call_id"] for row in by_score(night())]
    assert all(call[-1] == [] for call in page.data["calls"])


def test_the_data_holds_the_segments_of_calls_whose_timeline_the_script_draws(tmp_path: Path) -> None:
    rows = busy_night(60)
    page = Page(page_of(write_scores(tmp_path / "scores", rows), top=52))
    drawn = {call[0]: call[-1] for call in page.data["calls"] if call[-1]}
    assert list(drawn) == [row["call_id"] for row in by_score(rows)[50:52]]
    for row in by_score(rows)[50:52]:
        legs, emotions = page.data["values"]["leg"], page.data["values"]["emotion"]
        numbers = drawn[row["call_id"]]
        fives = [numbers[n : n + 5] for n in range(0, len(numbers), 5)]
        for part, (leg, start, span, emotion, confidence) in zip(row["segments"], fives, strict=True):
            assert (legs[leg], emotions[emotion]) == (part["leg"], part["emotion"])
            assert (start, start + span) == (round(10 * part["start_s"]), round(10 * part["end_s"]))
            assert abs(confidence) == pytest.approx(100 * part["confidence"], abs=0.5)
            assert (confidence > 0) == part["certain"]


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
    assert Page(page).all("script") == [{"type": "application/json", "id": "data"}, {}]  # our own
    assert Page(page).data["calls"][0][0] == SAFE
    assert '<script>alert("x")' not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_page_loads_nothing_and_runs_only_its_own_script(scores: str) -> None:
    page = Page(page_of(scores))
    assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page.policy
    assert not {"src", "style"} & page.attributes
    assert [link["href"] for link in page.all("a")] == ["#calls"]
    assert page.all("link") == []


def test_a_page_beside_the_rows_links_to_them(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    write_scores_page(scores, f"{scores}/report.html")
    page = Page((tmp_path / "scores" / "report.html").read_text())
    assert [link["href"] for link in page.all("a")] == ["#calls", "calls/"]


def test_page_of_a_large_night_stays_small(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", busy_night(2000))
    page = page_of(scores)
    assert len(Page(page).all("svg", "timeline")) == 50
    assert len(page.encode()) < 5_000_000
    assert len(page_of(scores, top=50).encode()) - len(page_of(scores, top=1).encode()) < 1_500_000


def test_warnings_of_drift_are_a_notice(tmp_path: Path) -> None:
    page = page_of(
        write_scores(tmp_path / "scores", night(2), drift={"warnings": ["Quieter by 12 dB."], "x": 1})
    )
    assert '<ul lang="en"><li>Quieter by 12 dB.</li></ul>' in page
    assert Page(page).all("section", "notice") == [{"class": "notice warn", "aria-label": "Warning"}]


def test_what_is_not_certain_is_shown_where_the_run_knows_it(tmp_path: Path) -> None:
    parts = [segment("agent", 0, 30, "anger", 0.9), segment("agent", 30, 40, "anger", 0.4)]
    row = scored("call", 40.0, parts)
    page = Page(page_of(write_scores(tmp_path / "known", [row])))
    assert page.tables["Legs of call"][0][5] == "Uncertain"
    assert page.tables["Legs of call"][1][5] == "25 %"
    assert [rect["width"] for rect in page.all("rect", "unsure")] == ["25.00%"]
    assert "anger, 40 % confident, not certain, 00:30–00:40" in page.text
    assert "25 % of the speech is in segments that are not certain" in page.text
    run = json.loads((tmp_path / "known" / "run.json").read_text())
    ensemble = run["ensemble"] | {"certain_from": None}
    page = Page(page_of(write_scores(tmp_path / "unknown", [row], ensemble=ensemble)))
    assert "Uncertain" not in page.tables["Legs of call"][0]
    assert "Uncertain" not in page.facts


def test_rows_without_certainty_have_a_page(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(3))
    segment_type = pa.struct([field for field in SEGMENT if field.name != "certain"])
    leg_type = pa.struct([field for field in LEG if field.name != "uncertain_s"])
    before = [
        SCHEMA.field(name).with_type(pa.list_(kind))
        for name, kind in (("segments", segment_type), ("legs", leg_type))
    ]
    changed = SCHEMA
    for field in before:
        changed = changed.set(SCHEMA.get_field_index(field.name), field)
    for file in (tmp_path / "scores" / "calls").iterdir():
        pq.write_table(pa.Table.from_pylist(pq.read_table(file).to_pylist(), changed), file)
    assert len(Page(page_of(scores)).all("svg", "timeline")) == 3


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
