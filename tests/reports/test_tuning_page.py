"""The page of a search, from searches made here: figures, order of trials, drawings, hostile text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ser_ray import cli
from ser_ray.errors import BadStore, MissingInput
from ser_ray.reports.parallel_coordinates import MOST_LINES, parallel_coordinates
from ser_ray.reports.search_course import best_so_far, held, ua_axis
from ser_ray.reports.searches import Dimension, Measured, Trial, value_text
from ser_ray.reports.tuning_page import MOST_ROWS, has_tuning_page, write_tuning_page

HOSTILE = '<script>alert("x")</script>\x1b[31m\u202egnp.exe'
SAFE = '<script>alert("x")</script>\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}gnp.exe'
START = datetime(2026, 11, 22, 20, tzinfo=UTC)
SCHEMA = pa.schema([
    ("trial", pa.string()), ("status", pa.string()), ("ua", pa.float64()), ("spread", pa.float64()),
    ("folds", pa.list_(pa.float64())), ("share", pa.float64()), ("seconds", pa.float64()),
    ("ended", pa.timestamp("us", "UTC")), ("error", pa.string()), ("settings", pa.string()),
])  # fmt: skip
SEARCH: dict[str, Any] = {
    "family": "svm", "corpora": ["emodb", "own"], "utterances": 1535,
    "labels": ["anger", "fear", "joy", "calm"],
    "protocol": "5 inner folds, speakers apart", "seed": 3, "searcher": "optuna", "scheduler": "asha",
    "space": {"C": {"type": "log", "low": 0.1, "high": 1000.0},
              "units": {"type": "choice", "choices": [64, 128]}},
    "fixed": {"gamma": 0.3}, "wall_s": 83.0, "trials": {"done": 3, "stopped": 1, "failed": 1},
    "default": {"settings": {"C": 10.0, "units": 64, "gamma": 0.1, "pca": True}, "ua": 0.75, "spread": 0.031},
    "best": {
        "trial": "00003", "settings": {"gamma": 0.3, "pca": True, "C": 1000.0, "units": 64},
        "ua": 0.875, "spread": 0.02,
    },
    "importance": {"units": 0.2, "C": 0.8},
    "outer": None, "versions": {"ser_ray": "0.1.0", "optuna": "5.0.0"},
}  # fmt: skip
OUTER: dict[str, Any] = {
    "protocol": "loso", "utterances": 1535,
    "default": {"ua": [0.85, 0.8, 0.9]}, "tuned": {"ua": [0.86, 0.81, 0.91]},
    "difference": [0.01, -0.01, 0.03],
    "folds": [
        {"fold": "speaker 03", "settings": {"C": 3.0, "units": 128}, "inner_ua": 0.88, "default_ua": 0.8,
         "tuned_ua": 0.795},
        {"fold": "speaker 08", "settings": {"C": 9.0, "units": 64}, "inner_ua": 0.9, "default_ua": 0.8,
         "tuned_ua": 0.8},
    ],
}  # fmt: skip


def row(number: int, status: str, ua: float | None, settings: dict[str, Any], **other: Any) -> dict[str, Any]:
    """A row of trials.parquet; trials end in the order of their numbers."""
    return {
        "trial": f"{number:05}", "status": status, "ua": ua, "spread": ua and 0.025,
        "folds": [ua] * 2 if ua else [],
        "share": 1 / 3 if status == "stopped" else 1.0, "seconds": 61.0, "error": None,
        "ended": START + timedelta(seconds=number), "settings": json.dumps(settings),
    } | other  # fmt: skip


# Rows out of the order of their ends. The stopped one has the highest UA of all.
ROWS = [
    row(3, "done", 0.875, {"C": 1000.0, "units": 64}),
    row(0, "done", 0.5, {"C": 0.1, "units": 64}),
    row(4, "done", 0.625, {"C": 10.0, "units": 128}),
    row(1, "failed", None, {"C": 100.0, "units": 128}, error="out of memory", spread=None, seconds=None),
    row(2, "stopped", 0.9, {"C": 1.0, "units": 128}),
]


def write_search(
    folder: Path, search: dict[str, Any] = SEARCH, rows: list[dict[str, Any]] = ROWS, **changed: Any
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tuning.json").write_text(json.dumps(search | changed))
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "trials.parquet")
    return folder


class Page(HTMLParser):
    """What a page holds: `elements` (tag, attributes), `tables` by caption, `facts` and `text`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.raw = page
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.facts: dict[str, str] = {}
        self.text, self._since, self._name = "", 0, ""
        self._rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("caption", "td", "th", "dt", "dd"):
            self._since = len(self.text)
        if tag == "table":
            self._rows = []
        if tag == "tr":
            self._rows.append([])

    def handle_endtag(self, tag: str) -> None:
        read = " ".join(self.text[self._since :].split())
        if tag == "caption":
            self.tables[read] = self._rows
        if tag in ("td", "th"):
            self._rows[-1].append(read)
        if tag == "dt":
            self._name = read
        if tag == "dd":
            self.facts[self._name] = read

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str | None]]:
        return [
            attributes for name, attributes in self.elements
            if name == tag and (not css_class or css_class in (attributes.get("class") or "").split())
        ]  # fmt: skip


def page_of(folder: Path, **changed: Any) -> Page:
    """The page of the search above, with some of it changed."""
    write_search(folder / "search", **changed)
    write_tuning_page(str(folder / "search"), str(folder / "page.html"))
    return Page((folder / "page.html").read_text())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(tmp_path_factory.mktemp("search"), outer=OUTER)


def test_header_and_tiles_say_what_the_search_found(page: Page) -> None:
    expected = {
        "Corpus": "emodb, own", "Utterances": "1,535", "Searcher": "optuna", "Scheduler": "asha", "Seed": "3",
        "Protocol": "5 inner folds, speakers apart", "Time": "1 min 23 s",
        "Best UA": "87.5 % ± 2.0inner folds, trial 00003", "UA of the defaults": "75.0 % ± 3.1same folds",
        "Gain": "+12.5 pointsbest less defaults", "Trials": "5 3 done, 1 stopped early, 1 failed",
        "Nested UA, tuned": "86.0 % [81.0, 91.0]each fold by its own search",
        "Nested UA, defaults": "85.0 % [80.0, 90.0]same folds",
        "Difference": "+1.0 [−1.0, +3.0]points, tuned less defaults",
    }  # fmt: skip
    assert {name: page.facts[name] for name in expected} == expected
    assert "4 emotions: anger, fear, joy, calm" in page.text
    assert "by chance 25.0 %" in page.text
    assert "ser_ray 0.1.0 · optuna 5.0.0" in page.text
    assert not page.all("section", "notice")


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ([0.01, -0.01, 0.03], "includes zero: these folds cannot tell the two apart."),
        ([0.01, 0.0, 0.03], "includes zero: these folds cannot tell the two apart."),
        ([0.02, 0.001, 0.04], "excludes zero: the tuned settings recognise more."),
        ([-0.02, -0.04, -0.001], "excludes zero: the tuned settings recognise less."),
    ],
)
def test_verdict_is_that_of_the_interval(difference: list[float], verdict: str, tmp_path: Path) -> None:
    shown = page_of(tmp_path, outer=OUTER | {"difference": difference})
    assert f"The interval of the difference {verdict}" in shown.text


def test_each_outer_fold_has_its_figures_and_settings(page: Page, tmp_path: Path) -> None:
    assert page.tables["Each outer fold, and the settings chosen without it"] == [
        ["Fold", "Inner UA", "Defaults", "Tuned", "Difference", "C", "units"],
        ["speaker 03", "88.0 %", "80.0 %", "79.5 %", "−0.5", "3", "128"],
        ["speaker 08", "90.0 %", "80.0 %", "80.0 %", "0.0", "9", "64"],
    ]
    without = page_of(tmp_path)
    assert "Nested UA, tuned" not in without.facts
    assert "only folds that the search did not see tell what it is worth." in without.text


def test_trials_stand_by_ua_and_failures_last_with_their_cause(page: Page) -> None:
    assert page.tables["All trials"] == [
        ["Trial", "UA", "Spread", "Outcome", "Time", "C", "units"],
        ["00002", "90.0 %", "2.5", "stopped at 33.3 %", "1 min 01 s", "1", "128"],
        ["00003 best", "87.5 %", "2.5", "done", "1 min 01 s", "1000", "64"],
        ["00004", "62.5 %", "2.5", "done", "1 min 01 s", "10", "128"],
        ["00000", "50.0 %", "2.5", "done", "1 min 01 s", "0.1", "64"],
        ["00001", "–", "–", "failed", "–", "100", "128"],
        ["out of memory"],
    ]


def test_best_so_far_steps_where_a_trial_that_was_done_is_better(page: Page) -> None:
    (steps,) = page.all("polyline", "so-far")  # UA 50 % until the fourth end, though a stopped one had 90 %
    axis = ua_axis([0.5, 0.9, 0.875, 0.625], 0.875, 0.75)
    assert (axis.low, axis.high) == (50.0, 90.0)
    assert steps["points"] == "0.00,100.00 75.00,100.00 75.00,6.25 100.00,6.25"
    dots = [(dot["class"], dot["cx"], dot["cy"]) for dot in page.all("circle") if dot["class"] != "tick"]
    assert dots == [
        ("done", "0.00%", "100.00%"), ("stopped", "50.00%", "0.00%"), ("done best", "75.00%", "6.25%"),
        ("done", "100.00%", "68.75%"),
    ]  # fmt: skip
    assert [(mark["x"], mark["y"]) for mark in page.all("text", "failed")] == [("25.00%", "100%")]
    assert [level["y1"] for level in page.all("line", "default")] == ["37.50%"]
    assert "best so far: 87.5 % in the end" in page.text


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


def test_lines_lie_where_the_settings_do_and_the_best_is_on_top(page: Page) -> None:
    drawn = page.all("polyline")[1:]  # after the curve: C on a log axis of four decades, units, UA
    assert [(line["class"], line["points"]) for line in drawn] == [
        ("q0 done", "0.00,0.00 12.50,50.00 0.00,100.00"),
        ("q2 done", "50.00,0.00 70.31,50.00 31.25,100.00"),
        ("q7 done", "100.00,0.00 35.94,50.00 93.75,100.00"),
        ("q7 stopped", "25.00,0.00 87.50,50.00 100.00,100.00"),
        ("default", "50.00,0.00 28.12,50.00 62.50,100.00"),
        ("best", "100.00,0.00 35.94,50.00 93.75,100.00"),
    ]  # 64 is at 25 % and 128 at 75 %, each with 25 % about it for the UA from 50 to 90 %
    assert "Drawn: 4 of 5; without a UA: 1." in page.text
    assert "00002: UA 90.0 %; C 1, units 128" in page.text


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


@pytest.mark.parametrize(
    "bad", [{"type": "log", "low": 0, "high": 1}, {"type": "int", "low": 2, "high": 1}, {"type": "choice"}]
)
def test_dimension_that_cannot_be_drawn_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="must"):
        TypeAdapter(Dimension).validate_python(bad)


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


def test_importance_has_a_bar_for_each_setting_the_longest_for_the_most(page: Page) -> None:
    assert page.tables["Importance"][1:] == [["C", "80.0 %", ""], ["units", "20.0 %", ""]]
    assert [bar["width"] for bar in page.all("rect")] == ["100.00%", "25.00%"]


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


def test_best_settings_stand_beside_the_defaults_and_say_where_they_come_from(page: Page) -> None:
    assert page.tables["Best settings"] == [
        ["Setting", "Best", "Default", "Searched"],
        ["C changed", "1000", "10", "0.1 to 1000, log"],
        ["units", "64", "64", "64, 128"],
        ["gamma changed", "0.3", "0.1", "given"],
        ["pca", "true", "true", "not searched"],
    ]
    assert len(page.all("tr", "changed")) == 2
    assert "4 settings, 2 other than the default. At the edge of its range" in page.text
    assert "may lie beyond: C." in page.text


def test_defaults_that_name_only_what_was_searched_change_nothing_else(tmp_path: Path) -> None:
    default = SEARCH["default"] | {"settings": {"C": 10.0, "units": 64}}
    rows = page_of(tmp_path, default=default).tables["Best settings"][1:]
    assert [row[0] for row in rows] == ["C changed", "units", "gamma", "pca"]
    assert [row[2] for row in rows] == ["10", "64", "–", "true"]


def test_search_without_measured_defaults_says_so(tmp_path: Path) -> None:
    shown = page_of(tmp_path, default=None)
    assert shown.facts["UA of the defaults"] == "– not measured in this search"
    assert shown.facts["Gain"] == "– not known without the defaults"
    assert "The defaults were not measured" in shown.text
    assert [row[2] for row in shown.tables["Best settings"][1:]] == ["–", "–", "–", "true"]
    assert not shown.all("line", "default")
    assert not shown.all("polyline", "default")


def test_search_of_which_one_trial_is_left_and_one_setting_is_drawn(tmp_path: Path) -> None:
    rows = [row(k, "failed", None, {"C": 1.0}, error=f"cause {k}") for k in range(4)]
    rows.insert(2, row(7, "done", 0.875, {"C": 1000.0}))
    best = SEARCH["best"] | {"trial": "00007"}
    shown = page_of(
        tmp_path, rows=rows, best=best, default=None, importance=None, space={"C": SEARCH["space"]["C"]},
        trials={"done": 1, "stopped": 0, "failed": 4},
    )  # fmt: skip
    assert len(shown.all("text", "failed")) == 4
    assert shown.all("polyline", "so-far")[0]["points"].startswith("100.00,")  # type: ignore[union-attr]
    assert [row[0] for row in shown.tables["All trials"][1:4]] == ["00007 best", "00000", "cause 0"]
    assert "nan" not in shown.raw
    assert not shown.all("section", "notice")


def test_best_of_a_search_that_finished_nothing_is_a_stopped_one(tmp_path: Path) -> None:
    rows = [row(0, "stopped", 0.5, {"C": 1.0, "units": 64}), row(1, "stopped", 0.75, {"C": 1.0, "units": 64})]
    shown = page_of(
        tmp_path, rows=rows, best=SEARCH["best"] | {"trial": "00001", "ua": 0.75}, importance=None,
        trials={"done": 0, "stopped": 2, "failed": 0},
    )  # fmt: skip
    assert "best so far: none done" in shown.text
    assert not shown.all("polyline", "so-far")
    assert len(shown.all("circle", "best")) == 1


def test_fusion_has_its_settings_of_every_type(tmp_path: Path) -> None:
    space = {
        "member.svm": {"type": "choice", "choices": [True, False]},
        "rule": {"type": "choice", "choices": ["soft", "stacking"]},
        "temperature": {"type": "float", "low": 0.5, "high": 2.0},
    }
    settings = {"member.svm": False, "rule": "soft", "temperature": 1.25}
    shown = page_of(
        tmp_path, family="fusion", space=space, fixed={}, default=None, importance=None,
        rows=[row(0, "done", 0.875, settings)],
        best={"trial": "00000", "settings": settings, "ua": 0.875, "spread": None},
        trials={"done": 1, "stopped": 0, "failed": 0},
    )  # fmt: skip
    assert shown.tables["All trials"][1][5:] == ["false", "soft", "1.25"]
    assert shown.facts["Best UA"] == "87.5 % inner folds, trial 00000"
    (course, *_) = shown.all("polyline", "done")
    assert (course["points"] or "").startswith("84.38,0.00 34.38,33.33 50.00,66.67 ")


def test_long_search_lists_the_best_and_every_failure_and_says_where_the_rest_is(tmp_path: Path) -> None:
    rows = [row(k, "done", k / 1000, {"C": 1.0, "units": 64}) for k in range(700)]
    rows += [row(800, "failed", None, {"C": 1.0, "units": 64}, error="lost " * 100)]
    shown = page_of(
        tmp_path, rows=rows, best=SEARCH["best"] | {"trial": "00699", "ua": 0.699},
        trials={"done": 700, "stopped": 0, "failed": 1},
    )  # fmt: skip
    listed = shown.tables["All trials"][1:]
    assert (len(listed), listed[0][0], listed[-2][0]) == (MOST_ROWS + 1, "00699 best", "00800")
    assert listed[-1][0].endswith("lost lost …")
    assert len(listed[-1][0]) < 310
    assert f"Here are {MOST_ROWS} of 701; the rest is in trials.parquet." in shown.text


def test_files_that_do_not_tell_the_same_are_found_out(tmp_path: Path) -> None:
    shown = page_of(tmp_path, rows=ROWS[1:])
    assert "tuning.json counts 3 trials as done, trials.parquet holds 2." in shown.text
    assert "The best trial, 00003, is not in trials.parquet with its UA." in shown.text
    assert len(shown.all("section", "notice")) == 1


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    search, outer = deepcopy(SEARCH), deepcopy(OUTER)
    for name in ("family", "protocol", "searcher", "scheduler"):
        search[name] = HOSTILE
    search |= {"labels": [HOSTILE, '"><img src=x>'], "corpora": [HOSTILE], "versions": {HOSTILE: HOSTILE}}
    search["space"] = {HOSTILE: {"type": "choice", "choices": [HOSTILE, "b"]}}
    search["best"] |= {"settings": {HOSTILE: HOSTILE}, "trial": HOSTILE}
    search["default"]["settings"] = {HOSTILE: "b"}
    search |= {"importance": {HOSTILE: 1.0}, "fixed": {HOSTILE: 1}}
    outer |= {
        "protocol": HOSTILE,
        "folds": [outer["folds"][0] | {"fold": HOSTILE, "settings": {HOSTILE: HOSTILE}}],
    }
    rows = [row(0, "done", 0.875, {HOSTILE: HOSTILE}, trial=HOSTILE),
            row(1, "failed", None, {HOSTILE: "b"}, error=HOSTILE)]  # fmt: skip
    shown = page_of(tmp_path, search=search, rows=rows, outer=outer, trials={"done": 1, "failed": 1})
    assert not {tag for tag, _ in shown.elements} & {"script", "img", "iframe", "object", "link"}
    assert "\x1b" not in shown.raw
    assert "\u202e" not in shown.raw
    assert shown.facts["Corpus"] == SAFE
    assert shown.tables["All trials"][1:] == [
        [f"{SAFE} best", "87.5 %", "2.5", "done", "1 min 01 s", SAFE],
        ["00001", "–", "–", "failed", "1 min 01 s", "b"],
        [SAFE],
    ]  # fmt: skip
    assert shown.tables["Importance"][1] == [SAFE, "100.0 %", ""]
    assert shown.tables["Each outer fold, and the settings chosen without it"][1][0] == SAFE


def test_page_loads_nothing_and_admits_its_own_style_only(page: Page) -> None:
    (policy,) = [meta["content"] or "" for meta in page.all("meta") if "http-equiv" in meta]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'", policy
    )
    assert all(not {"src", "style", "onload"} & set(attributes) for _, attributes in page.elements)
    assert not re.search(r"url\(|@import|https?:|\$", page.raw)
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg", "plot"))


@pytest.mark.parametrize("name", ["tuning.json", "trials.parquet"])
def test_missing_and_cut_files_are_refused_in_one_line_with_the_mend(name: str, tmp_path: Path) -> None:
    folder = write_search(tmp_path / "search")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadStore, match=rf"{name} is not .*Run the search into this folder again\.") as error:
        write_tuning_page(str(folder), str(tmp_path / "page.html"))
    assert "\n" not in str(error.value)
    (folder / name).unlink()
    with pytest.raises(MissingInput, match=rf"has no {name}.*Run the search into this folder again\."):
        write_tuning_page(str(folder), str(tmp_path / "page.html"))
    assert has_tuning_page(str(folder)) == (name != "tuning.json")
    with pytest.raises(MissingInput, match="search folder not found"):
        write_tuning_page(str(tmp_path / "gone"), str(tmp_path / "page.html"))
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"utterances": "many"}, r"tuning\.json is not what a search writes: utterances: "),
        ({"best": {"settings": {}, "ua": 1.5}}, r"best\.ua: "),
        ({"space": {"C": {"type": "log", "low": 0, "high": 1}}}, r"space\.C: "),
        ({"outer": {"protocol": "loso"}}, r"outer\.utterances: "),
        (
            {"rows": [ROWS[0] | {"settings": "{"}]},
            r"trials\.parquet is not what .*: 0\.settings: Invalid JSON",
        ),
        ({"rows": [ROWS[0] | {"status": "odd"}]}, r"0\.status: "),
        ({"rows": []}, r"trials\.parquet holds no trial"),
    ],
)
def test_values_of_another_form_are_refused_in_one_line(
    changed: dict[str, Any], where: str, tmp_path: Path
) -> None:
    with pytest.raises(BadStore, match=where) as error:
        page_of(tmp_path, **changed)
    assert "\n" not in str(error.value)


def test_table_without_a_column_is_refused(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "search")
    pq.write_table(pa.Table.from_pylist(ROWS, SCHEMA).drop_columns(["settings"]), folder / "trials.parquet")
    with pytest.raises(BadStore, match=r"trials\.parquet is not what a search writes: .*settings"):
        write_tuning_page(str(folder), str(tmp_path / "page.html"))


def test_values_read_as_they_are_typed() -> None:
    typed = {
        True: "true",
        None: "none",
        10.0: "10",
        37.48291: "37.48",
        128: "128",
        "mean": "mean",
        1e-5: "1e-05",
    }
    assert {value: value_text(value) for value in typed} == typed


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `ser-ray report ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["ser-ray", "report", *map(str, arguments)])
    monkeypatch.setattr(cli.console, "file", None, raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_report_by_command_writes_into_the_folder_of_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_search(tmp_path / "search")
    code, _, err = run(capsys, monkeypatch, folder, "--top", "3")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{folder} is a search" in err
    code, out, err = run(capsys, monkeypatch, folder)
    assert (code, out, err) == (0, f"page -> {folder}/report.html\n", "")
    assert "hyperparameter search" in (folder / "report.html").read_text()


def test_chromium_shows_the_page_on_a_phone_without_an_error_or_anything_beside_it(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    long = {"a_setting_with_quite_a_long_name_" + "x" * 40: SEARCH["space"]["units"], **SEARCH["space"]}
    rows = [r | {"settings": json.dumps({next(iter(long)): 64, **json.loads(r["settings"])})} for r in ROWS]
    page_of(tmp_path, outer=OUTER, space=long, rows=rows, labels=["anger", "x" * 200], searcher="y" * 200)
    # A frame is as narrow as a phone, headless windows are not, and the page has no script to tell its width.
    (tmp_path / "phone.html").write_text(
        '<iframe src="page.html" width="390" height="800"></iframe><p id="widths"></p>'
        "<script>onload = () => {"
        "const inside = document.querySelector('iframe').contentDocument.documentElement;"
        "document.getElementById('widths').textContent = inside.scrollWidth + ' of ' + inside.clientWidth;"
        "}</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--allow-file-access-from-files", "--enable-logging=stderr",
             f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]  # fmt: skip
    shown = subprocess.run(
        [chromium, *flags, (tmp_path / "phone.html").as_uri()], capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0
    assert ":CONSOLE" not in shown.stderr  # where Chromium logs refused styles and malformed drawings
    wide, room = map(int, re.findall(r"(\d+) of (\d+)", shown.stdout)[0])
    assert wide == room
    assert 360 <= room <= 390
