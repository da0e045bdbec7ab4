"""Features streamed from the store: the values that are in it, each once, divided among workers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from ser_ray.corpora import read_manifest
from ser_ray.features import get
from ser_ray.features.store import FeatureStore
from ser_ray.models.networks.scaling import Scaling, moments
from ser_ray.pipelines.extract import extract
from ser_ray.pipelines.streaming import (
    StreamedBatches,
    corpus_moments,
    examples_of,
    plan_rows,
    streamed,
    streamed_held_out,
)

pytestmark = pytest.mark.usefixtures("local_ray")

FEATURES = (get("mfcc(n=5)"), get("mfcc_stats(n=6)"))


@pytest.fixture(scope="module")
def rows(corpus: str) -> pa.Table:
    return read_manifest(corpus)


@pytest.fixture(scope="module")
def store(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two features whose parts hold other utterances: each was extracted in calls of its own."""
    place = str(tmp_path_factory.mktemp("streaming") / "store")
    for feature, cuts in zip(FEATURES, ((0, 25, 60), (0, 40, 60)), strict=True):
        for first, end in pairwise(cuts):
            extract(rows.slice(first, end - first), place, [feature.spec])
    return place


@pytest.fixture(scope="module")
def plan(store: str, rows: pa.Table) -> pa.Table:
    return plan_rows(store, FEATURES, rows, np.arange(60) % 3)


def expected(store: str, rows: pa.Table) -> list[tuple[np.ndarray, ...]]:
    frames, vectors = (FeatureStore(store).load(feature, rows)[1] for feature in FEATURES)
    return [(frame, vector[None]) for frame, vector in zip(frames, vectors, strict=True)]


def test_a_stream_gives_every_value_of_the_store_once(store: str, rows: pa.Table, plan: pa.Table) -> None:
    assert len(set(plan["part0"].to_pylist())) == len(set(plan["part1"].to_pylist())) == 2
    found = {}
    for table in streamed(store, FEATURES, plan, seed=1).iter_batches(batch_format="pyarrow"):
        for number, y, example in zip(
            table["number"].to_pylist(), table["y"].to_pylist(), examples_of(table), strict=True
        ):
            assert number not in found
            assert y == number % 3
            found[number] = example
    assert list(found) != sorted(found)
    for number, example in enumerate(expected(store, rows)):
        for one, other in zip(found[number], example, strict=True):
            np.testing.assert_array_equal(one, other)


def test_figures_of_a_streamed_corpus_are_those_of_all_its_frames(
    store: str, rows: pa.Table, plan: pa.Table
) -> None:
    found = corpus_moments(streamed(store, FEATURES, plan)).scaling
    frames = np.concatenate([frames for frames, _ in expected(store, rows)]).astype(np.float64)
    np.testing.assert_allclose(found.means[0], frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.deviations[0], frames.std(axis=0), rtol=1e-5)
    whole = moments(expected(store, rows)).scaling
    np.testing.assert_allclose(found.deviations[1], whole.deviations[1], rtol=1e-5)


def test_an_epoch_has_every_utterance_once_and_each_epoch_its_own_order(store: str, plan: pa.Table) -> None:
    data = streamed(store, FEATURES, plan, seed=0).iterator()
    batches = StreamedBatches(data, 60, 8, np.array([20, 20, 20]), Scaling(), seed=3)
    orders = []
    for epoch in (0, 1, 0):
        met = [(inputs, y) for inputs, y in batches.epoch(epoch)]
        assert len(met) == batches.steps == 8
        orders.append(np.concatenate([inputs[0].values[:, 0, 0].numpy() for inputs, _ in met]))
        assert sum(len(y) for _, y in met) == 60
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0].tolist())) == 60
    assert orders[0].tolist() != orders[1].tolist()
    assert orders[0].tolist() == orders[2].tolist()


def test_the_held_out_slice_is_scaled_and_complete(store: str, rows: pa.Table, plan: pa.Table) -> None:
    scaling = moments(expected(store, rows)).scaling
    data = streamed(store, FEATURES, plan).iterator()
    lengths = [n for inputs, y in streamed_held_out(data, scaling, 1) for n in inputs[0].lengths.tolist()]
    assert sorted(lengths) == sorted(len(frames) for frames, _ in expected(store, rows))
    vectors = np.concatenate(
        [inputs[1].values[:, 0].numpy() for inputs, _ in streamed_held_out(data, scaling, 1)]
    )
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(vectors.std(axis=0), 1.0, atol=1e-3)
