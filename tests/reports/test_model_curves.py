"""Curves of training on a model's page, and the axes that they are drawn on."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.errors import BadModel
from ser_ray.models import Model
from ser_ray.reports.card import Epoch
from ser_ray.reports.curves import kept_epoch, training_curves
from ser_ray.reports.model_page import write_model_page
from ser_ray.reports.plot import counting_axis, round_axis
from tests.reports.models import page_of
from tests.reports.pages import Page


def test_family_without_epochs_has_a_sentence_in_place_of_curves(model_page: Page) -> None:
    assert "svm does not learn in epochs: it has no curve." in model_page.text
    assert model_page.all("svg", "curve") == []


def test_network_has_curves_of_loss_ua_and_rate_and_every_epoch_in_a_table(
    perceptron: Model, tmp_path: Path
) -> None:
    shown = Page(page_of(perceptron, tmp_path))
    curve = perceptron.classifier.curve  # type: ignore[attr-defined]
    labels = [svg["aria-label"] or "" for svg in shown.all("svg", "curve")]
    assert [label.split(" by epoch")[0] for label in labels] == ["Loss", "UA", "Learning rate"]
    assert f"training from {curve[0]['loss']:.3g} to {curve[1]['loss']:.3g}" in labels[0]
    heads, *rows = shown.tables["Every epoch"]
    assert heads == ["Epoch", "Training loss", "Held-out loss", "Held-out UA", "Learning rate"]
    assert [row[0].split()[0] for row in rows] == ["1", "2"]
    assert [row[3] for row in rows] == [f"{100 * row['held_out_ua']:.1f} %" for row in curve]
    best = 1 + int(curve[1]["held_out_ua"] > curve[0]["held_out_ua"])
    assert rows[best - 1][0] == f"{best} kept"
    assert f"2 epochs; the weights of epoch {best} were kept" in shown.text


def test_training_without_a_held_out_slice_shows_the_loss_alone(perceptron: Model, tmp_path: Path) -> None:
    page_of(perceptron, tmp_path)
    about = json.loads((tmp_path / "model" / "network.json").read_text())
    about["curve"] = [{"epoch": n, "loss": 2.0 / n, "lr": 0.001} for n in (1, 2, 3)]
    (tmp_path / "model" / "network.json").write_text(json.dumps(about))
    write_model_page(str(tmp_path / "model"), str(tmp_path / "page.html"))
    shown = Page((tmp_path / "page.html").read_text())
    assert len(shown.all("svg", "curve")) == 2
    assert "the weights of epoch 3 were kept (the last one: no slice was held out)" in shown.text
    assert shown.tables["Every epoch"][0] == ["Epoch", "Training loss", "Learning rate"]
    (line,) = shown.all("polyline", "loss")  # losses 2, 1 and 2/3 on an axis from 0.5 to 2
    assert line["points"] == "0.00,0.00 50.00,66.67 100.00,88.89"


@pytest.mark.parametrize("row", [{"epoch": 1, "loss": "high", "lr": 0.1}, {"loss": 1.0, "lr": 0.1}])
def test_corrupt_curve_is_refused_in_one_line(perceptron: Model, tmp_path: Path, row: dict[str, Any]) -> None:
    page_of(perceptron, tmp_path)
    about = json.loads((tmp_path / "model" / "network.json").read_text())
    (tmp_path / "model" / "network.json").write_text(json.dumps(about | {"curve": [row]}))
    with pytest.raises(BadModel, match=r"is corrupt: 0\.(loss|epoch): ") as error:
        write_model_page(str(tmp_path / "model"), str(tmp_path / "page.html"))
    assert "\n" not in str(error.value)


def test_each_tower_has_its_own_curves() -> None:
    epochs = [Epoch(n, 1 / n, 0.1, 1 / n, 0.1 * n, tower) for tower in (0, 1) for n in (1, 2)]
    shown = Page(training_curves(epochs))
    assert len(shown.all("svg", "curve")) == 6
    assert {"Every epoch of tower 1", "Every epoch of tower 2"} == set(shown.tables)


def test_kept_epoch_is_the_first_of_the_best() -> None:
    epochs = [Epoch(n, 1.0, 0.1, 1.0, ua) for n, ua in enumerate((0.5, 0.7, 0.7), 1)]
    assert kept_epoch(epochs).epoch == 2
    assert kept_epoch([Epoch(1, 1.0, 0.1), Epoch(2, 2.0, 0.1)]).epoch == 2


def test_one_epoch_and_a_loss_that_is_not_finite_are_drawn_without_it() -> None:
    shown = training_curves([Epoch(1, 0.5, 0.0, float("nan"), 0.5)])
    assert "nan" not in Page(shown).all("svg", "curve")[0]["aria-label"]
    assert 'points="50.00,' in shown
    assert "1 epoch;" in shown


@given(st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 6)), min_size=1, max_size=5))
def test_round_axis_holds_its_values_between_a_few_ticks(values: list[float]) -> None:
    axis = round_axis(values)
    ticks = [value for value, _ in axis.ticks]
    assert axis.low == ticks[0] <= min(values) + 1e-6 * (axis.high - axis.low)
    assert axis.high == ticks[-1] >= max(values) - 1e-6 * (axis.high - axis.low)
    assert 2 <= len(ticks) <= 8
    assert all(a < b for a, b in pairwise(ticks))


@given(st.integers(1, 3), st.integers(0, 3000))
def test_counting_axis_starts_at_the_first_epoch_and_stays_within_them(first: int, more: int) -> None:
    ticks = [value for value, _ in counting_axis(first, first + more).ticks]
    assert ticks[0] == first
    assert ticks == sorted(set(ticks))
    assert all(value == int(value) <= first + more for value in ticks)
    assert len(ticks) <= 8
