"""Drawings of a search: its course, its axes and lines, the importance of settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.reports.parallel_coordinates import MOST_LINES, parallel_coordinates
from ser_ray.reports.search_course import best_so_far, held, ua_axis
from ser_ray.reports.searches import Dimension, Measured, Trial
from tests.reports.pages import Page
from tests.reports.searches import ROWS, SEARCH, START, page_of


def test_best_so_far_steps_where_a_trial_that_was_done_is_better(search_page: Page) -> None:
    # UA 50 % until the fourth end, though a stopped one had 90 %
    (steps,) = search_page.all("polyline", "so-far")
    axis = ua_axis([0.5, 0.9, 0.875, 0.625], 0.875, 0.75)
    assert (axis.low, axis.high) == (50.0, 90.0)
    assert steps["points"] == "0.00,100.00 75.00,100.00 75.00,6.25 100.00,6.25"
    dots = [
        (dot["class"], dot["cx"], dot["cy"]) for dot in search_page.all("circle") if dot["class"] != "tick"
    ]
    assert dots == [
        ("done", "0.00%", "100.00%"), ("stopped", "50.00%", "0.00%"), ("done best", "75.00%", "6.25%"),
        ("done", "100.00%", "68.75%"),
    ]  # fmt: skip
    assert [(mark["x"], mark["y"]) for mark in search_page.all("text", "failed")] == [("25.00%", "100%")]
    assert [level["y1"] for level in search_page.all("line", "default")] == ["37.50%"]
    assert "best so far: 87.5 % in the end" in search_page.text


@given(st.lists(st.tuples(st.sampled_from(["done", "stopped", "failed"]), st.floats(0, 1)), max_size=12))
def test_best_so_far_is_the_running_maximum_of_what_was_done(ended: list[tuple[Any, float]]) -> None:
    trials = [
        Trial(str(k), status, None if status == "failed" else ua, None, 1.0, 1.0, START, None, {})
        for k, (status, ua) in enumerate(ended)
    ]
    expected = [
        max((ua for status, ua in ended[: k + 1] if status == "done"), default=None)
        for k in range(len(ended))
    ]
    assert best_so_far(trials) == expected


def test_lines_lie_where_the_settings_do_and_the_best_is_on_top(search_page: Page) -> None:
    drawn = search_page.all("polyline")[1:]  # after the curve: C on a log axis of four decades, units, UA
    assert [(line["class"], line["points"]) for line in drawn] == [
        ("q0 done", "0.00,0.00 12.50,50.00 0.00,100.00"),
        ("q2 done", "50.00,0.00 70.31,50.00 31.25,100.00"),
        ("q7 done", "100.00,0.00 35.94,50.00 93.75,100.00"),
        ("q7 stopped", "25.00,0.00 87.50,50.00 100.00,100.00"),
        ("default", "50.00,0.00 28.12,50.00 62.50,100.00"),
        ("best", "100.00,0.00 35.94,50.00 93.75,100.00"),
    ]  # 64 is at 25 % and 128 at 75 %, each with 25 % about it for the UA from 50 to 90 %
    assert "Drawn: 4 of 5; without a UA: 1." in search_page.text
    assert "00002: UA 90.0 %; C 1, units 128" in search_page.text


@pytest.mark.parametrize(
    ("dimension", "places", "ticks"),
    [
        (Dimension("log", 1e-4, 1e-2), {1e-4: 0, 1e-3: 50, 1e-2: 100}, "0.0001 0.001 0.01"),
        (Dimension("log", 0.02, 0.5), {0.1: 50, 0.5: 100, 1.0: 100}, "0.02 0.1 0.5"),
        (Dimension("int", 1, 8), {1: 0, 8: 100}, "1 2 4 6 8"),
        (Dimension("int", 100, 1000), {550: 50}, "100 200 400 600 800 1000"),
        (Dimension("float", 0.0, 0.5), {0.0: 0, 0.125: 25}, "0 0.1 0.2 0.3 0.4 0.5"),
        (Dimension("float", 3.0, 3.0), {3.0: 50}, "3"),
        (Dimension("choice", choices=(True, False)), {True: 25, False: 75, "true": None}, "true false"),
        (Dimension("choice", choices=(True, False)), {1: None, 0: None}, "true false"),
        (Dimension("choice", choices=(13, 20.5, "a", None)), {13: 12.5, 20.5: 37.5, None: 87.5},
         "13 20.5 a none"),
        (Dimension("int", 1, 8), {"4": None, True: None}, "1 2 4 6 8"),
    ],
)  # fmt: skip
def test_axes_place_their_values_and_tick_their_ends(
    dimension: Dimension, places: dict[Any, float | None], ticks: str
) -> None:
    assert {value: dimension.place(value) for value in places} == pytest.approx(places)
    assert " ".join(text for _, text in dimension.ticks) == ticks


def test_axis_of_ua_leaves_out_what_lies_far_beneath_the_rest() -> None:
    uas = [0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.14]
    axis = ua_axis(uas, 0.85)
    assert 70 <= axis.low <= 80
    assert axis.high == 86
    assert held(axis, 0.14) == 0
    assert ua_axis(uas, 0.85, 0.3).low <= 30  # the defaults are never left out
    assert ua_axis([], 0.5).low <= 50 <= ua_axis([], 0.5).high


def test_of_very_many_trials_some_are_drawn_from_the_worst_to_the_best() -> None:
    space = {"C": Dimension("float", 0, 1)}
    trials = [
        Trial(f"{k:05}", "done", k / 1000, None, 1.0, 1.0, START, None, {"C": k / 1000}) for k in range(1000)
    ]
    best = Measured({"C": 0.999}, 0.999)
    drawn, shown = parallel_coordinates(space, trials, best, None, ua_axis([0.0, 1.0]))
    titles = re.findall(r"<title>(\d+):", drawn)
    assert (shown, len(titles), len(set(titles))) == (MOST_LINES, MOST_LINES, MOST_LINES)
    assert (titles[0], titles[-1]) == ("00000", "00999")
    lacking = [Trial("x", "done", 0.5, None, 1.0, 1.0, START, None, {})]
    assert parallel_coordinates(space, lacking, best, None, ua_axis([0.0, 1.0]))[1] == 0


def test_importance_has_a_bar_for_each_setting_the_longest_for_the_most(search_page: Page) -> None:
    assert search_page.tables["Importance"][1:] == [["C", "80.0 %", ""], ["units", "20.0 %", ""]]
    assert [bar["width"] for bar in search_page.all("rect")] == ["100.00%", "25.00%"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, "Trials to the end: 3, too few to say how much each setting matters."),
        ({"space": {"C": SEARCH["space"]["C"]}}, "Only one setting was searched: there is nothing"),
        (
            {"rows": [r if r["ua"] is None else r | {"ua": 0.875} for r in ROWS]},
            "All trials done have the same UA: no setting can be said to matter.",
        ),
    ],
)
def test_importance_that_is_not_known_is_a_sentence(
    changed: dict[str, Any], why: str, tmp_path: Path
) -> None:
    shown = page_of(tmp_path, importance=None, **changed)
    assert why in shown.text
    assert "Importance" not in shown.tables
