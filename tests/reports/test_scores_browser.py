"""The scores page in a browser: filters, rows that its script draws, keyboard, phone, dark, Korean."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from ser_ray.reports import summarise, write_scores_page
from ser_ray.reports.phrases import ENGLISH, KOREAN
from ser_ray.reports.records import read_segments
from ser_ray.reports.timeline import timeline
from tests.reports.browser import DESKTOP, PHONE, Browser, chromium
from tests.reports.nights import busy_night, by_score, hostile_folder, write_scores
from tests.reports.pages import SAFE, Page

ROWS = ".calls > li"
TIME = re.compile(r"\d\d:\d\d")  # of a segment in whole seconds, from tenths in the data: may be one apart
EMOTION, LEG, AGENT = (f'select[data-filter="{name}"]' for name in ("emotion", "leg", "agent"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the pages `en.html` and `ko.html` of a night whose calls have agents and dates."""
    folder = tmp_path_factory.mktemp("busy")
    summary = summarise(write_scores(folder / "scores", busy_night(200)))
    for language in ("en", "ko"):
        write_scores_page(summary, str(folder / f"{language}.html"), top=120, language=language)
    return folder


def ranked() -> list[dict[str, Any]]:
    return by_score(busy_night(200))


def ids(browser: Browser) -> list[str]:
    return browser.texts(f"{ROWS} .call-id bdi")


def test_emotion_leg_and_agent_filter_together_and_are_counted(browser: Browser, busy: Path) -> None:
    browser.open(busy / "en.html")
    assert browser.text("output") == f"50 of {len(ranked())} calls shown"
    browser.choose(EMOTION, "anger")
    angry = [row for row in ranked() if row["worst_emotion"] == "anger"]
    assert ids(browser) == [row["call_id"] for row in angry][:50]
    browser.choose(LEG, "agent")
    both = [row for row in angry if row["worst_leg"] == "agent"]
    assert ids(browser) == [row["call_id"] for row in both]
    assert browser.text("output") == f"{len(both)} of {len(both)} calls shown, found among {len(ranked())}"
    browser.choose(AGENT, "agent-001")
    assert browser.text("output") == "No call fits"
    assert ids(browser) == []
    assert browser.text("#query").splitlines()[2:5] == [
        "  AND agent = 'agent-001'",
        "  AND worst_leg = 'agent'",
        "  AND worst_emotion = 'anger'",
    ]
    browser.click(".clear")
    assert len(ids(browser)) == 50
    assert len(browser.text("#query").splitlines()) == 3
    assert browser.complaints == []


def test_filters_are_kept_in_the_address(browser: Browser, busy: Path) -> None:
    browser.open(busy / "en.html")
    browser.choose(EMOTION, "fear")
    browser.click("input")
    browser.type("2026-11-22")
    found, address = ids(browser), browser.value("location.hash")
    expected = [row for row in ranked() if (row["worst_emotion"], row["date"]) == ("fear", "2026-11-22")]
    assert found == [row["call_id"] for row in expected][:50]
    browser.open(busy / "en.html", address=address)
    assert ids(browser) == found
    assert browser.value("document.querySelector('input').value") == "2026-11-22"


def test_more_shows_all_calls_in_order_and_moves_the_focus_to_the_first_new_one(
    browser: Browser, busy: Path
) -> None:
    browser.open(busy / "en.html")
    browser.click(".more")
    assert browser.value("document.activeElement.querySelector('.rank').textContent") == "51"
    while not browser.value("document.querySelector('.more').hidden"):
        browser.click(".more")
    assert ids(browser) == [row["call_id"] for row in ranked()]
    reasons = [" ".join(text.split()) for text in browser.texts(f"{ROWS} .why")]
    assert reasons == [ENGLISH.reason(call.worst) for call in summarise(str(busy / "scores")).ranked]


def test_rows_of_the_script_read_as_those_of_the_report(browser: Browser, busy: Path) -> None:
    write_scores_page(str(busy / "scores"), str(busy / "few.html"), top=2)
    shown = []
    for page in ("en.html", "few.html"):
        browser.open(busy / page)
        browser.click(".unfold")
        browser.settle()
        rows = browser.value(
            f"[...document.querySelectorAll('{ROWS}')].map((row) => [row.id, row.querySelector('summary')"
            ".textContent, row.querySelector('table').outerHTML, "
            "row.querySelector('.source:last-child').textContent])"
        )
        shown.append(rows[:50])
    assert shown[0] == shown[1]
    assert len(browser.texts(".timeline")) == 2
    assert browser.texts(f"{ROWS}:nth-child(3) .source")[0] == ENGLISH("no_timeline", top="2")


def test_the_script_draws_the_timeline_of_the_report(browser: Browser, busy: Path) -> None:
    call = summarise(str(busy / "scores")).ranked[60]
    segments = read_segments(str(busy / "scores"), [call.call.call_id])[call.call.call_id]
    expected = Page(timeline(call.call, call.worst, segments, ENGLISH))
    browser.open(busy / "en.html")
    browser.click(".more")
    browser.click("#call-61 summary")
    browser.settle()
    drawn = Page(browser.value("document.querySelector('#call-61 .timeline').outerHTML"))
    assert TIME.sub("", drawn.text) == TIME.sub("", expected.text)
    assert drawn.all("svg")[0]["aria-label"] == expected.all("svg")[0]["aria-label"]
    for theirs, ours in zip(drawn.all("rect"), expected.all("rect"), strict=True):
        assert theirs["class"] == ours["class"]
        for side in ("x", "width"):
            at, there = (float((rect.get(side) or "0").rstrip("%")) for rect in (theirs, ours))
            assert at == pytest.approx(there, abs=0.4)  # of 100: times are rounded in the data


def test_a_row_unfolds_by_key(browser: Browser, busy: Path) -> None:
    browser.open(busy / "en.html")
    browser.value("document.querySelector('#call-2 summary').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.value("document.querySelector('#call-2 details').open") is True
    browser.press("Tab", 9)
    assert browser.value("document.activeElement.getAttribute('aria-label')").startswith("Legs of dt=")
    browser.press("Tab", 9)
    assert browser.value("document.activeElement.querySelector('.rank').textContent") == "3"


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("ko", "dark")])
def test_nothing_is_wider_than_the_screen_and_the_picture_is_of_that_scheme(
    browser: Browser, busy: Path, width: int, language: str, scheme: str
) -> None:
    browser.open(busy / f"{language}.html", width, scheme)
    browser.click(".unfold")
    assert browser.value("document.documentElement.scrollWidth") == width
    browser.value("scrollTo(0, 0)")
    browser.settle()
    picture = matplotlib.image.imread(io.BytesIO(browser.picture(whole=False)))[..., :3]
    assert picture.shape[1] == width
    ground = np.median(picture.reshape(-1, 3), axis=0)
    assert (ground.mean() > 0.5) == (scheme == "light")
    assert np.mean(np.abs(picture - ground).max(axis=2) > 0.2) > 0.02  # text and drawings
    assert browser.complaints == []


def test_the_korean_page_filters_and_counts_in_korean(browser: Browser, busy: Path) -> None:
    browser.open(busy / "ko.html")
    assert browser.value("document.documentElement.lang") == "ko"
    browser.click("input")
    browser.type("분노 고객")
    angry = [row for row in ranked() if (row["worst_emotion"], row["worst_leg"]) == ("anger", "customer")]
    assert ids(browser) == [row["call_id"] for row in angry][:50]
    counts = {"all": f"{len(ranked())}", "found": f"{len(angry)}", "shown": f"{min(len(angry), 50)}"}
    assert browser.text("output") == KOREAN("count_found", **counts)
    assert browser.texts(f"{ROWS} .why b")[-1] == "고객: 분노"


def test_text_from_outside_stays_text_in_rows_of_the_script(browser: Browser, tmp_path: Path) -> None:
    write_scores_page(hostile_folder(tmp_path / "scores"), str(tmp_path / "report.html"))
    browser.open(tmp_path / "report.html")
    assert ids(browser) == [SAFE]
    assert browser.complaints == []
