"""Figures of a model's page, computed by hand: headline, each emotion, reliability."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_ray.evaluation import measure
from ser_ray.reports.confusion import class_figures
from ser_ray.reports.reliability import reliability
from tests.reports.models import LABELS, model, out_of_fold, page_of
from tests.reports.pages import Page


def test_headline_figures_are_those_of_the_saved_predictions_with_their_intervals(model_page: Page) -> None:
    oof = out_of_fold()
    report = measure(oof.y, oof.probabilities, LABELS, np.array(oof.speakers))
    for name, figure in {"UA": report.ua, "WA": report.wa, "Macro-F1": report.f1, "ECE": report.ece}.items():
        shown = f"{100 * figure.value:.1f} % [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"
        assert model_page.facts[name].startswith(shown)
    assert model_page.facts["UA"].startswith("72.2 % ")  # (2/3 + 1 + 1/2) / 3
    assert "by chance 33.3 %" in model_page.facts["UA"]
    assert model_page.facts["WA"].startswith("77.8 % ")  # 7 of 9
    assert model_page.facts["Macro-F1"].startswith("74.1 % ")  # (2/3 + 8/9 + 2/3) / 3
    assert "9 utterances; out of fold, speakers apart." in model_page.text
    assert "a bootstrap over utterances." in model_page.text  # three speakers are too few


def test_intervals_are_of_speakers_where_enough_are_known(tmp_path: Path) -> None:
    oof = out_of_fold()
    many = replace(oof, speakers=[f"speaker{row}" for row in range(len(oof.ids))])
    assert "bootstrap over speakers." in page_of(replace(model(), out_of_fold=many), tmp_path / "many")
    unknown = replace(many, speakers=[None, *many.speakers[1:]])
    assert "bootstrap over utterances." in page_of(
        replace(model(), out_of_fold=unknown), tmp_path / "unknown"
    )


def test_confusion_is_a_table_of_counts_and_shares_of_each_row(model_page: Page) -> None:
    assert model_page.tables["Rows: what it is. Columns: what it was taken for."] == [
        ["", "anger", "neutral", "sadness"],
        ["anger", "2 67 %", "1 33 %", "0"],
        ["neutral", "0", "4 100 %", "0"],
        ["sadness", "1 50 %", "0", "1 50 %"],
    ]
    cells = [cell["class"] for cell in model_page.all("td") if re.match(r"s\d", cell.get("class") or "")]
    assert cells == ["s7 right", "s3", "s0", "s0", "s10 right", "s0", "s5", "s0", "s5 right"]


def test_each_emotion_has_recall_precision_and_f1(model_page: Page) -> None:
    assert model_page.tables["Each emotion"][1:] == [
        ["anger", "3", "66.7 %", "66.7 %", "66.7 %"],
        ["neutral", "4", "100.0 %", "80.0 %", "88.9 %"],
        ["sadness", "2", "50.0 %", "100.0 %", "66.7 %"],
    ]


def test_figures_of_an_emotion_that_does_not_occur_or_is_never_chosen_are_not_invented() -> None:
    report = measure(np.array([0, 0, 2]), np.eye(3)[[0, 0, 0]], LABELS)
    anger, neutral, sadness = class_figures(report)
    assert (anger.recall, anger.precision, anger.f1) == (1.0, 2 / 3, 0.8)
    assert (neutral.n, neutral.recall, neutral.precision, neutral.f1) == (0, None, None, None)
    assert (sadness.recall, sadness.precision, sadness.f1) == (0.0, None, 0.0)
    assert report.f1.value == pytest.approx((0.8 + 0.0) / 2)


def test_reliability_bins_hold_each_utterance_once_at_their_edges_too() -> None:
    confidence = [0.5, 0.55, 0.6, 1.0, 0.95, 0.999]
    p = np.array([[c, 1 - c] for c in confidence])
    bins = reliability(np.array([0, 1, 0, 0, 0, 1]), p)
    assert [part.n for part in bins] == [0, 0, 0, 0, 0, 2, 1, 0, 0, 3]
    assert (bins[5].low, bins[5].high, bins[5].accuracy) == (0.5, 0.6, 0.5)
    assert bins[5].confidence == pytest.approx(0.525)
    assert bins[5].gap == pytest.approx(0.025)
    assert bins[9].accuracy == pytest.approx(2 / 3)
    assert (bins[0].confidence, bins[0].accuracy) == (0.0, 0.0)


def test_reject_option_says_what_it_costs(model_page: Page) -> None:
    heads, *rows = model_page.tables["The surest predictions"]
    assert heads == ["Coverage", "Confidence from", "Precision", "At least"]
    assert [row[:3] for row in rows] == [
        *[["100.0 %", "55.0 %", "77.8 %"]] * 3,  # 8 of 9 and 9 of 9: two have a confidence of 55 %
        *[["77.8 %", "75.0 %", "85.7 %"]] * 2,
        *[["55.6 %", "95.0 %", "80.0 %"]] * 5,
    ]
    assert all(float(row[3].split()[0]) < float(row[2].split()[0]) for row in rows)
    curve = model_page.all("polyline", "precision")[0]["points"] or ""
    assert curve.split()[0] == "100.00,22.22"
    assert model_page.all("circle", "precision") == []  # no threshold was chosen


def test_reliability_diagram_draws_what_its_table_says(model_page: Page) -> None:
    assert model_page.tables["Bins of confidence"] == [
        ["Confidence", "n", "Mean", "Accuracy", "Gap"],
        ["50–60 %", "2", "55.0 %", "50.0 %", "+5.0 too sure"],
        ["70–80 %", "2", "75.0 %", "100.0 %", "−25.0 too modest"],
        ["90–100 %", "5", "95.0 %", "80.0 %", "+15.0 too sure"],
    ]
    bars = [(bar["x"], bar["y"], bar["height"]) for bar in model_page.all("rect", "accuracy")]
    assert bars == [
        ("50.60%", "50.00%", "50.00%"),
        ("70.60%", "0.00%", "100.00%"),
        ("90.60%", "20.00%", "80.00%"),
    ]
    gaps = [(gap["class"], gap["y"], gap["height"]) for gap in model_page.all("rect", "gap")]
    assert gaps == [
        ("gap over", "45.00%", "5.00%"), ("gap under", "0.00%", "25.00%"), ("gap over", "5.00%", "15.00%")
    ]  # fmt: skip
    assert [bar["height"] for bar in model_page.all("rect", "n")] == ["40.00%", "40.00%", "100.00%"]
