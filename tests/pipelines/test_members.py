"""Members in GPU actors: the same figures as in one process, also where an actor dies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_ray import storage
from ser_ray.audio.band import in_band
from ser_ray.audio.decode import read_audio
from ser_ray.corpora import read_manifest
from ser_ray.errors import RunFailed, UnreadableAudio
from ser_ray.features.wav2vec_checkpoint import write_wav2vec
from ser_ray.features.wav2vec_network import Wav2Vec
from ser_ray.fusion import Ensemble, load_ensemble, save_ensemble
from ser_ray.models import save_model
from ser_ray.models.inputs import stacked
from ser_ray.pipelines.calls import Stopwatch
from ser_ray.pipelines.cluster import ray
from ser_ray.pipelines.fuse import fuse, load_members
from ser_ray.pipelines.members import GpuActor, GpuPool, gpu_pool
from ser_ray.pipelines.shard import ScoreOptions, ShardScorer
from ser_ray.pipelines.train import train
from tests.conftest import Deployment

pytestmark = pytest.mark.usefixtures("local_ray")
LENGTHS_S = (0.3, 5.0, 1.1, 2.4, 0.6, 8.0, 2.5, 1.7, 3.3, 0.9, 4.2)  # shorter and longer than the window


@pytest.fixture(scope="module")
def mixed(corpus: str, deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SVM, a network on frames, and an SVM on what a pre-trained network hears, fused."""
    root = tmp_path_factory.mktemp("mixed")
    write_wav2vec(Wav2Vec("tiny"), str(root / "wav2vec.safetensors"))
    quick = {"epochs": 2, "batch": 8, "channels": "8-8"}
    heard = [f"wav2vec(checkpoint={root / 'wav2vec.safetensors'})"]
    for name, family, specs, settings in (("cnn1d", "cnn1d", [], quick), ("heard", "svm", heard, {})):
        model, _ = train(family, read_manifest(corpus), deployment.store, specs, "telephone", settings)
        save_model(model, str(root / name))
    svm = Path(deployment.ensemble) / "members" / "svm"
    ensemble, _ = fuse(load_members([str(svm), str(root / "cnn1d"), str(root / "heard")]))
    save_ensemble(ensemble, str(root / "ensemble"))
    return str(root / "ensemble")


@pytest.fixture(scope="module")
def loaded(mixed: str) -> Ensemble:
    return load_ensemble(mixed)[0]


@pytest.fixture(scope="module")
def pool(mixed: str) -> GpuPool:
    """One actor, on the CPU, that gets five segments at a time."""
    return GpuPool((actor_of(mixed),), slice=5)


def actor_of(ensemble: str, **options: Any) -> Any:
    _, fingerprint = load_ensemble(ensemble)
    return GpuActor.options(num_gpus=0, **options).remote(ensemble, fingerprint)


def segments_of(corpus: str, ensemble: Ensemble) -> dict[str, np.ndarray]:
    """Feature fingerprint -> its values of segments of other lengths each."""
    speech = [read_audio(uri) for uri in read_manifest(corpus)["uri"].to_pylist()[:8]]
    wave, rate = np.concatenate([w for w, _ in speech]), speech[0][1]
    cuts = [wave[int(k * rate) :][: int(s * rate)] for k, s in enumerate(LENGTHS_S)]
    assert [len(cut) / rate for cut in cuts] == pytest.approx(LENGTHS_S, abs=0.01)
    return {
        f.fingerprint: stacked(f.batch([in_band(cut, rate, f.rate, f.band) for cut in cuts]))
        for f in ensemble.features
    }


def test_segment_has_the_same_probabilities_alone_and_among_others_in_an_actor_or_not(
    corpus: str, loaded: Ensemble, pool: GpuPool
) -> None:
    values, legs = segments_of(corpus, loaded), [k % 2 for k in range(len(LENGTHS_S))]
    together = loaded.predict_proba(values, legs)
    assert np.ptp(together, axis=0).max() > 0.1  # the segments differ
    afar = pool.ensemble(loaded)
    np.testing.assert_allclose(afar.predict_proba(values, legs), together, atol=1e-5)
    for row in range(len(LENGTHS_S)):
        alone = {key: value[row : row + 1] for key, value in values.items()}
        for ensemble in (loaded, afar):
            found = ensemble.predict_proba(alone, legs[row : row + 1])
            np.testing.assert_allclose(found, together[row : row + 1], atol=1e-5)


def test_worker_keeps_no_weights_of_a_deep_member(loaded: Ensemble, pool: GpuPool) -> None:
    afar = pool.ensemble(loaded)
    assert list(afar.members) == list(loaded.members)
    assert [hasattr(model.classifier, "network") for model in afar.members.values()] == [False] * 3
    assert afar.members["svm"] is loaded.members["svm"]


def test_error_in_an_actor_is_the_one_of_this_process(loaded: Ensemble, pool: GpuPool) -> None:
    narrow = stacked([np.zeros((50, 3), np.float32)])
    with pytest.raises(Exception, match="3") as here:
        loaded.members["cnn1d"].classifier.predict_proba(narrow)
    with pytest.raises(type(here.value)) as there:
        pool.predict("cnn1d", narrow)
    assert str(there.value) == str(here.value)
    wav2vec = next(feature for feature in loaded.features if feature.accelerated)
    with pytest.raises(UnreadableAudio) as unreadable:
        pool.batch(wav2vec, [np.full(16000, np.nan, np.float32)])
    assert unreadable.value.kind == "not_finite"


def test_actor_that_does_not_come_back_ends_the_run_instead_of_failing_calls(
    mixed: str, deployment: Deployment, tmp_path: Path
) -> None:
    actor = actor_of(mixed)
    ray.kill(actor)
    scorer = ShardScorer(mixed, load_ensemble(mixed)[1], str(tmp_path), ScoreOptions(), GpuPool((actor,)))
    files = [file.uri for file in storage.list_files(deployment.archive, (".wav",))]
    with pytest.raises(RunFailed, match="start the run again"):
        scorer.score([{"call_id": uri, "uri": uri} for uri in files[-2:]], Stopwatch())


def test_actor_refuses_an_ensemble_that_changed(mixed: str) -> None:
    actor = GpuActor.options(num_gpus=0).remote(mixed, "another")
    with pytest.raises(RunFailed, match="changed while the run was going on"):
        GpuPool((actor,)).predict("cnn1d", np.zeros((1, 3), np.float32))


def test_cluster_without_gpus_has_no_actors(mixed: str, loaded: Ensemble) -> None:
    with gpu_pool(loaded, mixed, load_ensemble(mixed)[1], 4) as pool:
        assert pool is None


# A driver of its own, since only a new Ray can announce a GPU. It kills the actor while that predicts.
DRIVER = """
import json, sys, threading, time
from contextlib import suppress
import psutil
from ser_ray.fusion import load_ensemble
from ser_ray.pipelines import cluster
from ser_ray.pipelines.members import gpu_pool
from ser_ray.pipelines.score import score

archive, ensemble, classical, out = sys.argv[1:]
cluster.ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)

def title(process):
    with suppress(psutil.Error):
        return "".join(process.cmdline()[:1])
    return ""

def actors():
    return {p.pid: p for p in psutil.Process().children(recursive=True) if "GpuActor" in title(p)}

def kill(process):
    while "predict" not in title(process):
        time.sleep(0.0005)
    process.kill()
    killed.append(process.pid)

def progress(done, total, counted):
    seen.update(actors())
    if not done:
        threading.Thread(target=kill, args=actors().values(), daemon=True).start()

loaded, fingerprint = load_ensemble(classical)
with gpu_pool(loaded, classical, fingerprint, 1) as none:
    assert none is None
killed, seen = [], set()
run = score(archive, ensemble, out, progress=progress)
_, left = psutil.wait_procs(actors().values(), timeout=30)
told = {"killed": killed, "seen": sorted(seen), "left": len(left), "stages": run["stage_seconds"]}
print(json.dumps(told))
"""


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """Every figure and text of a row by its place in it."""
    if not isinstance(value, dict | list):
        return {place: value}
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    parts = [flat(part, f"{place}/{key}") for key, part in inside]
    return {key: found for part in parts for key, found in part.items()}


@pytest.mark.cluster
def test_run_with_a_gpu_actor_that_is_killed_ends_with_the_rows_of_a_worker_without(
    mixed: str, deployment: Deployment, tmp_path: Path
) -> None:
    classical = str(Path(mixed) / "members" / "svm")
    command = [sys.executable, "-c", DRIVER, deployment.archive, mixed, classical, str(tmp_path / "scores")]
    driver = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    told = json.loads(driver.stdout.splitlines()[-1])
    assert len(told["killed"]) == 1
    assert set(told["seen"]) - set(told["killed"])  # Ray started another
    assert told["left"] == 0
    found = storage.read_parquet(f"{tmp_path}/scores/calls").to_pylist()
    scorer = ShardScorer(mixed, load_ensemble(mixed)[1], str(tmp_path), ScoreOptions())
    expected = scorer.score([{k: row[k] for k in ("call_id", "uri")} for row in found], watch := Stopwatch())
    assert sum(len(row["segments"]) for row in expected) > 50
    assert told["stages"].keys() == watch.seconds.keys() | {"table"}
    for one, other in zip(found, expected, strict=True):
        assert flat(one) == pytest.approx(flat(other), abs=1e-5)
