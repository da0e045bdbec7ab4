"""From general sounds to emotions: classes of sounds learned on Ray, and models that start from them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_ray import cli
from ser_ray.corpora import read_manifest, write_manifest
from ser_ray.corpora.synthetic_sounds import make_sounds
from ser_ray.errors import BadManifest, UsageError
from ser_ray.fusion import load_ensemble
from ser_ray.models import Model, load_model
from ser_ray.pipelines.candidates import candidates_of
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.evaluate import evaluate, evaluate_unseen
from ser_ray.pipelines.fuse import fuse, load_members
from ser_ray.pipelines.jobs import TrainJob
from ser_ray.pipelines.score import score
from ser_ray.pipelines.train import train
from ser_ray.pipelines.tune import TuneRequest, prepare

pytestmark = pytest.mark.usefixtures("local_ray")
QUICK: dict[str, Any] = {"channels": "4-6", "hidden": 8, "epochs": 2, "batch": 8, "frames": 60}
KINDS = ("falling_chirps", "knocks", "rising_chirps", "tone_bursts")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transfer")


@pytest.fixture(scope="module")
def sounds(root: Path) -> str:
    """Manifest of four kinds of sounds, six of each."""
    write_manifest(make_sounds(str(root / "sounds"), classes=4, per_class=6), str(root / "sounds.parquet"))
    return str(root / "sounds.parquet")


@pytest.fixture(scope="module")
def source(root: Path, sounds: str) -> str:
    """A network that learned them."""
    job = TrainJob.of(
        family="transfer_cnn",
        manifest=sounds,
        store=str(root / "store"),
        out=str(root / "source"),
        settings=QUICK,
        label="raw_label",
        inner_folds=2,
    )
    assert job.run()["labels"] == list(KINDS)
    return str(root / "source")


def body_of(model: Model) -> dict[str, torch.Tensor]:
    network: torch.nn.Module = model.classifier.network  # type: ignore[attr-defined]
    return network.body.state_dict()  # type: ignore[union-attr, operator, no-any-return]


def assert_same_body_and_standardisation(model: Model, source: Model) -> None:
    for name, tensor in body_of(source).items():
        assert torch.equal(body_of(model)[name], tensor), name
    ours, theirs = (each.classifier.scaling for each in (model, source))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(ours.means, theirs.means)
    np.testing.assert_array_equal(ours.deviations, theirs.deviations)


def test_a_model_of_sounds_says_what_it_learned(source: str) -> None:
    model = load_model(source)
    assert (model.label, model.labels) == ("raw_label", KINDS)
    assert model.card["trained_on"]["by_emotion"] == dict.fromkeys(KINDS, 6)
    assert json.loads(Path(source, "model.json").read_text())["label"] == "raw_label"


def test_frozen_model_of_emotions_has_the_body_of_its_source(root: Path, source: str, corpus: str) -> None:
    settings = {**QUICK, "transfer": "frozen", "source": source}
    manifest = read_manifest(corpus)
    model, _ = train("transfer_cnn", manifest, str(root / "store"), settings=settings, inner_folds=1)
    assert (model.label, model.labels) == ("emotion", ("anger", "neutral", "sadness"))
    assert_same_body_and_standardisation(model, load_model(source))


@pytest.mark.cluster
def test_several_workers_keep_body_and_standardisation_of_the_source(
    root: Path, source: str, corpus: str, tmp_path: Path
) -> None:
    settings, workers = (
        {**QUICK, "transfer": "frozen", "source": source},
        Workers(2, str(tmp_path), 0, stream=True),
    )
    manifest = read_manifest(corpus)
    model, _ = train("transfer_cnn", manifest, str(root / "store"), settings=settings, workers=workers)
    assert_same_body_and_standardisation(model, load_model(source))


def test_a_source_of_other_features_is_refused_before_anything_is_extracted(
    source: str, corpus: str, tmp_path: Path
) -> None:
    settings, manifest = {**QUICK, "transfer": "frozen", "source": source}, read_manifest(corpus)
    store, mend = str(tmp_path / "store"), "Give it the same --feature and --band"
    with pytest.raises(UsageError, match=mend):
        train("transfer_cnn", manifest, store, band="telephone", settings=settings)
    with pytest.raises(UsageError, match=mend):
        candidates_of("transfer_cnn", ["logmel(bands=40)"], settings=settings)
    with pytest.raises(UsageError, match=mend):
        prepare(TuneRequest("transfer_cnn", ["logmel(bands=40)"], space=settings), manifest, store)
    with pytest.raises(UsageError, match="Train both without --normalise"):
        train("transfer_cnn", manifest, store, settings=settings, normalise="cmvn")
    assert not (tmp_path / "store").exists()


def test_a_model_of_sounds_scores_no_calls(source: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"does not tell emotions apart: it knows falling_chirps.*learned emo"
    ):
        score(str(tmp_path), source, str(tmp_path / "scores"))
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_sounds_is_evaluated_on_sounds(root: Path, source: str, sounds: str, corpus: str) -> None:
    store = str(root / "store")
    anew = evaluate(candidates_of(source), read_manifest(sounds), store, "kfold", folds=2, inner_folds=1)
    assert anew.reports["source"].n == (6, 6, 6, 6)
    others = make_sounds(str(root / "others"), classes=3, per_class=2, seed=1)
    others = others.set_column(0, "id", [[f"other{row}" for row in range(6)]])
    unseen = evaluate_unseen(load_ensemble(source)[0], others, store)
    assert sum(unseen.reports["source"].n) == 6
    assert set(unseen.predictions["emotion"].to_pylist()) < set(KINDS)
    with pytest.raises(BadManifest, match="two"):
        evaluate_unseen(load_ensemble(source)[0], read_manifest(corpus), store)


def test_the_command_line_learns_sounds_and_says_how(
    root: Path, source: str, sounds: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ser-ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((out + err).split())

    command = ["train", "random_forest", sounds, "--store", root / "store", "-o", root / "forest"]
    code, said = run(*command)
    assert (code, "raw_label has 4 classes" in said, "--label raw_label" in said) == (2, True, True)
    code, said = run(*command, "--set", "trees=20", "--label", "raw_label")
    assert (code, "24 utterances, 4 classes" in said) == (0, True)
    ensemble, _ = fuse(load_members([source, str(root / "forest")]))
    assert ensemble.labels == KINDS
    code, said = run(*command, "--label", "speaker")
    assert code == 2
