"""Normalised features and augmented copies on their way through training, evaluation, fusion and scoring."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf

from ser_ray import storage
from ser_ray.corpora import read_manifest
from ser_ray.errors import BadManifest, UsageError
from ser_ray.fusion import RULES, load_ensemble, save_ensemble
from ser_ray.models import FAMILIES, load_model, save_model
from ser_ray.models.normalisation import get
from ser_ray.models.normaliser import TRANSDUCTIVE
from ser_ray.models.training import fit
from ser_ray.pipelines.calls import Stopwatch
from ser_ray.pipelines.candidates import candidates_of, check_unchanged
from ser_ray.pipelines.dataset import load_dataset
from ser_ray.pipelines.evaluate import evaluate, evaluate_unseen
from ser_ray.pipelines.fuse import fuse, load_members
from ser_ray.pipelines.jobs import TrainJob
from ser_ray.pipelines.shard import ScoreOptions, ShardScorer
from ser_ray.pipelines.train import train

pytestmark = pytest.mark.usefixtures("local_ray")
BY_SPEAKER = "cmvn(scope=speaker)"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("store"))


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, pa.string()))


def test_model_trained_on_ray_normalises_as_the_one_trained_in_process(
    corpus: str, store: str, tmp_path: Path
) -> None:
    manifest = read_manifest(corpus)
    model, report = train("svm", manifest, store, normalise=BY_SPEAKER)
    data = load_dataset(manifest, store, model.features)
    plain = fit(
        FAMILIES["svm"],
        model.settings,
        data.X,
        data.y,
        data.speakers,
        3,
        normalisation=get(BY_SPEAKER),
    )
    np.testing.assert_array_equal(plain.out_of_fold, model.out_of_fold.probabilities)
    expected = plain.predict_proba(data.X, data.speakers)
    np.testing.assert_array_equal(expected, model.predict_proba(data.X, data.speakers))
    save_model(model, str(tmp_path / "svm"))
    loaded = load_model(str(tmp_path / "svm"))
    np.testing.assert_array_equal(expected, loaded.predict_proba(data.X, data.speakers))
    assert loaded.normalisation == get(BY_SPEAKER)
    assert report.ua.value > 0.6


def test_transductive_figures_are_called_so_and_no_others(corpus: str, store: str, tmp_path: Path) -> None:
    manifest = read_manifest(corpus)
    for name, text in (("own", BY_SPEAKER), ("known", "cmvn(scope=corpus)")):
        model, _ = train("svm", manifest, store, normalise=text)
        assert model.card["metrics"]["protocol"].startswith("out of fold, speakers apart")
        assert (TRANSDUCTIVE in model.card["metrics"]["protocol"]) == (name == "own")
        save_model(model, str(tmp_path / name))
        verdict = evaluate(candidates_of("svm", normalise=text), manifest, store, "loso").verdict
        assert verdict.startswith("speaker-independent")
        assert ("transductive" in verdict) == (name == "own")
    plain, _ = train("svm", manifest, store)
    save_model(plain, str(tmp_path / "plain"))
    for names, transductive in ((("own", "known"), True), (("plain", "known"), False)):
        ensemble, _ = fuse(load_members([str(tmp_path / name) for name in names]))
        assert (TRANSDUCTIVE in ensemble.card["metrics"]["protocol"]) == transductive
    members = candidates_of("svm") | {"own": candidates_of("svm", normalise=BY_SPEAKER)["svm"]}
    assert evaluate(members, manifest, store, "loso").verdict.endswith("(own)")


def test_saved_models_are_evaluated_with_their_own_normalisation(
    corpus: str, store: str, tmp_path: Path
) -> None:
    manifest = read_manifest(corpus)
    model, _ = train("svm", manifest, store, normalise=BY_SPEAKER)
    save_model(model, str(tmp_path / "svm"))
    candidates = candidates_of(str(tmp_path / "svm"))
    assert candidates["svm"].normalisation == get(BY_SPEAKER)
    from_directory = evaluate(candidates, manifest, store, "loso")
    from_name = evaluate(candidates_of("svm", normalise=BY_SPEAKER), manifest, store, "loso")
    assert from_directory.reports == from_name.reports
    assert from_directory.reports != evaluate(candidates_of("svm"), manifest, store, "loso").reports
    with pytest.raises(UsageError, match="leave out --feature, --band, --normalise and --set"):
        candidates_of(str(tmp_path / "svm"), normalise="equalise")
    check_unchanged((), None, "none")


def test_unseen_speakers_are_normalised_by_what_is_tested_of_them(
    corpus: str, store: str, tmp_path: Path
) -> None:
    manifest = read_manifest(corpus)
    speakers = np.array(manifest["speaker"].to_pylist())
    held_out = np.isin(speakers, ["speaker01", "speaker02"])
    model, _ = train("svm", manifest.filter(~held_out), store, normalise=BY_SPEAKER)
    save_model(model, str(tmp_path / "svm"))
    ensemble, _ = load_ensemble(str(tmp_path / "svm"))
    tested = manifest.filter(held_out)
    result = evaluate_unseen(ensemble, tested, store)
    assert result.verdict.startswith("speaker-independent; transductive")
    data = load_dataset(tested, store, model.features)
    p = model.predict_proba(data.X, speakers[held_out])
    found = np.column_stack([result.predictions[f"svm:{label}"] for label in model.labels])
    np.testing.assert_allclose(found, p, atol=1e-12)
    nameless = with_column(tested, "speaker", [None] * len(tested))
    with pytest.raises(UsageError, match="needs to know who speaks"):
        evaluate_unseen(ensemble, nameless, store)


@pytest.mark.parametrize(
    ("text", "named", "mend"),
    [
        (BY_SPEAKER, False, "Give the column speaker"),
        ("equalise", False, "Give the column speaker"),
        ("cmvn(scope=utterance)", True, "needs frame sequences"),
        ("cmvm", True, "Did you mean: cmvn"),
    ],
)
def test_what_cannot_be_normalised_is_refused_before_anything_is_extracted(
    corpus: str, tmp_path: Path, text: str, named: bool, mend: str
) -> None:
    manifest = read_manifest(corpus)
    if not named:
        manifest = with_column(manifest, "speaker", [None, *manifest["speaker"].to_pylist()[1:]])
    with pytest.raises(UsageError, match=mend):
        train("svm", manifest, str(tmp_path / "store"), normalise=text)
    with pytest.raises(UsageError, match=mend):
        evaluate(candidates_of("svm", normalise=text), manifest, str(tmp_path / "store"), "kfold")
    assert not (tmp_path / "store").exists()


def test_a_job_normalises_as_it_is_told(corpus: str, store: str, tmp_path: Path) -> None:
    options = {"family": "svm", "manifest": corpus, "store": store, "out": str(tmp_path / "svm")}
    done = TrainJob.of(**options, normalise="cmvn(scope=speaker, prior=2)").run()
    assert done["normalisation"] == "cmvn(scope=speaker,prior=2.0)"
    described = json.loads((tmp_path / "svm" / "model.json").read_text())
    assert described["normalisation"] == {"name": "cmvn", "scope": "speaker", "prior": 2.0}
    assert TrainJob.of(**options).normalise == "none"


# Copies.


def copied(manifest: pa.Table) -> pa.Table:
    """Two copies of each utterance by two of the speakers; they lie before and after all originals."""
    few = manifest.filter([s in ("speaker01", "speaker02") for s in manifest["speaker"].to_pylist()])
    ids = few["id"].to_pylist()
    named = with_column(few, "source_id", ids)
    copies = [with_column(named, "id", [f"{i}~{n}" for i in ids]) for n in (1, 2)]
    return pa.concat_tables([copies[0], manifest, copies[1]])


def test_copies_are_learned_from_and_counted_nowhere(corpus: str, store: str) -> None:
    manifest = read_manifest(corpus)
    model, report = train("svm", copied(manifest), store, normalise=BY_SPEAKER)
    assert model.out_of_fold.ids == manifest["id"].to_pylist()
    assert model.out_of_fold.probabilities.shape == (60, 3)
    learned = model.card["trained_on"]
    assert (learned["utterances"], learned["copies"]) == (60, 48)
    assert learned["by_emotion"] == {"anger": 20, "neutral": 20, "sadness": 20}
    assert report.n == (20, 20, 20)
    plain, _ = train("svm", manifest, store, normalise=BY_SPEAKER)
    assert (plain.card["trained_on"]["utterances"], plain.card["trained_on"]["copies"]) == (60, 0)


def test_copies_are_never_tested(corpus: str, store: str, tmp_path: Path) -> None:
    manifest = read_manifest(corpus)
    members = candidates_of("svm") | {"own": candidates_of("svm", normalise=BY_SPEAKER)["svm"]}
    result = evaluate(members, copied(manifest), store, "loso")
    assert sorted(result.predictions["id"].to_pylist()) == sorted(manifest["id"].to_pylist())
    assert set(result.reports) == {*members, *(f"rule:{r}" for r in RULES), "rule:stacking"}
    assert all(report.n == (20, 20, 20) for report in result.reports.values())
    assert result.reports["rule:stacking"].ua.value > 0.6
    heard = [s != "speaker01" for s in manifest["speaker"].to_pylist()]
    model, _ = train("svm", manifest.filter(heard), store)
    save_model(model, str(tmp_path / "svm"))
    unheard = copied(manifest).filter([s == "speaker01" for s in copied(manifest)["speaker"].to_pylist()])
    assert len(unheard) == 36
    ensemble, _ = load_ensemble(str(tmp_path / "svm"))
    assert evaluate_unseen(ensemble, unheard, store).reports["svm"].n == (4, 4, 4)


def test_a_dataset_knows_what_its_copies_were_made_from(corpus: str, store: str) -> None:
    manifest = copied(read_manifest(corpus))
    data = load_dataset(manifest, store, candidates_of("svm")["svm"].features)
    ids, made_from = manifest["id"].to_pylist(), manifest["source_id"].to_pylist()
    assert [ids[row] for row in data.sources] == [s or i for i, s in zip(ids, made_from, strict=True)]
    assert data.recorded.rows["id"].to_pylist() == [i for i in ids if "~" not in i]
    np.testing.assert_array_equal(data.recorded.X, data.X[24:84])
    assert data.voices is not None
    assert data.voices.tolist() == data.rows["speaker"].to_pylist()
    louder = with_column(data.rows, "augmentation", ["gain", *[None] * 107])
    changed = dataclasses.replace(data, rows=louder).voices
    assert changed is not None
    assert changed[:2].tolist() == ["speaker01|gain", "speaker01"]
    without = load_dataset(
        manifest.filter([i != made_from[0] for i in ids]), store, candidates_of("svm")["svm"].features
    )
    assert [i for i, s in zip(without.rows["id"].to_pylist(), without.sources, strict=True) if s < 0] == [
        f"{made_from[0]}~{n}" for n in (1, 2)
    ]


def test_copies_of_copies_and_copies_alone_are_refused(corpus: str, store: str) -> None:
    manifest = copied(read_manifest(corpus))
    chained = manifest["source_id"].to_pylist()
    chained[-1] = manifest["id"][0].as_py()
    with pytest.raises(BadManifest, match="itself a copy"):
        train("svm", with_column(manifest, "source_id", chained), store)
    with pytest.raises(BadManifest, match="two emotions"):
        train("svm", manifest.slice(0, 24), store)


# Scoring.


@pytest.fixture(scope="module")
def own(corpus: str, deployment: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two telephone members, one of which normalises each leg by itself."""
    root, manifest = tmp_path_factory.mktemp("own"), read_manifest(corpus)
    for name, text in (("own", BY_SPEAKER), ("known", "cmvn(scope=corpus)")):
        model, _ = train("svm", manifest, deployment.store, band="telephone", normalise=text)
        save_model(model, str(root / name))
    ensemble, _ = fuse(load_members([str(root / "own"), str(root / "known")]), "soft")
    save_ensemble(ensemble, str(root / "ensemble"))
    return root


def scorer_of(ensemble: Path, out: Path) -> ShardScorer:
    return ShardScorer(str(ensemble), load_ensemble(str(ensemble))[1], str(out), ScoreOptions())


def heard(scorer: ShardScorer, *paths: Path) -> list[dict[str, Any]]:
    return scorer.score([{"call_id": path.name, "uri": str(path)} for path in paths], Stopwatch())


def good_calls(deployment: Any) -> list[Path]:
    damaged = storage.read_parquet(f"{deployment.archive}/damaged.parquet")["call"].to_pylist()
    return [p for p in sorted(Path(deployment.archive).glob("call-*")) if p.name not in damaged][:3]


def probabilities(row: dict[str, Any], leg: str) -> np.ndarray:
    return np.array([list(s["p"].values()) for s in row["segments"] if s["leg"] == leg])


@pytest.mark.parametrize("what", ["own", "ensemble"])
def test_each_leg_of_a_call_is_normalised_by_itself(
    own: Path, deployment: Any, tmp_path: Path, what: str
) -> None:
    scorer, (first, second, *_) = scorer_of(own / what, tmp_path), good_calls(deployment)
    one, rate = sf.read(first)
    other = np.zeros_like(one)
    voice, _ = sf.read(second)
    other[: len(voice), 1] = voice[: len(other), 1]
    sf.write(tmp_path / "other.wav", np.column_stack([one[:, 0], other[:, 1]]), rate)
    sf.write(tmp_path / "original.wav", one, rate)
    sf.write(tmp_path / "alone.wav", one[:, 0], rate)
    original, changed, alone = (
        heard(scorer, tmp_path / f"{name}.wav")[0] for name in ("original", "other", "alone")
    )
    assert len(probabilities(original, "agent")) >= 2
    assert len(probabilities(changed, "customer")) >= 2
    np.testing.assert_allclose(probabilities(changed, "agent"), probabilities(original, "agent"), atol=1e-5)
    np.testing.assert_allclose(probabilities(alone, "mono"), probabilities(original, "agent"), atol=1e-5)


def test_calls_scored_in_company_are_normalised_as_if_alone(
    own: Path, deployment: Any, tmp_path: Path
) -> None:
    scorer, calls = scorer_of(own / "own", tmp_path), good_calls(deployment)
    together = heard(scorer, *calls)
    for row, path in zip(together, calls, strict=True):
        for leg in ("agent", "customer"):
            alone = probabilities(heard(scorer, path)[0], leg)
            assert len(alone)
            np.testing.assert_allclose(probabilities(row, leg), alone, atol=1e-5)


def test_a_leg_is_normalised_by_the_rule_that_the_model_learned_with(
    own: Path, deployment: Any, tmp_path: Path
) -> None:
    """The scorer's figures are the model's own for the leg's segments as one speaker's utterances."""
    scorer, path = scorer_of(own / "own", tmp_path), good_calls(deployment)[0]
    model = load_model(str(own / "own"))
    row = heard(scorer, path)[0]
    wave, rate = sf.read(path, dtype="float32")
    for channel, leg in enumerate(("agent", "customer")):
        segments = [s for s in row["segments"] if s["leg"] == leg]
        waves = [wave[round(s["start_s"] * rate) : round(s["end_s"] * rate), channel] for s in segments]
        X = np.stack(model.features[0].batch(waves))
        expected = model.predict_proba(X, [leg] * len(X))
        np.testing.assert_allclose(probabilities(row, leg), expected, atol=1e-3)
        everyone = model.predict_proba(X, list(range(len(X))))  # each segment as a speaker of its own
        assert len(X) == 1 or np.abs(everyone - expected).max() > 1e-2
