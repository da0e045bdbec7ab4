"""The page of a model: its facts, what is left out, hostile text, what it may load."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_ray.errors import BadModel, MissingInput
from ser_ray.models import Model, OutOfFold
from ser_ray.models.model import directory_fingerprint
from ser_ray.reports.model_page import write_model_page
from tests.reports.models import CARD, model, page_of
from tests.reports.pages import HOSTILE, SAFE, Page, in_chromium


def test_facts_say_what_the_model_is_made_of(model_page: Page) -> None:
    expected = {
        "Family": "support vector machines, RBF kernel, one against the rest", "Features": "mfcc_stats",
        "Normalisation": "cmvn", "Corpus": "emodb, own", "Utterances": "9", "Augmented copies": "1,234",
        "Speakers": "3", "Band": "wide", "Rate": "16 kHz", "Calibration scale": "1.25", "Seed": "7",
        "Training time": "1 min 23 s",
    }  # fmt: skip
    assert {name: model_page.facts[name] for name in expected} == expected
    assert "ser_ray 0.1.0 · numpy 2.4.6" in model_page.text
    assert "3 emotions: anger, neutral, sadness" in model_page.text


def test_fingerprint_and_directory_are_those_of_the_model(tmp_path: Path) -> None:
    shown = Page(page_of(model(), tmp_path)).facts
    assert shown["Directory"] == str(tmp_path / "model")
    assert shown["Fingerprint"] == directory_fingerprint(tmp_path / "model")


def test_left_out_utterances_are_told_by_type_of_failure(model_page: Page, tmp_path: Path) -> None:
    assert model_page.tables["Left out by type of failure"][1:] == [["missing", "5"], ["truncated", "2"]]
    assert "7 labelled utterances gave no features." in model_page.text
    none = CARD | {"trained_on": CARD["trained_on"] | {"left_out": {}, "speakers": None}}
    shown = Page(page_of(model(card=none), tmp_path))
    assert "Nothing: every labelled utterance gave its features." in shown.text
    assert shown.facts["Speakers"] == "not known"


def test_settings_stand_beside_their_defaults(tmp_path: Path) -> None:
    shown = Page(page_of(model(C=3.0), tmp_path))
    assert shown.tables["Hyperparameters"][1:] == [["C", "3.0", "10.0"], ["gamma", "0.3", "0.3"]]
    assert "2 hyperparameters, 1 other than the default" in shown.text
    assert len(shown.all("tr", "changed")) == 1


def test_corrupt_card_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"is corrupt: trained_on\.utterances: ") as error:
        page_of(model(card={"trained_on": {"utterances": HOSTILE}}), tmp_path)
    assert "\n" not in str(error.value)


def test_model_without_predictions_says_so_and_shows_the_rest(tmp_path: Path) -> None:
    nothing = OutOfFold([], [], np.zeros(0, np.int64), np.zeros((0, 3)))
    shown = Page(page_of(replace(model(), out_of_fold=nothing), tmp_path))
    assert "This model comes without any, so this page cannot say how well it recognises." in shown.text
    assert set(shown.tables) == {"Left out by type of failure", "Hyperparameters"}
    assert shown.facts["Corpus"] == "emodb, own"
    assert "UA" not in shown.facts


def test_model_without_a_card_still_has_a_page(tmp_path: Path) -> None:
    shown = Page(page_of(model(card={}), tmp_path))
    assert shown.facts["WA"].startswith("77.8 %")
    assert "Corpus" not in shown.facts


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    card = CARD | {
        "trained_on": CARD["trained_on"] | {"corpora": [HOSTILE], "left_out": {HOSTILE: 1}},
        "metrics": {"protocol": HOSTILE}, "versions": {HOSTILE: HOSTILE},
    }  # fmt: skip
    raw = page_of(model(card=card, labels=(HOSTILE, "neutral", '"><img src=x>')), tmp_path)
    shown = Page(raw)
    assert not shown.tags & {"script", "img", "iframe", "object", "link"}
    assert "\x1b" not in raw
    assert "\u202e" not in raw
    assert shown.facts["Corpus"] == SAFE
    assert [row[0] for row in shown.tables["Each emotion"][1:]] == [SAFE, "neutral", '"><img src=x>']
    assert shown.tables["Left out by type of failure"][1] == [SAFE, "1"]


def test_page_loads_nothing_and_admits_its_own_style_only(tmp_path: Path, perceptron: Model) -> None:
    raw = page_of(perceptron, tmp_path)
    shown = Page(raw)
    (style,) = re.findall(r"<style>(.*?)</style>", raw, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert shown.policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not {"src", "style", "onload"} & shown.attributes
    assert all((link["href"] or "").startswith("#") for link in shown.all("a"))
    assert not re.search(r"url\(|@import|https?:|\$", raw)
    assert [meta["content"] for meta in shown.all("meta") if meta.get("name") == "color-scheme"] == [
        "light dark"
    ]


def test_page_of_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="model not found"):
        write_model_page(str(tmp_path / "gone"), str(tmp_path / "page.html"))
    with pytest.raises(BadModel, match="not an ensemble or model directory"):
        write_model_page(str(tmp_path), str(tmp_path / "page.html"))
    assert list(tmp_path.iterdir()) == []


def test_chromium_shows_the_page_without_an_error(perceptron: Model, tmp_path: Path) -> None:
    page_of(perceptron, tmp_path)
    shown = in_chromium(tmp_path / "page.html")
    assert shown.returncode == 0
    assert ":CONSOLE" not in shown.stderr  # where Chromium logs refused styles and malformed drawings
    dom = Page(shown.stdout)
    assert len(dom.all("svg", "curve")) == 3
    assert len(dom.all("rect", "accuracy")) == 3
    assert dom.tables["Each emotion"][1] == ["anger", "3", "66.7 %", "66.7 %", "66.7 %"]
