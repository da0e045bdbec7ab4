"""Every recipe runs on a small made-up corpus and beats chance; what was fitted is kept; errors are clear."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from ser_ray import cli, storage
from ser_ray.corpora import read_manifest, write_manifest
from ser_ray.corpora.synthetic_sounds import make_sounds
from ser_ray.errors import BadManifest, BadStore, OutputConflict, UnknownName, UsageError
from ser_ray.evaluation import measure
from ser_ray.fusion import load_ensemble, save_ensemble
from ser_ray.models import FAMILIES, load_model
from ser_ray.models.networks.vgg import vgg19_layers
from ser_ray.pipelines.fuse import fuse, load_members
from ser_ray.pipelines.recipes import Outcome, RecipeRequest, run_recipe
from ser_ray.pipelines.recipes.figures import read_outcome
from ser_ray.recipes import RECIPES, recipe
from ser_ray.recipes.league import NAME as LEAGUE

pytestmark = pytest.mark.usefixtures("local_ray")

EPOCHS = {"epochs": 4, "batch": 8, "lr": 3e-3, "held_out": 0}
# What makes each of them small: settings, and what else is asked.
SMALL: dict[str, dict[str, Any]] = {
    "transfer_cnn": {
        "settings": {**EPOCHS, "channels": "8-16", "source.channels": "8-16", "source.epochs": 2}
    },
    "gan_negative": {"settings": {**EPOCHS, "units": 16, "frames": 100, "gan_epochs": 2}},
    "wav2vec_vs_is10": {
        "settings": {
            "epochs": 8,
            "lr": 3e-3,
            "wav2vec.size": "tiny",
            "wav2vec.epochs": 2,
            "wav2vec.crop_s": 0.5,
        }
    },
    "selection_fusion": {"settings": {"components": 4, "folds": 2}},
    "end_to_end": {"settings": {**EPOCHS, "feature.seconds": 1.0}},
    "ml_fusion": {"settings": {"random_forest.trees": 30, "xgboost.trees": 20}},
    "simple_rnn": {"settings": {**EPOCHS, "epochs": 8}},
    "four_feature_cnn": {"settings": {**EPOCHS, "folds": 2, "feature.height": 32, "feature.width": 32}},
    "vgg_attention": {
        "settings": {**EPOCHS, "epochs": 12, "lr": 1e-2, "frozen_blocks": 5, "feature.size": 32}
    },
    "equalized_augmented": {"settings": {**EPOCHS, "units": 16}},
    "mfcc_nine": {
        "settings": {**EPOCHS, "epochs": 3, "cnn2d.channels": "8-8-8-8", "cnn2d_lstm.channels": "8-8-8-8"}
        | {"cnn2d_bilstm.channels": "8-8-8-8", "fcn.hidden": "32"}
    },
}

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def run(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A recipe on the small corpus, by one division into speakers; features are kept from one to the next."""
    store = str(tmp_path_factory.mktemp("store"))

    def go(name: str, out: Path, **asked: Any) -> Outcome:
        models, anew = (asked.pop(key, False) for key in ("models", "anew"))
        request = RecipeRequest(name, **{"protocols": ["speaker"], "folds": 2} | asked)
        return run_recipe(
            recipe(name), request, read_manifest(corpus), store, str(out), models=models, anew=anew
        )

    return go


@pytest.fixture
def sounds(tmp_path: Path) -> str:
    """Manifest of a few made-up sounds."""
    write_manifest(make_sounds(str(tmp_path / "sounds"), 4, 6), str(tmp_path / "sounds.parquet"))
    return str(tmp_path / "sounds.parquet")


@pytest.fixture
def vgg_weights(tmp_path: Path) -> str:
    """A file of weights that learned nothing, in place of ImageNet's."""
    torch.manual_seed(0)
    tensors = {f"features.{name}": tensor for name, tensor in vgg19_layers().state_dict().items()}
    save_file(tensors, tmp_path / "vgg19.safetensors")
    return str(tmp_path / "vgg19.safetensors")


@pytest.mark.parametrize("name", [name for name in RECIPES if name != LEAGUE])
def test_recipe_beats_chance_on_unheard_speakers(
    name: str, run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    asking = dict(SMALL[name])
    if name == "transfer_cnn":
        asking["sounds"] = request.getfixturevalue("sounds")
    if name == "vgg_attention":
        asking["settings"] = asking["settings"] | {"weights": request.getfixturevalue("vgg_weights")}
    outcome = run(name, tmp_path / "out", **asking)
    table, asked = outcome.tables["speaker"], recipe(name)
    left_out = {"encoder_svm", "encoder_mlp"}  # without an encoder of transformers
    assert {variant.name for variant in asked.variants} - left_out <= table.rows.keys()
    claims = {claim.says for claim in asked.claims if not {claim.better, claim.worse} & left_out}
    assert {answer.says for answer in table.answers} == claims
    assert table.verdict.startswith("speaker-independent")
    flagship = table.rows[asked.flagship].report
    assert sum(flagship.n) == 60
    best = max(row.report.ua.value for row in table.rows.values())
    assert best > 0.45  # by chance a third, and 0.43 in one of twenty draws of 60


def test_figures_are_those_of_the_predictions_that_are_kept(run: Run, tmp_path: Path) -> None:
    outcome = run("ml_fusion", tmp_path, **SMALL["ml_fusion"], seeds=2, variants=["svm", "random_forest"])
    rows = storage.read_parquet(str(tmp_path / "predictions-speaker.parquet"))
    assert (len(rows), rows["seed"].to_pylist().count(1)) == (120, 60)
    labels = tuple(outcome.card["labels"])
    y = np.array([labels.index(emotion) for emotion in rows["emotion"].to_pylist()])
    for name, row in outcome.tables["speaker"].rows.items():
        p = np.column_stack([rows[f"{name}:{label}"].to_numpy() for label in labels])
        found = measure(y, p, labels)
        assert (found.ua.value, found.confusion) == (row.report.ua.value, row.report.confusion)
        by_seed = [measure(y[s], p[s], labels).ua.value for s in (slice(60), slice(60, None))]
        assert row.spread == pytest.approx(np.std(by_seed))
    assert read_outcome(str(tmp_path)) == replace(outcome, predictions={})


def test_what_is_fitted_is_kept_and_what_is_lost_is_fitted_again(
    corpus: str, run: Run, tmp_path: Path
) -> None:
    asked = {**SMALL["ml_fusion"], "variants": ["svm", "random_forest"]}
    first = run("ml_fusion", tmp_path, **asked)
    files = sorted((tmp_path / "results").rglob("*.json"))
    assert len(files) == 4
    before = {path: path.stat().st_mtime_ns for path in files[1:]}
    files[0].unlink()
    again = run("ml_fusion", tmp_path, **asked)
    assert {path: path.stat().st_mtime_ns for path in files[1:]} == before
    for name, row in again.tables["speaker"].rows.items():
        assert row.report == first.tables["speaker"].rows[name].report
    with pytest.raises(OutputConflict, match=r"another seeds\. Choose another -o"):
        run("ml_fusion", tmp_path, **asked, seeds=2)
    asking = RecipeRequest("ml_fusion", **{"protocols": ["speaker"], "folds": 2} | asked)
    svm, *others = recipe("ml_fusion").variants
    changed = replace(recipe("ml_fusion"), variants=(replace(svm, normalise="cmvn"), *others))
    with pytest.raises(OutputConflict, match=r"another version\."):
        run_recipe(changed, asking, read_manifest(corpus), "", str(tmp_path))
    files[0].write_text('{"tested": 1')
    with pytest.raises(BadStore, match="is no result of a fit"):
        run("ml_fusion", tmp_path, **asked)
    assert run("ml_fusion", tmp_path, **asked, seeds=2, anew=True).card["seeds"] == 2


def test_parts_of_a_classifier_have_rows_of_their_own(run: Run, tmp_path: Path) -> None:
    settings = {**SMALL["four_feature_cnn"]["settings"], "epochs": 1}
    rows = (
        run("four_feature_cnn", tmp_path, settings=settings, variants=["regression"]).tables["speaker"].rows
    )
    towers = [f"regression:tower {k}" for k in range(1, 5)]
    assert [*rows] == ["regression", *towers, "regression:soft vote"]
    assert rows["regression:soft vote"].fit_s is None
    assert rows["regression"].fit_s


def test_models_of_a_recipe_are_fused_and_loaded(run: Run, tmp_path: Path) -> None:
    asked = {**SMALL["ml_fusion"], "variants": ["svm", "xgboost"], "models": True}
    places = run("ml_fusion", tmp_path / "out", **asked).card["models"]
    ensemble, _ = fuse(load_members([*places.values()]))
    save_ensemble(ensemble, str(tmp_path / "ensemble"))
    loaded, _ = load_ensemble(str(tmp_path / "ensemble"))
    assert {model.family for model in loaded.members.values()} == {"svm", "xgboost"}
    assert loaded.members["xgboost"].settings["trees"] == 20


def test_columns_are_chosen_in_each_fold_and_for_the_model_of_all(run: Run, tmp_path: Path) -> None:
    asked = {**SMALL["selection_fusion"], "variants": ["pitch_15"], "models": True, "inner_folds": 1}
    places = run("selection_fusion", tmp_path, **asked).card["models"]
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    columns = [result["chosen"]["columns"] for result in results]
    columns.append(load_model(places["pitch_15"]).settings["columns"])
    assert [len(set(text.split("-"))) for text in columns] == [15, 15, 15]
    chosen = [json.loads(path.read_text())[-1]["columns"] for path in (tmp_path / "chosen").rglob("*.json")]
    assert sorted(chosen) == sorted(columns)


def test_table_of_all_systems_fuses_the_best_few(run: Run, tmp_path: Path) -> None:
    systems = ["ml_fusion", "simple_rnn", "equalized_augmented", "mfcc_nine"]
    outcome = run(LEAGUE, tmp_path, settings={**EPOCHS, "units": 16}, variants=systems, inner_folds=1)
    rows = outcome.tables["speaker"].rows
    assert set(systems) < rows.keys()
    assert "rule:stacking of the best 3" in rows
    ranked = [row.report.ua.value for row in rows.values()]
    assert ranked == sorted(ranked, reverse=True)
    assert rows["rule:soft of the best 3"].report.ua.value > 1 / 3


def test_systems_whose_held_out_slices_are_too_small_to_fuse_by_keep_their_rows(
    run: Run, tmp_path: Path
) -> None:
    settings = {**EPOCHS, "units": 16, "simple_rnn.held_out": 0.2, "mfcc_nine.held_out": 0.2}
    asked = {"settings": settings, "variants": ["simple_rnn", "mfcc_nine"], "inner_folds": 1}
    outcome = run(LEAGUE, tmp_path, **asked)
    assert set(outcome.tables["speaker"].rows) == {"simple_rnn", "mfcc_nine"}
    assert any("Use more --inner-folds" in each for each in outcome.card["differences"])


@pytest.mark.parametrize(
    ("asked", "error", "mend"),
    [
        ({"variants": ["svn"]}, UnknownName, "Did you mean: svm"),
        ({"protocols": ["losso"]}, UnknownName, "Did you mean: loso"),
        ({"settings": {"epochs": 3}}, UsageError, "no variant of ml_fusion has a setting 'epochs'"),
        ({"settings": {"svm.trees": 3}}, UsageError, r"no variant of ml_fusion has a setting 'svm\.trees'"),
        ({"settings": {"feature.size": 3}}, UsageError, "has a setting 'feature.size'"),
        ({"settings": {"svm.C": "much"}}, UsageError, "C='much' should be of type float"),
        ({"inner_folds": 0}, UsageError, "fuses by inner folds"),
        ({"emotions": ["joy"]}, BadManifest, "the corpus has no joy; .* take all: --emotions all"),
    ],
)
def test_wrong_request_is_refused(
    asked: dict[str, Any], error: type[Exception], mend: str, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(error, match=mend):
        run("ml_fusion", tmp_path / "out", **asked)
    assert not (tmp_path / "out" / "results").exists()


def test_emotions_are_those_that_the_paper_used(corpus: str, run: Run, tmp_path: Path) -> None:
    from ser_ray.pipelines.recipes.request import chosen_rows

    rows = read_manifest(corpus)
    place = rows.schema.get_field_index("corpus")
    ravdess = rows.set_column(place, rows.schema.field(place), pa.array(["ravdess"] * len(rows)))
    with pytest.raises(BadManifest, match="has no calm, fear, happiness; mfcc_nine wants anger, calm"):
        chosen_rows(RecipeRequest("mfcc_nine"), recipe("mfcc_nine"), ravdess)
    named = RecipeRequest("mfcc_nine", emotions=["anger", "sadness"])
    assert set(chosen_rows(named, recipe("mfcc_nine"), ravdess)["emotion"].to_pylist()) == {
        "anger",
        "sadness",
    }
    every = RecipeRequest("mfcc_nine", emotions=["all"])
    assert len(chosen_rows(every, recipe("mfcc_nine"), ravdess)) == len(rows)


def test_recipes_speak_of_what_there_is() -> None:
    for asked in RECIPES.values():
        names = [variant.name for variant in asked.variants]
        assert len(set(names)) == len(names)
        assert {asked.flagship, *asked.fused} <= set(names)
        for claim in asked.claims:
            for row in (claim.better, claim.worse):
                assert row.startswith("rule:") or row.partition(":")[0] in names
        assert all(published.row in names for published in asked.published)
        for variant in asked.variants:
            given = {name: value for name, value in variant.settings.items() if "{" not in str(value)}
            FAMILIES[variant.family].settings(given)


def test_command_prints_table_and_answers_and_writes_page(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ser-ray", "recipe", "ml_fusion", "--corpus", corpus, "-o", str(tmp_path / "out")]
    command += ["--store", str(tmp_path / "store"), "--protocol", "speaker", "--folds", "2"]
    command += ["--set", "xgboost.trees=20", "--variants", "svm,xgboost"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    said = capsys.readouterr().out
    assert "synthetic, 3 emotions, 60 utterances, speaker (2 folds), seed 0" in said
    assert "Confidence weights beat a soft vote (rule:paper against rule:soft): " in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("what is taken for what") == 8
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| svm | " in table
    monkeypatch.setattr("sys.argv", [*command, "--json"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["protocols"]["speaker"]["answers"][0]["verdict"] in ("yes", "no, it costs", "undecided")


def test_copies_are_learned_from_and_never_tested(corpus: str, run: Run, tmp_path: Path) -> None:
    asked = {"settings": {**EPOCHS, "epochs": 1, "units": 16}, "variants": ["none", "none+rates"]}
    outcome = run("equalized_augmented", tmp_path, **asked)
    rows = outcome.tables["speaker"].rows
    assert rows["none"].report.n == rows["none+rates"].report.n == (20, 20, 20)
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    tested = [i for result in results for i in result["tested"]]
    assert sorted(set(tested)) == sorted(read_manifest(corpus)["id"].to_pylist())
    assert rows["none"].curve[0]["loss"] != rows["none+rates"].curve[0]["loss"]


def test_manifest_without_emotions_is_refused(corpus: str, run: Run, tmp_path: Path) -> None:
    rows = read_manifest(corpus)
    place = rows.schema.get_field_index("emotion")
    write_manifest(
        rows.set_column(place, rows.schema.field(place), pa.nulls(len(rows), pa.string())),
        str(tmp_path / "m.parquet"),
    )
    with pytest.raises(BadManifest, match="a recipe needs utterances of at least two emotions"):
        run_recipe(
            recipe("ml_fusion"),
            RecipeRequest("ml_fusion"),
            read_manifest(str(tmp_path / "m.parquet")),
            str(tmp_path / "store"),
            str(tmp_path / "out"),
        )
