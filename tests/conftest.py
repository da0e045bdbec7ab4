"""Shared by all tests: real corpora where they are, a small synthetic corpus, and one local Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ser_ray import storage
from ser_ray.corpora import read_manifest, write_manifest
from ser_ray.corpora.damage import DAMAGES
from ser_ray.corpora.simulate import SimulateOptions, simulate
from ser_ray.corpora.synthetic import make_corpus
from ser_ray.fusion import save_ensemble
from ser_ray.models import save_model
from ser_ray.pipelines import cluster
from tests.s3 import ENVIRONMENT, S3, serving

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_corpora() -> Path:
    """Folder with the real corpora `emodb` and `ravdess`."""
    folder = ROOT / os.environ.get("SER_RAY_CORPORA", "../shared/data")
    if not (folder / "emodb").is_dir():
        pytest.skip(f"no real corpora in {folder}; set SER_RAY_CORPORA")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Manifest of a synthetic corpus: 5 speakers x 3 emotions x 4 sentences, 16 kHz."""
    folder = tmp_path_factory.mktemp("corpus")
    table = make_corpus(str(folder), speakers=5, emotions=("anger", "neutral", "sadness"), per_emotion=4)
    write_manifest(table, str(folder / "manifest.parquet"))
    assert len(read_manifest(str(folder / "manifest.parquet"))) == 60
    return storage.join(str(folder), "manifest.parquet")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A real S3 server process, which the environment of this process and of the session's Ray names."""
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.endpoint}.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def local_ray(s3: S3) -> Iterator[None]:
    """One Ray for the whole session, with more logical CPUs than the machine has cores."""
    ray = cluster.ray
    ray.init(
        "local", num_cpus=4, include_dashboard=False, object_store_memory=300_000_000, log_to_driver=False
    )
    assert cluster.connect() == 4
    # Ray was imported after our settings; or under `uv run` each worker would build an environment first
    assert not ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    yield
    ray.shutdown()


CALLS = 40


@dataclass(frozen=True)
class Deployment:
    """What a nightly run needs: an archive and an ensemble."""

    archive: str
    ensemble: str
    store: str


@pytest.fixture(scope="session")
def deployment(corpus: str, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Two small telephone models fused, and calls of which each kind of damage befell one."""
    from ser_ray.pipelines.fuse import fuse, load_members
    from ser_ray.pipelines.train import train

    root = tmp_path_factory.mktemp("deployment")
    manifest = read_manifest(corpus)
    small = {"svm": {}, "random_forest": {"trees": 30}}
    for family, settings in small.items():
        model, _ = train(family, manifest, str(root / "store"), band="telephone", settings=settings)
        save_model(model, str(root / family))
    ensemble, _ = fuse(load_members([str(root / family) for family in small]))
    save_ensemble(ensemble, str(root / "ensemble"))
    simulate(manifest, str(root / "calls"), SimulateOptions(calls=CALLS, seconds=12.0, damaged=len(DAMAGES)))
    return Deployment(str(root / "calls"), str(root / "ensemble"), str(root / "store"))
