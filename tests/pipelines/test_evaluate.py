"""Training, fusing and evaluating on Ray: nothing leaks, local equals cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_ray.corpora import read_manifest
from ser_ray.errors import BadManifest, UnknownName, UsageError
from ser_ray.fusion import RULES, load_ensemble
from ser_ray.models import FAMILIES, load_model, save_model
from ser_ray.models.training import fit
from ser_ray.pipelines.candidates import candidates_of
from ser_ray.pipelines.dataset import load_dataset
from ser_ray.pipelines.evaluate import evaluate, evaluate_unseen
from ser_ray.pipelines.train import train

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("store"))


def test_folds_trained_on_ray_give_the_model_trained_in_process(
    corpus: str, store: str, tmp_path: Path
) -> None:
    manifest = read_manifest(corpus)
    model, report = train("svm", manifest, store, settings={"C": "3"}, seed=1)
    data = load_dataset(manifest, store, model.features)
    plain = fit(FAMILIES["svm"], {"C": 3.0, "gamma": 0.3}, data.X, data.y, data.speakers, 3, seed=1)
    np.testing.assert_array_equal(plain.predict_proba(data.X), model.predict_proba(data.X))
    np.testing.assert_array_equal(plain.out_of_fold, model.out_of_fold.probabilities)
    assert report.ua.value == pytest.approx(model.card["metrics"]["ua"])
    save_model(model, str(tmp_path / "svm"))
    loaded = load_model(str(tmp_path / "svm"))
    np.testing.assert_array_equal(loaded.predict_proba(data.X), model.predict_proba(data.X))
    assert loaded.card["trained_on"]["by_emotion"] == {"anger": 20, "neutral": 20, "sadness": 20}


def test_members_and_every_rule_are_measured_on_unheard_speakers(
    corpus: str, store: str, tmp_path: Path
) -> None:
    manifest = read_manifest(corpus)
    result = evaluate(candidates_of("svm,svm"), manifest, store, "loso")
    assert set(result.reports) == {"svm"}
    result = evaluate(candidates_of("svm,random_forest"), manifest, store, "loso")
    assert set(result.reports) == {"svm", "random_forest", *(f"rule:{r}" for r in RULES), "rule:stacking"}
    assert result.verdict.startswith("speaker-independent")
    assert result.folds == tuple(f"speaker{n:02d}" for n in range(1, 6))
    assert sorted(result.predictions["id"].to_pylist()) == sorted(manifest["id"].to_pylist())
    for report in result.reports.values():
        assert report.ua.low <= report.ua.value <= report.ua.high
        assert report.n == (20, 20, 20)
        assert report.ua.value > 0.6  # chance is 0.33
    result.save(str(tmp_path))
    assert (tmp_path / "evaluation.json").exists()


def test_shuffled_labels_are_recognised_at_chance(corpus: str, store: str) -> None:
    """Were anything fitted on a test row, meaningless labels would be recognised better than by chance."""
    manifest = read_manifest(corpus)
    names = manifest.schema.get_field_index("emotion")
    shuffled = np.random.default_rng(3).permutation(manifest["emotion"].to_pylist())
    meaningless = manifest.set_column(names, manifest.schema.field(names), [shuffled.tolist()])
    result = evaluate(candidates_of("svm,random_forest"), meaningless, store, "loso")
    assert max(report.ua.value for report in result.reports.values()) < 0.55


def test_protocol_that_mixes_speakers_is_called_so(corpus: str, store: str) -> None:
    result = evaluate(candidates_of("svm"), read_manifest(corpus), store, "kfold", folds=2)
    assert result.verdict.startswith("NOT speaker-independent")


def test_saved_ensemble_is_measured_as_it_is_on_what_it_never_heard(
    corpus: str, store: str, deployment: Any, tmp_path: Path
) -> None:
    ensemble, _ = load_ensemble(deployment.ensemble)
    manifest = read_manifest(corpus)
    with pytest.raises(BadManifest, match="trained the model"):
        evaluate_unseen(ensemble, manifest, store)
    ids = manifest.schema.get_field_index("id")
    renamed = [f"other/{i}" for i in manifest["id"].to_pylist()]
    other = manifest.set_column(ids, manifest.schema.field(ids), [renamed])
    result = evaluate_unseen(ensemble, other, store)
    assert set(result.reports) == {"svm", "random_forest", "rule:paper"}
    assert result.verdict.startswith("NOT speaker-independent")
    assert result.reports["rule:paper"].ua.value > 0.9


def test_failed_utterances_are_left_out_and_counted(corpus: str, tmp_path: Path) -> None:
    manifest = read_manifest(corpus)
    uris = manifest["uri"].to_pylist()
    uris[0] = str(tmp_path / "gone.wav")
    column = manifest.schema.get_field_index("uri")
    broken = manifest.set_column(column, manifest.schema.field(column), [uris])
    model, _ = train("svm", broken, str(tmp_path / "store"))
    assert model.card["trained_on"]["left_out"] == {"missing": 1}
    assert len(model.out_of_fold.ids) == 59


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"family_name": "swm"}, UnknownName, "svm"),
        ({"specs": ["mfcc"]}, UsageError, "mfcc_stats"),
        ({"specs": ["mfcc_stats", "mfcc_stats(band=telephone)"]}, UsageError, "share rate and band"),
        ({"settings": {"depth": 3}}, UsageError, "has no setting"),
        ({"settings": {"C": "many"}}, UsageError, "type float"),
    ],
)
def test_wrong_request_is_refused_with_the_mend(
    corpus: str, store: str, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    request: dict[str, Any] = {"family_name": "svm", **change}
    with pytest.raises(error, match=message):
        train(manifest=read_manifest(corpus), store=store, **request)


def test_without_inner_folds_members_stand_alone_uncalibrated(corpus: str, store: str) -> None:
    candidates = candidates_of("svm,random_forest", settings={"trees": 20, "C": 3.0})
    assert (candidates["svm"].settings["C"], candidates["random_forest"].settings["trees"]) == (3.0, 20)
    manifest = read_manifest(corpus)
    bare = evaluate(candidates, manifest, store, "speaker", 2, inner_folds=0)
    assert set(bare.reports) == {"svm", "random_forest"}
    fused = evaluate(candidates, manifest, store, "speaker", 2, inner_folds=2)
    assert f"rule:{next(iter(RULES))}" in fused.reports
    for name in candidates:  # calibration changes probabilities, not what is most probable
        assert bare.reports[name].confusion == fused.reports[name].confusion
    assert bare.reports["svm"].ece.value != fused.reports["svm"].ece.value


def test_a_setting_that_no_family_has_is_refused() -> None:
    with pytest.raises(UsageError, match="none of svm, random_forest has a setting 'epochs'"):
        candidates_of("svm,random_forest", settings={"epochs": 3})


def test_networks_measured_on_their_slice_fuse_with_members_measured_on_all(corpus: str, store: str) -> None:
    quick = {"epochs": 3, "batch": 16, "hidden": "16"}
    manifest = read_manifest(corpus)
    with pytest.raises(BadManifest, match="too little of some emotion to fuse by"):
        evaluate(candidates_of("mlp,svm", settings=quick), manifest, store, "kfold", 2, inner_folds=1)
    candidates = candidates_of("mlp,svm", settings={**quick, "held_out": 0.5})
    result = evaluate(candidates, manifest, store, "kfold", 2, inner_folds=1)
    assert set(result.reports) == {"mlp", "svm"} | {f"rule:{rule}" for rule in (*RULES, "stacking")}
    assert all(sum(report.n) == 60 for report in result.reports.values())


def test_one_emotion_is_not_enough(corpus: str, store: str) -> None:
    with pytest.raises(BadManifest, match="two emotions"):
        train("svm", read_manifest(corpus).slice(0, 4), store)
