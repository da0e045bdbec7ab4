"""The page of a model, from models made here: figures computed by hand, hostile text, curves, ensembles."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray import cli, features
from ser_ray.errors import BadModel, MissingInput
from ser_ray.evaluation import measure
from ser_ray.fusion import load_ensemble, save_ensemble
from ser_ray.models import Model, OutOfFold, family, save_model
from ser_ray.models.calibration import Calibration
from ser_ray.models.model import directory_fingerprint
from ser_ray.models.normalisation import get as normalisation
from ser_ray.pipelines.fuse import fuse
from ser_ray.reports.card import Epoch
from ser_ray.reports.confusion import class_figures
from ser_ray.reports.curves import kept_epoch, training_curves
from ser_ray.reports.model_page import default_page, write_model_page
from ser_ray.reports.plot import counting_axis, round_axis
from ser_ray.reports.reliability import reliability

LABELS = ("anger", "neutral", "sadness")
HOSTILE = '<script>alert("x")</script>\x1b[31m\u202egnp.exe'
# The confidence is 0.95, 0.75 or 0.55. Right: anger 2 of 3, neutral 4 of 4, sadness 1 of 2.
TRUTH = [0, 0, 0, 1, 1, 1, 1, 2, 2]
TAKEN = [(0, 0.95), (0, 0.75), (1, 0.55), (1, 0.95), (1, 0.95), (1, 0.75), (1, 0.55), (2, 0.95), (0, 0.95)]
CARD: dict[str, Any] = {
    "trained_on": {
        "corpora": ["emodb", "own"], "utterances": 9, "copies": 1234, "speakers": 3,
        "by_emotion": {"anger": 3, "neutral": 4, "sadness": 2}, "left_out": {"truncated": 2, "missing": 5},
    },
    "metrics": {"protocol": "out of fold, speakers apart", "wa": 0.0, "ua": 0.0, "f1": 0.0, "ece": 0.0},
    "seed": 7, "wall_s": 83.0, "versions": {"ser_ray": "0.1.0", "numpy": "2.4.6"},
}  # fmt: skip


def out_of_fold(seed: int = 0) -> OutOfFold:
    """The predictions above; with a seed, some others for the same utterances."""
    p = np.array([[c if k == taken else (1 - c) / 2 for k in range(3)] for taken, c in TAKEN])
    if seed:
        p = np.random.default_rng(seed).dirichlet(np.ones(3), len(TRUTH))
    speakers: list[str | None] = [f"speaker{row % 3}" for row in range(len(TRUTH))]
    return OutOfFold([f"utterance{row}" for row in range(len(TRUTH))], speakers, np.array(TRUTH), p)


def model(
    kind: str = "svm", card: dict[str, Any] = CARD, labels: tuple[str, ...] = LABELS, **settings: Any
) -> Model:
    """A model fitted to noise, with the predictions above."""
    feature = features.get("mfcc_stats")
    X = np.random.default_rng(0).normal(size=(30, len(feature.names))).astype(np.float32)
    full = family(kind).settings(settings)
    return Model(
        family=kind,
        settings=full,
        features=(feature,),
        labels=labels,
        classifier=family(kind).build(full, 0).fit(X, np.arange(30) % 3),
        calibration=Calibration(1.25),
        out_of_fold=out_of_fold(),
        card=card,
        normaliser=normalisation("cmvn").fit(X),  # type: ignore[union-attr]
    )


def page_of(made: Model, folder: Path) -> str:
    """The page of a model that was saved and read back."""
    save_model(made, str(folder / "model"))
    write_model_page(str(folder / "model"), str(folder / "page.html"))
    return (folder / "page.html").read_text()


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        elements: (tag, attributes).
        tables: caption -> rows of texts, the heads among them.
        facts: dt -> dd.
        text: all of it.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.facts: dict[str, str] = {}
        self.text, self._rows, self._since, self._name = "", [], 0, ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("caption", "td", "th", "dt", "dd"):
            self._since = len(self.text)
        if tag == "table":
            self._rows: list[list[str]] = []
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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(page_of(model(), tmp_path_factory.mktemp("svm")))


@pytest.fixture(scope="module")
def perceptron() -> Model:
    return model("mlp", epochs=2, hidden="8", batch=8)


def test_headline_figures_are_those_of_the_saved_predictions_with_their_intervals(page: Page) -> None:
    oof = out_of_fold()
    report = measure(oof.y, oof.probabilities, LABELS, np.array(oof.speakers))
    for name, figure in {"UA": report.ua, "WA": report.wa, "Macro-F1": report.f1, "ECE": report.ece}.items():
        shown = f"{100 * figure.value:.1f} % [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"
        assert page.facts[name].startswith(shown)
    assert page.facts["UA"].startswith("72.2 % ")  # (2/3 + 1 + 1/2) / 3
    assert "by chance 33.3 %" in page.facts["UA"]
    assert page.facts["WA"].startswith("77.8 % ")  # 7 of 9
    assert page.facts["Macro-F1"].startswith("74.1 % ")  # (2/3 + 8/9 + 2/3) / 3
    assert "9 utterances; out of fold, speakers apart." in page.text
    assert "a bootstrap over utterances." in page.text  # three speakers are too few


def test_intervals_are_of_speakers_where_enough_are_known(tmp_path: Path) -> None:
    oof = out_of_fold()
    many = replace(oof, speakers=[f"speaker{row}" for row in range(len(oof.ids))])
    assert "bootstrap over speakers." in page_of(replace(model(), out_of_fold=many), tmp_path / "many")
    unknown = replace(many, speakers=[None, *many.speakers[1:]])
    assert "bootstrap over utterances." in page_of(
        replace(model(), out_of_fold=unknown), tmp_path / "unknown"
    )


def test_facts_say_what_the_model_is_made_of(page: Page) -> None:
    expected = {
        "Family": "support vector machines, RBF kernel, one against the rest", "Features": "mfcc_stats",
        "Normalisation": "cmvn", "Corpus": "emodb, own", "Utterances": "9", "Augmented copies": "1,234",
        "Speakers": "3", "Band": "wide", "Rate": "16 kHz", "Calibration scale": "1.25", "Seed": "7",
        "Training time": "1 min 23 s",
    }  # fmt: skip
    assert {name: page.facts[name] for name in expected} == expected
    assert "ser_ray 0.1.0 · numpy 2.4.6" in page.text
    assert "3 emotions: anger, neutral, sadness" in page.text


def test_fingerprint_and_directory_are_those_of_the_model(tmp_path: Path) -> None:
    shown = Page(page_of(model(), tmp_path)).facts
    assert shown["Directory"] == str(tmp_path / "model")
    assert shown["Fingerprint"] == directory_fingerprint(tmp_path / "model")


def test_confusion_is_a_table_of_counts_and_shares_of_each_row(page: Page) -> None:
    assert page.tables["Rows: what it is. Columns: what it was taken for."] == [
        ["", "anger", "neutral", "sadness"],
        ["anger", "2 67 %", "1 33 %", "0"],
        ["neutral", "0", "4 100 %", "0"],
        ["sadness", "1 50 %", "0", "1 50 %"],
    ]
    cells = [cell["class"] for cell in page.all("td") if re.match(r"s\d", cell.get("class") or "")]
    assert cells == ["s7 right", "s3", "s0", "s0", "s10 right", "s0", "s5", "s0", "s5 right"]


def test_each_emotion_has_recall_precision_and_f1(page: Page) -> None:
    assert page.tables["Each emotion"][1:] == [
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


def test_reliability_diagram_draws_what_its_table_says(page: Page) -> None:
    assert page.tables["Bins of confidence"] == [
        ["Confidence", "n", "Mean", "Accuracy", "Gap"],
        ["50–60 %", "2", "55.0 %", "50.0 %", "+5.0 too sure"],
        ["70–80 %", "2", "75.0 %", "100.0 %", "−25.0 too modest"],
        ["90–100 %", "5", "95.0 %", "80.0 %", "+15.0 too sure"],
    ]
    bars = [(bar["x"], bar["y"], bar["height"]) for bar in page.all("rect", "accuracy")]
    assert bars == [
        ("50.60%", "50.00%", "50.00%"),
        ("70.60%", "0.00%", "100.00%"),
        ("90.60%", "20.00%", "80.00%"),
    ]
    gaps = [(gap["class"], gap["y"], gap["height"]) for gap in page.all("rect", "gap")]
    assert gaps == [
        ("gap over", "45.00%", "5.00%"), ("gap under", "0.00%", "25.00%"), ("gap over", "5.00%", "15.00%")
    ]  # fmt: skip
    assert [bar["height"] for bar in page.all("rect", "n")] == ["40.00%", "40.00%", "100.00%"]


def test_left_out_utterances_are_told_by_type_of_failure(page: Page, tmp_path: Path) -> None:
    assert page.tables["Left out by type of failure"][1:] == [["missing", "5"], ["truncated", "2"]]
    assert "7 labelled utterances gave no features." in page.text
    none = CARD | {"trained_on": CARD["trained_on"] | {"left_out": {}, "speakers": None}}
    shown = Page(page_of(model(card=none), tmp_path))
    assert "Nothing: every labelled utterance gave its features." in shown.text
    assert shown.facts["Speakers"] == "not known"


def test_settings_stand_beside_their_defaults(tmp_path: Path) -> None:
    shown = Page(page_of(model(C=3.0), tmp_path))
    assert shown.tables["Hyperparameters"][1:] == [["C", "3.0", "10.0"], ["gamma", "0.3", "0.3"]]
    assert "2 hyperparameters, 1 other than the default" in shown.text
    assert len(shown.all("tr", "changed")) == 1


def test_family_without_epochs_has_a_sentence_in_place_of_curves(page: Page) -> None:
    assert "svm does not learn in epochs: it has no curve." in page.text
    assert page.all("svg", "curve") == []


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


def test_corrupt_card_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"is corrupt: trained_on\.utterances: ") as error:
        page_of(model(card={"trained_on": {"utterances": HOSTILE}}), tmp_path)
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
    tags = {tag for tag, _ in shown.elements}
    assert not tags & {"script", "img", "iframe", "object", "link"}
    assert "\x1b" not in raw
    assert "\u202e" not in raw
    safe = '<script>alert("x")</script>\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}gnp.exe'
    assert shown.facts["Corpus"] == safe
    assert [row[0] for row in shown.tables["Each emotion"][1:]] == [safe, "neutral", '"><img src=x>']
    assert shown.tables["Left out by type of failure"][1] == [safe, "1"]


def test_page_loads_nothing_and_admits_its_own_style_only(tmp_path: Path, perceptron: Model) -> None:
    raw = page_of(perceptron, tmp_path)
    shown = Page(raw)
    (policy,) = [meta["content"] or "" for meta in shown.all("meta") if "http-equiv" in meta]
    (style,) = re.findall(r"<style>(.*?)</style>", raw, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
    assert all(not {"src", "style", "onload"} & set(attributes) for _, attributes in shown.elements)
    assert all((link["href"] or "").startswith("#") for link in shown.all("a"))
    assert not re.search(r"url\(|@import|https?:|\$", raw)
    assert [meta["content"] for meta in shown.all("meta") if meta.get("name") == "color-scheme"] == [
        "light dark"
    ]


def luminance(colour: np.ndarray) -> float:
    """Relative luminance of sRGB in 0..1 (WCAG 2)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_counts_stay_readable_on_every_shade_and_shades_grow_with_the_share(
    page: Page, scheme: int, tmp_path: Path
) -> None:
    style = page_of(model(), tmp_path)
    ink, below, muted = (
        np.array(list(bytes.fromhex(re.findall(rf"--{name}: #([0-9a-f]{{6}})", style)[scheme]))) / 255
        for name in ("ink", "page", "muted")
    )
    shade = np.array(re.findall(r"--shade: (\d+) (\d+) (\d+)", style)[scheme], float) / 255
    alphas = dict(re.findall(r"\.s(\d+) {[^}]*?rgb\(var\(--shade\) / (\.\d+)\)", style))
    strength = [float(alphas[str(step)]) for step in range(11)]
    assert strength == sorted(strength)
    for step, alpha in enumerate(strength):
        ground = luminance(alpha * shade + (1 - alpha) * below)
        light, dark = sorted((luminance(ink if step else muted), ground), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


@pytest.mark.parametrize("rule", ["soft", "stacking"])
def test_ensemble_has_its_fused_figures_and_those_of_each_member(tmp_path: Path, rule: str) -> None:
    first, second = model(), replace(model(), out_of_fold=out_of_fold(seed=3))
    ensemble, reports = fuse({"one": first, "other": second}, rule)
    save_ensemble(ensemble, str(tmp_path / "night"))
    write_model_page(str(tmp_path / "night"), str(tmp_path / "night.html"))
    shown, fused = Page((tmp_path / "night.html").read_text()), reports[f"rule:{rule}"]
    assert shown.facts["UA"].startswith(f"{100 * ensemble.card['metrics']['ua']:.1f} % ")
    assert shown.facts["ECE"].startswith(f"{100 * ensemble.card['metrics']['ece']:.1f} % ")
    assert (shown.facts["Rule"], shown.facts["Members"]) == (rule, "one, other")
    assert shown.facts["Fingerprint"] == load_ensemble(str(tmp_path / "night"))[1]
    rows = {row[0]: row[1:] for row in shown.tables["Members, then all of them fused"][1:]}
    for name, report in {
        "one svm": reports["one"],
        "other svm": reports["other"],
        f"fused {rule}": fused,
    }.items():
        assert rows[name] == [str(figure) for figure in (report.ua, report.wa, report.f1, report.ece)]
    diagonal = [row[k + 1].split()[0] for k, row in enumerate(shown.tables[list(shown.tables)[1]][1:])]
    assert diagonal == [str(row[k]) for k, row in enumerate(fused.confusion)]


def test_ensemble_whose_members_share_no_utterance_says_so(tmp_path: Path) -> None:
    ensemble, _ = fuse({"one": model(), "other": model()}, "soft")
    stranger = replace(model(), out_of_fold=replace(out_of_fold(), ids=[f"x{n}" for n in range(9)]))
    save_ensemble(replace(ensemble, members={"one": model(), "other": stranger}), str(tmp_path / "night"))
    write_model_page(str(tmp_path / "night"), str(tmp_path / "night.html"))
    shown = Page((tmp_path / "night.html").read_text())
    assert "This ensemble comes without any" in shown.text
    assert shown.tables["Members, then all of them fused"][1:] == [
        ["one svm", "–", "–", "–", "–"], ["other svm", "–", "–", "–", "–"]
    ]  # fmt: skip


def test_page_of_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="model not found"):
        write_model_page(str(tmp_path / "gone"), str(tmp_path / "page.html"))
    with pytest.raises(BadModel, match="not an ensemble or model directory"):
        write_model_page(str(tmp_path), str(tmp_path / "page.html"))
    assert list(tmp_path.iterdir()) == []


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


def test_report_by_command_writes_beside_the_model_and_leaves_its_fingerprint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model(), str(tmp_path / "svm"))
    before = directory_fingerprint(tmp_path / "svm")
    code, out, err = run(capsys, monkeypatch, f"{tmp_path / 'svm'}/")
    assert (code, out, err) == (0, f"page -> {tmp_path / 'svm.html'}\n", "")
    assert "trained model" in (tmp_path / "svm.html").read_text()
    assert directory_fingerprint(tmp_path / "svm") == before
    code, _, _ = run(capsys, monkeypatch, tmp_path / "svm", "-o", tmp_path / "elsewhere" / "page.html")
    assert code == 0
    assert (tmp_path / "elsewhere" / "page.html").exists()


@pytest.mark.parametrize("option", [("--top", "3"), ("--truth", "truth.parquet")])
def test_options_of_scores_are_refused_for_a_model(
    option: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_model(model(), str(tmp_path / "svm"))
    code, _, err = run(capsys, monkeypatch, tmp_path / "svm", *option)
    assert (code, err.count("\n")) == (2, 1)
    assert "--top and --truth are for scores" in err
    assert not (tmp_path / "svm.html").exists()


def test_page_of_a_member_goes_beside_its_ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble, _ = fuse({"one": model(), "other": model()}, "soft")
    save_ensemble(ensemble, str(tmp_path / "night"))
    assert default_page(str(tmp_path / "night" / "members" / "one")) == str(tmp_path / "night-one.html")
    assert default_page(str(tmp_path / "members" / "one")) == str(tmp_path / "members" / "one.html")
    assert default_page("s3://models/night/") == "s3://models/night.html"
    monkeypatch.chdir(tmp_path / "night")
    assert default_page(".") == str(tmp_path / "night.html")


def test_chromium_shows_the_page_without_an_error(perceptron: Model, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    page_of(perceptron, tmp_path)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]  # fmt: skip
    shown = subprocess.run(
        [chromium, *flags, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0
    assert ":CONSOLE" not in shown.stderr  # where Chromium logs refused styles and malformed drawings
    dom = Page(shown.stdout)
    assert len(dom.all("svg", "curve")) == 3
    assert len(dom.all("rect", "accuracy")) == 3
    assert dom.tables["Each emotion"][1] == ["anger", "3", "66.7 %", "66.7 %", "66.7 %"]
