"""A network trained by several workers: the same steps as alone, and the same end after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from ser_ray import storage
from ser_ray.corpora import read_manifest
from ser_ray.errors import UsageError
from ser_ray.models import Model, load_model, save_model
from ser_ray.pipelines import cluster
from ser_ray.pipelines.dataset import load_dataset
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.train import SLICE, train

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.cluster]

EPOCHS = 12
SETTINGS = {"epochs": EPOCHS, "patience": 99, "batch": 8, "dropout": 0.0, "channels": "6-6-6", "frames": 48}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("workers") / "store")


@pytest.fixture(scope="module")
def undisturbed(corpus: str, store: str) -> Model:
    """Trained by one process alone."""
    model, _ = train("cnn1d", read_manifest(corpus), store, settings=SETTINGS, inner_folds=1)
    return model


def weights(model: Model) -> dict[str, torch.Tensor]:
    network: torch.nn.Module = model.classifier.network  # type: ignore[attr-defined]
    return network.state_dict()


def assert_same(model: Model, other: Model) -> None:
    for name, tensor in weights(model).items():
        torch.testing.assert_close(tensor, weights(other)[name], atol=1e-5, rtol=1e-4, msg=name)
    assert model.out_of_fold.ids == other.out_of_fold.ids
    np.testing.assert_allclose(model.out_of_fold.probabilities, other.out_of_fold.probabilities, atol=1e-4)
    assert [row["epoch"] for row in curve(model)] == list(range(1, EPOCHS + 1))


def curve(model: Model) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = model.classifier.curve  # type: ignore[attr-defined]
    return rows


def workers_alive() -> list[psutil.Process]:
    """Of this process's own Ray: other tests may run beside this one."""
    own = {child.pid for child in psutil.Process().children(recursive=True)}
    everywhere = [p for p in psutil.process_iter(["cmdline"]) if p.pid in own]
    return [p for p in everywhere if "RayTrainWorker" in " ".join(p.info["cmdline"] or [])]


DRIVER = """
import json, sys
from ser_ray.pipelines import cluster
cluster.ray.init("local", num_cpus=3, include_dashboard=False, object_store_memory=200_000_000)
from ser_ray.corpora import read_manifest
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.train import train
def show(done, total, counted):
    print(counted, done, flush=True)
corpus, store, settings, place = sys.argv[1:]
settings, workers = json.loads(settings), Workers(2, place)
train("cnn1d", read_manifest(corpus), store, settings=settings, progress=show, workers=workers)
"""


def test_a_driver_and_then_a_worker_killed_in_mid_training_cost_nothing_but_time(
    corpus: str, store: str, undisturbed: Model, tmp_path: Path
) -> None:
    place = str(tmp_path / "checkpoints")
    command = [sys.executable, "-c", DRIVER, corpus, store, json.dumps(SETTINGS), place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as driver:
        assert driver.stdout is not None
        reached = next(n for n in map(epochs_of_line, driver.stdout) if n >= 2)
        family = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
    assert reached < EPOCHS
    psutil.wait_procs(family, timeout=30)
    for process in family:
        if process.is_running():
            process.kill()
    told: list[int] = []
    killed: list[int] = []

    def kill_one(done: int, total: int, counted: str) -> None:
        told.append(done)
        if reached < done < EPOCHS and not killed:
            victim = workers_alive()[-1]
            killed.append(victim.pid)
            victim.kill()

    together = Workers(2, place)
    manifest = read_manifest(corpus)
    model, _ = train("cnn1d", manifest, store, settings=SETTINGS, progress=kill_one, workers=together)
    assert told[0] >= reached - 1  # it did not begin anew; what was told last may not have been kept
    assert killed
    assert_same(model, undisturbed)
    assert model.card["metrics"]["protocol"] == f"{SLICE}, speakers apart"
    assert not (tmp_path / "checkpoints").exists()
    save_model(model, str(tmp_path / "model"))
    assert_same(load_model(str(tmp_path / "model")), undisturbed)


def epochs_of_line(line: str) -> int:
    counted, _, done = line.partition(" ")
    return int(done) if counted == "epochs" else 0


def test_streamed_features_train_alike_and_lose_no_held_out_row(
    corpus: str, store: str, undisturbed: Model, tmp_path: Path
) -> None:
    together = Workers(2, str(tmp_path / "checkpoints"), stream=True)
    few = {**SETTINGS, "epochs": 4}
    model, _ = train("cnn1d", read_manifest(corpus), store, settings=few, workers=together)
    assert model.out_of_fold.ids == undisturbed.out_of_fold.ids
    scaling, alone = model.classifier.scaling, undisturbed.classifier.scaling  # type: ignore[attr-defined]
    np.testing.assert_allclose(scaling.means[0], alone.means[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scaling.deviations[0], alone.deviations[0], rtol=1e-5)
    losses = [row["loss"] for row in curve(model)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    data = load_dataset(read_manifest(corpus), store, model.features)
    rows = [data.rows["id"].to_pylist().index(i) for i in model.out_of_fold.ids]
    np.testing.assert_allclose(model.predict_proba(data.X[rows]), model.out_of_fold.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "settings", "cause"),
    [
        ("svm", {}, "svm is not trained by several workers"),
        ("four_feature_cnn", {}, "four_feature_cnn is not trained by several workers"),
        ("fcn", {"held_out": 0.0}, "Set held_out above 0"),
        ("fcn", {"batch": 1}, "a batch of 1 is too small for 2 workers"),
    ],
)
def test_what_workers_cannot_train_is_refused_before_anything_is_extracted(
    corpus: str, tmp_path: Path, family: str, settings: dict[str, Any], cause: str
) -> None:
    together = Workers(2, str(tmp_path / "checkpoints"))
    with pytest.raises(UsageError, match=cause):
        train(family, read_manifest(corpus), str(tmp_path / "store"), settings=settings, workers=together)
    assert not storage.exists(str(tmp_path / "store"))


def test_streams_refuse_what_needs_the_whole_corpus(corpus: str, store: str, tmp_path: Path) -> None:
    together = Workers(2, str(tmp_path / "checkpoints"), stream=True)
    with pytest.raises(UsageError, match="neither normalised nor drawn by class"):
        train("cnn1d", read_manifest(corpus), store, settings=SETTINGS, normalise="cmvn", workers=together)
    with pytest.raises(UsageError, match="gan_blstm needs all features at once"):
        train("gan_blstm", read_manifest(corpus), store, workers=together)


def test_more_workers_than_cpus_are_refused_here_and_on_a_cluster(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_alone", True)
    cluster.require_cpus(4, "4 workers take")
    with pytest.raises(UsageError, match="5 workers take 5 CPUs, and this machine has 4"):
        cluster.require_cpus(5, "5 workers take")
    together = Workers(4, str(tmp_path / "checkpoints"), stream=True)
    with pytest.raises(UsageError, match="4 workers and a task that reads for them take 5 CPUs"):
        train("cnn1d", read_manifest(corpus), str(tmp_path / "store"), settings=SETTINGS, workers=together)
    assert not storage.exists(str(tmp_path / "store"))
    monkeypatch.setattr(cluster, "_alone", False)
    with pytest.raises(UsageError, match=r"5 CPUs, and the cluster has 4\. Bring workers first: --cpus"):
        cluster.require_cpus(5, "5 workers take")
