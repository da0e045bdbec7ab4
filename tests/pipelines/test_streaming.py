"""Features streamed from the store: the values that are in it, each once, divided among workers."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from ser_ray.corpora import read_manifest
from ser_ray.features import get
from ser_ray.features.store import FeatureStore
from ser_ray.models.networks import workers
from ser_ray.models.networks.scaling import Scaling, moments
from ser_ray.pipelines.extract import extract
from ser_ray.pipelines.streaming import (
    EpochStream,
    StreamedBatches,
    corpus_moments,
    examples_of,
    plan_rows,
    streamed,
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
    for table in streamed(store, FEATURES, plan).iter_batches(batch_format="pyarrow"):
        for number, y, example in zip(
            table["number"].to_pylist(), table["y"].to_pylist(), examples_of(table), strict=True
        ):
            assert number not in found
            assert y == number % 3
            found[number] = example
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
    by_frame = corpus_moments(streamed(store, FEATURES, plan), 7).scaling
    whole = moments(expected(store, rows), 7).scaling
    assert [mean.shape for mean in by_frame.means] == [(7, 5), (7, *FEATURES[1].shape)]
    for one, other in zip(by_frame.means + by_frame.deviations, whole.means + whole.deviations, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def batches_of(
    store: str, learned: pa.Table, held: pa.Table, scaling: Scaling | None = None
) -> StreamedBatches:
    stream = EpochStream(store, FEATURES, learned, held, seed=0)
    return StreamedBatches(stream, 8, np.array([20, 20, 20]), scaling or Scaling(), seed=3)


def test_an_epoch_has_every_utterance_once_and_each_epoch_its_own_order(store: str, plan: pa.Table) -> None:
    batches = batches_of(store, plan, plan.slice(0, 0))
    orders = []
    for epoch in (0, 1, 0):
        met = list(batches.epoch(epoch))
        assert len(met) == batches.steps == 8
        orders.append(np.concatenate([inputs[0].values[:, 0, 0].numpy() for inputs, _ in met]))
        assert sum(len(y) for _, y in met) == 60
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0].tolist())) == 60
    assert orders[0].tolist() != orders[1].tolist()
    assert orders[0].tolist() == orders[2].tolist()


def test_rows_are_read_in_an_order_of_chance_in_each_epoch(
    store: str, rows: pa.Table, plan: pa.Table
) -> None:
    stream = EpochStream(store, FEATURES, plan, plan.slice(0, 0), seed=0)
    orders = [[float(example[0][0, 0]) for example, _ in stream.train(epoch)] for epoch in (0, 1)]
    as_planned = [float(frames[0, 0]) for frames, _ in expected(store, rows)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(as_planned)
    assert orders[0] != orders[1]
    assert as_planned not in orders


def test_a_training_that_goes_on_meets_the_batches_that_it_would_have_met(store: str, plan: pa.Table) -> None:
    learned, held = plan.slice(0, 50), plan.slice(50)
    undisturbed = batches_of(store, learned, held)
    for epoch in (0, 1):
        assert sum(len(y) for _, y in undisturbed.epoch(epoch)) == 50
        assert sum(len(y) for _, y in undisturbed.held_out()) == 10
    again = batches_of(store, learned, held)
    for (one, y), (other, z) in zip(undisturbed.epoch(2), again.epoch(2), strict=True):
        assert y.tolist() == z.tolist()
        np.testing.assert_array_equal(one[0].values, other[0].values)


def test_workers_share_the_rows_of_an_epoch(
    store: str, rows: pa.Table, plan: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks of three: 50 rows learned, of which 48 in each epoch, and 10 held out, of which all."""
    learned, held = plan.slice(0, 50), plan.slice(50)
    monkeypatch.setattr(workers, "world", lambda: 3)
    met: list[float] = []
    heard: list[float] = []
    for rank in range(3):
        monkeypatch.setattr(workers, "rank", lambda rank=rank: rank)
        stream = EpochStream(store, FEATURES, learned, held, seed=0)
        met += [float(example[0][0, 0]) for example, _ in stream.train(4)]
        heard += [float(example[0][0, 0]) for example, _ in stream.held_out()]
    first = [float(frames[0, 0]) for frames, _ in expected(store, rows)]
    assert len(met) == len(set(met)) == 48
    assert set(met) < set(first[:50])
    assert sorted(heard) == sorted(first[50:])


def test_a_stream_that_is_dropped_in_mid_epoch_ends_at_once(store: str, plan: pa.Table) -> None:
    """Not when the garbage collector comes by, in whatever thread."""
    stream = EpochStream(store, FEATURES, plan, plan.slice(0, 0), seed=0)
    next(stream.train(0))
    dropped = weakref.ref(stream._arriving)
    gc.disable()
    try:
        del stream
        assert dropped() is None
    finally:
        gc.enable()


def test_the_held_out_slice_is_scaled_and_complete(store: str, rows: pa.Table, plan: pa.Table) -> None:
    scaling = moments(expected(store, rows)).scaling
    batches = batches_of(store, plan.slice(0, 8), plan, scaling)
    assert len(list(batches.epoch(0))) == 1
    held = list(batches.held_out())
    lengths = [n for inputs, _ in held for n in inputs[0].lengths.tolist()]
    assert lengths == [len(frames) for frames, _ in expected(store, rows)]
    assert np.concatenate([y for _, y in held]).tolist() == plan["y"].to_pylist()
    vectors = np.concatenate([inputs[1].values[:, 0].numpy() for inputs, _ in held])
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(vectors.std(axis=0), 1.0, atol=1e-3)
