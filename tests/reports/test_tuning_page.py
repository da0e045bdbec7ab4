"""The page of a search: figures, order of trials, settings, hostile text, what it may load."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path

import pytest

from ser_ray.reports.searches import value_text
from ser_ray.reports.tuning_page import MOST_ROWS
from tests.reports.pages import HOSTILE, SAFE, Page, in_chromium
from tests.reports.searches import OUTER, ROWS, SEARCH, page_of, row


def test_header_and_tiles_say_what_the_search_found(search_page: Page) -> None:
    expected = {
        "Corpus": "emodb, own", "Utterances": "1,535", "Searcher": "optuna", "Scheduler": "asha", "Seed": "3",
        "Protocol": "5 inner folds, speakers apart", "Time": "1 min 23 s",
        "Best UA": "87.5 % ± 2.0inner folds, trial 00003", "UA of the defaults": "75.0 % ± 3.1same folds",
        "Gain": "+12.5 pointsbest less defaults", "Trials": "5 3 done, 1 stopped early, 1 failed",
        "Nested UA, tuned": "86.0 % [81.0, 91.0]each fold by its own search",
        "Nested UA, defaults": "85.0 % [80.0, 90.0]same folds",
        "Difference": "+1.0 [−1.0, +3.0]points, tuned less defaults",
    }  # fmt: skip
    assert {name: search_page.facts[name] for name in expected} == expected
    assert "4 emotions: anger, fear, joy, calm" in search_page.text
    assert "by chance 25.0 %" in search_page.text
    assert "ser_ray 0.1.0 · optuna 5.0.0" in search_page.text
    assert not search_page.all("section", "notice")


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


def test_each_outer_fold_has_its_figures_and_settings(search_page: Page, tmp_path: Path) -> None:
    assert search_page.tables["Each outer fold, and the settings chosen without it"] == [
        ["Fold", "Inner UA", "Defaults", "Tuned", "Difference", "C", "units"],
        ["speaker 03", "88.0 %", "80.0 %", "79.5 %", "−0.5", "3", "128"],
        ["speaker 08", "90.0 %", "80.0 %", "80.0 %", "0.0", "9", "64"],
    ]
    without = page_of(tmp_path)
    assert "Nested UA, tuned" not in without.facts
    assert "only folds that the search did not see tell what it is worth." in without.text


def test_trials_stand_by_ua_and_failures_last_with_their_cause(search_page: Page) -> None:
    assert search_page.tables["All trials"] == [
        ["Trial", "UA", "Spread", "Outcome", "Time", "C", "units"],
        ["00002", "90.0 %", "2.5", "stopped at 33.3 %", "1 min 01 s", "1", "128"],
        ["00003 best", "87.5 %", "2.5", "done", "1 min 01 s", "1000", "64"],
        ["00004", "62.5 %", "2.5", "done", "1 min 01 s", "10", "128"],
        ["00000", "50.0 %", "2.5", "done", "1 min 01 s", "0.1", "64"],
        ["00001", "–", "–", "failed", "–", "100", "128"],
        ["out of memory"],
    ]


def test_best_settings_stand_beside_the_defaults_and_say_where_they_come_from(search_page: Page) -> None:
    assert search_page.tables["Best settings"] == [
        ["Setting", "Best", "Default", "Searched"],
        ["C changed", "1000", "10", "0.1 to 1000, log"],
        ["units", "64", "64", "64, 128"],
        ["gamma changed", "0.3", "0.1", "given"],
        ["pca", "true", "true", "not searched"],
    ]
    assert len(search_page.all("tr", "changed")) == 2
    assert "4 settings, 2 other than the default. At the edge of its range" in search_page.text
    assert "may lie beyond: C." in search_page.text


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
    assert not shown.tags & {"script", "img", "iframe", "object", "link"}
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


def test_page_loads_nothing_and_admits_its_own_style_only(search_page: Page) -> None:
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'",
        search_page.policy,
    )
    assert not {"src", "style", "onload"} & search_page.attributes
    assert not re.search(r"url\(|@import|https?:|\$", search_page.raw)
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in search_page.all("svg", "plot"))


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


def test_chromium_shows_the_page_on_a_phone_without_an_error_or_anything_beside_it(tmp_path: Path) -> None:
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
    shown = in_chromium(tmp_path / "phone.html", "--allow-file-access-from-files")
    assert shown.returncode == 0
    assert ":CONSOLE" not in shown.stderr  # where Chromium logs refused styles and malformed drawings
    wide, room = map(int, re.findall(r"(\d+) of (\d+)", shown.stdout)[0])
    assert wide == room
    assert 360 <= room <= 390
