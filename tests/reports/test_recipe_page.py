"""The page and the table of a recipe: figures, answers to claims, hostile text, what it may load."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_ray.errors import BadStore, MissingInput
from ser_ray.evaluation import Interval, measure
from ser_ray.pipelines.recipes.figures import Answer, Outcome, Row, Table, read_outcome
from ser_ray.reports.recipe_page import write_recipe_page
from ser_ray.reports.recipe_table import markdown_of
from tests.reports.pages import HOSTILE, SAFE, Page, in_chromium

Y = np.array([0, 0, 1, 1, 0, 1])
RIGHT, HALF = np.eye(2)[Y], np.eye(2)[[0, 1, 1, 0, 0, 1]]
LABELS = ("anger", "calm")
CURVE = [{"epoch": 1, "loss": 0.7, "lr": 1e-3}, {"epoch": 2, "loss": 0.4, "lr": 5e-4}]
VARIANT = {"family": "svm", "features": ["mfcc"], "normalisation": "none", "copies": [], "settings": {}}
CARD: dict[str, Any] = {
    "recipe": "two", "title": "Two systems", "source": "System 12", "corpora": ["emodb"],
    "labels": list(LABELS), "utterances": 6, "speakers": None, "seeds": 2,
    "variants": {"one": {**VARIANT, "what": "the one"}, "other": {**VARIANT, "what": "the other"}},
    "prepared": {"source": {"place": "x", "what": "12 sounds", "transductive": False, "facts": {}}},
    "published": [{"row": "one", "figure": 77.65, "on": "their own corpus"}],
    "differences": ["Their corpus is not known."], "models": {}, "wall_s": 83.0,
    "versions": {"ser_ray": "0.1.0"},
}  # fmt: skip


def outcome() -> Outcome:
    rows = {
        "one": Row("the one", measure(Y, RIGHT, LABELS), 0.012, 83.0, 1.25, {"gan_rank": 2.0}, CURVE),
        "other": Row("the other", measure(Y, HALF, LABELS), 0.0, None, None, {}, []),
    }
    answers = [
        Answer("One beats the other", "one", "other", Interval(0.33, 0.1, 0.5)),
        Answer("The other beats one", "other", "one", Interval(-0.33, -0.5, -0.1)),
        Answer("They differ", "one", "other", Interval(0.01, 0.0, 0.5)),
    ]
    return Outcome(deepcopy(CARD), {"loso": Table(3, "speaker-independent", rows, answers)})


def page_of(tmp_path: Path, shown: Outcome) -> Page:
    shown.save(str(tmp_path))
    write_recipe_page(str(tmp_path), str(tmp_path / "report.html"))
    return Page((tmp_path / "report.html").read_text())


def test_page_has_every_row_with_its_figures_and_what_was_published(tmp_path: Path) -> None:
    page = page_of(tmp_path, outcome())
    heads, one, other = page.tables["Everything that was compared"]
    assert heads[-2] == "published"
    assert one[:2] == ["onethe one; gan_rank 2", "100.0 [100.0, 100.0] ± 1.2"]
    assert one[4:7] == ["1 min 23 s", "1.2 ms", "77.7"]
    assert other[1].startswith("66.7 [")
    assert other[4:7] == ["", "", ""]
    assert "speaker-independent" in page.text
    assert "source: 12 sounds." in page.text
    assert "Their corpus is not known." in page.text
    assert page.tables["Every epoch"][1][0] == "1"
    confusions = [rows for caption, rows in page.tables.items() if caption.startswith("Rows: what it is")]
    assert confusions[0][1][0] == "anger"


def test_answers_are_those_of_the_intervals(tmp_path: Path) -> None:
    page = page_of(tmp_path, outcome())
    caption = "What became of its claims: yes or no where the interval leaves out zero"
    answers = [row[1:3] for row in page.tables[caption][1:]]
    assert answers == [
        ["yes", "+33.0 [+10.0, +50.0]"],
        ["no, it costs", "-33.0 [-50.0, -10.0]"],
        ["undecided", "+1.0 [+0.0, +50.0]"],
    ]
    assert len(page.all("tr", "yes")) == len(page.all("tr", "no")) == 1


def test_markdown_holds_the_same_figures() -> None:
    lines = markdown_of(outcome()).splitlines()
    assert "## emodb, 2 emotions, 6 utterances, loso (3 folds), seeds 0 to 1" in lines
    sure = "100.0 [100.0, 100.0]"
    assert f"| one | {sure} ± 1.2 | {sure} | {sure} | 1 min 23 s | 1.2 ms | 77.7 |" in lines
    assert "- One beats the other (one against other): yes, +33.0 [+10.0, +50.0] points of UA." in lines
    assert "- Published figures: their own corpus. They are not claimed to be reproduced." in lines


def test_hostile_texts_are_shown_and_do_nothing(tmp_path: Path) -> None:
    shown = outcome()
    table = shown.tables["loso"]
    rows = {HOSTILE: replace(table.rows["one"], what=HOSTILE, findings={HOSTILE: 1.0}), **table.rows}
    answers = [Answer(HOSTILE, HOSTILE, "one", Interval(0, 0, 0))]
    card = {**shown.card, "title": HOSTILE, "source": HOSTILE, "differences": [HOSTILE]}
    hostile = Outcome(card, {HOSTILE: Table(3, HOSTILE, rows, answers)})
    page = page_of(tmp_path, hostile)
    assert not page.all("script")
    assert page.text.count(SAFE) > 8
    assert page.policy.startswith("default-src 'none'")


def test_broken_figures_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="figures of a recipe not found"):
        read_outcome(str(tmp_path))
    outcome().save(str(tmp_path))
    assert read_outcome(str(tmp_path)) == outcome()
    place = tmp_path / "recipe.json"
    for content in ("{", "[]", "{}", json.dumps({**json.loads(place.read_text()), "protocols": {"a": {}}})):
        place.write_text(content)
        with pytest.raises(BadStore, match=r"is not what a recipe writes: .*Run the recipe again\."):
            read_outcome(str(tmp_path))


def test_browser_shows_it_without_a_complaint(tmp_path: Path) -> None:
    page_of(tmp_path, outcome())
    shown = in_chromium(tmp_path / "report.html")
    assert "Two systems" in shown.stdout
    assert "CONSOLE" not in shown.stderr
