"""A corpus larger than memory, streamed from the feature store to the workers that train on it.

A plan names the part of the store and the row in it of every value; Ray Data reads the parts, divides the
training rows among the workers, and gives every worker all of the held-out rows, of which each takes its
share, so that none is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train
import torch
from ray.data import DataContext, DataIterator, Dataset
from torch import Tensor

from ser_ray import features
from ser_ray.errors import RunFailed
from ser_ray.features import Feature
from ser_ray.features.store import FeatureStore
from ser_ray.models.networks import workers
from ser_ray.models.networks.data import EVALUATED, POOL, gather
from ser_ray.models.networks.network import Example, Inputs
from ser_ray.models.networks.scaling import Moments, Scaling, moments

CHUNK = 64  # utterances read together: about a part of the store
BLOCK = 256  # utterances of a block


def plan_rows(store: str, chosen: Sequence[Feature], rows: pa.Table, y: np.ndarray) -> pa.Table:
    """Where the values of utterances lie: `number` of the utterance, `y`, and for each feature its part of
    the store and the row in it: `part0`, `row0`, and so on."""
    columns: dict[str, Any] = {"number": np.arange(len(y)), "y": y}
    for number, feature in enumerate(chosen):
        parts, part, row = FeatureStore(store).places(feature, rows)
        columns |= {f"part{number}": pa.array(parts).take(pa.array(part)), f"row{number}": row}
    return pa.table(columns)


def streamed(store: str, chosen: Sequence[Feature], plan: pa.Table, seed: int | None = None) -> Dataset:
    """The utterances of a plan: `number`, `y`, and for each feature `value0` (flat) and `shape0`, and so on.

    Args:
        store: the feature store.
        chosen: features.
        plan: from `plan_rows`.
        seed: chunks of a part come in an order that it fixes; None: as they are.
    """
    if seed is not None:
        plan = plan.take(pa.array(_shuffled(plan, seed)))
    specs = [feature.spec for feature in chosen]
    blocks = [plan.slice(first, BLOCK) for first in range(0, len(plan), BLOCK)]
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray.data.from_arrow(blocks).map_batches(
        _read, fn_args=(store, specs), batch_size=CHUNK, batch_format="pyarrow", zero_copy_batch=True
    )


def examples_of(table: pa.Table) -> list[Example]:
    """The utterances of a table that `streamed` gives."""
    inputs = []
    for number in range(sum(name.startswith("value") for name in table.column_names)):
        values, shapes = table[f"value{number}"], table[f"shape{number}"].to_pylist()
        arrays = [flat.values.to_numpy().reshape(shape) for flat, shape in zip(values, shapes, strict=True)]
        inputs.append([array[None] if array.ndim == 1 else array for array in arrays])
    return list(zip(*inputs, strict=True))


def corpus_moments(data: Dataset) -> Moments:
    """Figures of all frames of a dataset, at least one utterance, read in constant memory."""
    parts = data.map_batches(_moments, batch_size=CHUNK, batch_format="pyarrow")
    total: Moments | None = None
    for part in parts.iter_rows():
        found = _unpacked(part)
        total = found if total is None else total + found
    assert total is not None
    return total


@dataclass
class StreamedBatches:
    """Training data of one worker, as `loop.Batches`.

    Attributes:
        data: this worker's share.
        rows: utterances of all workers.
        batch: utterances a step, over all workers.
        class_counts: utterances of each class, over all workers [classes].
        scaling: of the inputs.
        seed: fixes the order within a pool of batches.
        least_frames: see `network.pad`.
    """

    data: DataIterator
    rows: int
    batch: int
    class_counts: np.ndarray
    scaling: Scaling
    seed: int
    least_frames: int = 1

    def __post_init__(self) -> None:
        share, self.each = self.rows // workers.world(), max(1, self.batch // workers.world())
        self.pools = [
            min(POOL * self.each, share - first) for first in range(0, share, POOL * self.each)
        ]  # utterances that are mixed, and sorted by length, at a time
        self.steps = sum(self._steps(pool) for pool in self.pools)

    def epoch(self, number: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and class numbers of each batch."""
        rng = np.random.default_rng([self.seed, number, workers.rank()])
        arriving = _rows(self.data)
        for pool in self.pools:
            examples, y = [], []
            for example, label in arriving:
                examples.append(self.scaling(example))
                y.append(label)
                if len(y) == pool:
                    break
            if len(y) < pool:
                raise RunFailed("the training data ended before its time. Start again: the store changed.")
            order = rng.permutation(pool)
            lengths = np.array([max(map(len, example)) for example in examples])
            order = order[np.argsort(lengths[order], kind="stable")]
            batches = np.array_split(order, self._steps(pool))
            for k in rng.permutation(len(batches)):
                rows = batches[k]
                yield (
                    gather([examples[row] for row in rows], self.least_frames),
                    torch.tensor([y[row] for row in rows]),
                )

    def _steps(self, pool: int) -> int:
        return max(1, round(pool / self.each))


def streamed_held_out(
    data: DataIterator, scaling: Scaling, least_frames: int
) -> Iterator[tuple[Inputs, Tensor]]:
    """This worker's share of the held-out rows, each worker reading all of them."""
    tables = data.iter_batches(batch_size=EVALUATED, batch_format="pyarrow", prefetch_batches=1)
    for number, table in enumerate(tables):
        if number % workers.world() == workers.rank():
            examples = [scaling(example) for example in examples_of(table)]
            yield gather(examples, least_frames), torch.tensor(table["y"].to_numpy())


def _rows(data: DataIterator) -> Iterator[tuple[Example, int]]:
    for table in data.iter_batches(batch_size=CHUNK, batch_format="pyarrow", prefetch_batches=2):
        yield from zip(examples_of(table), table["y"].to_pylist(), strict=True)


def _shuffled(plan: pa.Table, seed: int) -> np.ndarray:
    """Row numbers of a plan, part by part of the first feature, the parts in an order of chance."""
    rng = np.random.default_rng(seed)
    parts = plan["part0"].combine_chunks().dictionary_encode().indices.to_numpy()
    place = rng.permutation(parts.max() + 1)[parts]
    return np.lexsort((rng.permutation(len(plan)), place))


def _read(batch: pa.Table, store: str, specs: list[str]) -> pa.Table:
    """The values that a plan names, each part of the store opened once."""
    columns: dict[str, Any] = {"number": batch["number"], "y": batch["y"]}
    for number, spec in enumerate(specs):
        feature, parts = features.get(spec), np.array(batch[f"part{number}"].to_pylist())
        rows, values = batch[f"row{number}"].to_numpy(), [np.zeros(0, np.float32)] * len(batch)
        for part in dict.fromkeys(parts.tolist()):
            here = np.flatnonzero(parts == part)
            for place, value in zip(here, FeatureStore(store).read(feature, part, rows[here]), strict=True):
                values[place] = value
        flat = [value.ravel() for value in values]
        columns[f"value{number}"] = pa.array(flat, pa.large_list(pa.float32()))
        shapes = [list(value.shape) for value in values]
        columns[f"shape{number}"] = pa.array(shapes, pa.list_(pa.int32()))
    return pa.table(columns)


def _moments(batch: pa.Table) -> pa.Table:
    found = moments(examples_of(batch))
    columns: dict[str, Any] = {"frames": [list(found.frames)]}
    for number, (mean, squares) in enumerate(zip(found.means, found.squares, strict=True)):
        columns |= {f"mean{number}": [mean.ravel()], f"squares{number}": [squares.ravel()]}
        columns[f"shape{number}"] = [list(mean.shape)]
    return pa.table(columns)


def _unpacked(row: dict[str, Any]) -> Moments:
    inputs = range(len(row["frames"]))
    shapes = [tuple(row[f"shape{k}"]) for k in inputs]
    return Moments(
        tuple(int(frames) for frames in row["frames"]),
        tuple(np.asarray(row[f"mean{k}"], np.float64).reshape(shapes[k]) for k in inputs),
        tuple(np.asarray(row[f"squares{k}"], np.float64).reshape(shapes[k]) for k in inputs),
    )
