"""A corpus larger than memory, streamed from the feature store to the workers that train on it.

A plan names the part of the store and the row in it of every value. Each worker lets Ray Data read its share
of the training rows and then of the held-out ones, epoch after epoch, in an order that the seed and the
epoch's number decide: a training that goes on after a break meets the batches that it would have met.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from ray.data import DataContext, Dataset
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
AHEAD = 64  # blocks of which a run of Ray Data consists, at least: starting one takes a second
Row = tuple[Example, int]  # inputs and class number


def plan_rows(store: str, chosen: Sequence[Feature], rows: pa.Table, y: np.ndarray) -> pa.Table:
    """Where the values of utterances lie: `number` of the utterance, `y`, and for each feature its part of
    the store and the row in it: `part0`, `row0`, and so on."""
    columns: dict[str, Any] = {"number": np.arange(len(y)), "y": y}
    for number, feature in enumerate(chosen):
        parts, part, row = FeatureStore(store).places(feature, rows)
        columns |= {f"part{number}": pa.array(parts).take(pa.array(part)), f"row{number}": row}
    return pa.table(columns)


def streamed(store: str, chosen: Sequence[Feature], *plans: pa.Table) -> Dataset:
    """Utterances of plans: `number`, `y`, and for each feature `value0` (flat) and `shape0`, and so on."""
    specs = [feature.spec for feature in chosen]
    blocks = [plan.slice(first, BLOCK) for plan in plans for first in range(0, len(plan), BLOCK)]
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


def corpus_moments(data: Dataset, first: int = 0) -> Moments:
    """Figures of all frames of a dataset, at least one utterance, read in constant memory; `first` as in
    `Moments.of`."""
    parts = data.map_batches(_moments, fn_args=(first,), batch_size=CHUNK, batch_format="pyarrow")
    total: Moments | None = None
    for part in parts.iter_rows():
        found = _unpacked(part)
        total = found if total is None else total + found
    assert total is not None
    return total


class EpochStream:
    """What one worker reads, epoch after epoch: its share of the training rows, then of the held-out ones.

    Args:
        store: the feature store.
        chosen: features.
        learned: plan of the training rows. What does not divide by the number of workers is left out, other
            rows in each epoch.
        held: plan of the held-out rows.
        seed: fixes the order of the training rows.

    Attributes:
        share: training rows of an epoch.
    """

    def __init__(
        self, store: str, chosen: Sequence[Feature], learned: pa.Table, held: pa.Table, seed: int
    ) -> None:
        rank, world = workers.rank(), workers.world()
        self.share = len(learned) // world
        mine = slice(rank * self.share, (rank + 1) * self.share)
        held = held.take(pa.array(np.array_split(np.arange(len(held)), world)[rank]))
        self._reader = _Reader(store, chosen, learned, mine, held, seed)
        self._arriving: Iterator[Row] = iter(())
        self._next = -1

    def train(self, epoch: int) -> Iterator[Row]:
        """The training rows of an epoch; all of what came before is to be taken first."""
        if epoch != self._next:
            self._arriving = self._reader.rows(epoch)
        self._next = epoch + 1
        return islice(self._arriving, self.share)

    def held_out(self) -> Iterator[Row]:
        """The held-out rows, after those of the epoch."""
        return islice(self._arriving, len(self._reader.held))


@dataclass(frozen=True)
class _Reader:
    """Reads epoch after epoch. It does not know the stream that holds what it reads: a cycle of the two would
    be left to the garbage collector, which may run in Ray Data's own thread, and this cannot end itself."""

    store: str
    chosen: Sequence[Feature]
    learned: pa.Table
    mine: slice  # of the training rows in an epoch's order
    held: pa.Table
    seed: int

    def rows(self, epoch: int) -> Iterator[Row]:
        """The training rows of an epoch, the held-out ones, those of the next epoch, and so on."""
        blocks = -(-(self.mine.stop - self.mine.start) // BLOCK) + -(-len(self.held) // BLOCK)
        while True:
            end = epoch + max(1, AHEAD // blocks)
            plans = [plan for number in range(epoch, end) for plan in (self._order(number), self.held)]
            data = streamed(self.store, self.chosen, *plans)
            data.context.execution_options.preserve_order = True
            for table in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2):
                yield from zip(examples_of(table), table["y"].to_pylist(), strict=True)
            epoch = end

    def _order(self, epoch: int) -> pa.Table:
        """This worker's training rows of an epoch, part by part of the first feature, the parts in an order
        of chance: to open a part costs more than to read a row of it."""
        rng = np.random.default_rng([self.seed, epoch])
        parts = self.learned["part0"].combine_chunks().dictionary_encode().indices.to_numpy()
        place = rng.permutation(parts.max() + 1)[parts]
        order = np.lexsort((rng.permutation(len(parts)), place))
        return self.learned.take(pa.array(order[self.mine]))


class StreamedRows:
    """What one worker reads, in batches that are mixed, and of like lengths, within a pool of them.

    Args:
        stream: what this worker reads.
        batch: utterances a step, over all workers.
        seed: fixes the order within a pool.

    Attributes:
        steps: batches of an epoch.
    """

    def __init__(self, stream: EpochStream, batch: int, seed: int) -> None:
        self.stream, self.seed = stream, seed
        share, self.each = stream.share, max(1, batch // workers.world())
        # utterances that are mixed, and sorted by length, at a time
        self.pools = [min(POOL * self.each, share - first) for first in range(0, share, POOL * self.each)]
        self.steps = sum(self._steps(pool) for pool in self.pools)

    def epoch(self, number: int) -> Iterator[list[Row]]:
        """The rows of each batch."""
        rng = np.random.default_rng([self.seed, number, workers.rank()])
        arriving = self.stream.train(number)
        for pool in self.pools:
            rows = list(islice(arriving, pool))
            if len(rows) < pool:
                raise RunFailed("the training data ended before its time. Start again: the store changed.")
            order = rng.permutation(pool)
            lengths = np.array([max(map(len, example)) for example, _ in rows])
            order = order[np.argsort(lengths[order], kind="stable")]
            batches = np.array_split(order, self._steps(pool))
            for k in rng.permutation(len(batches)):
                yield [rows[row] for row in batches[k]]

    def held_out(self) -> Iterator[list[Row]]:
        """This worker's share of the held-out rows, after an epoch."""
        arriving = self.stream.held_out()
        while rows := list(islice(arriving, EVALUATED)):
            yield rows

    def _steps(self, pool: int) -> int:
        return max(1, round(pool / self.each))


@dataclass
class StreamedBatches:
    """Training data of one worker, as `classification.LabelledBatches`.

    Attributes:
        stream: what this worker reads.
        batch: utterances a step, over all workers.
        class_counts: utterances of each class, over all workers [classes].
        scaling: of the inputs.
        seed: fixes the order within a pool of batches.
        least_frames: see `network.pad`.
    """

    stream: EpochStream
    batch: int
    class_counts: np.ndarray
    scaling: Scaling
    seed: int
    least_frames: int = 1

    def __post_init__(self) -> None:
        self._rows = StreamedRows(self.stream, self.batch, self.seed)
        self.steps = self._rows.steps

    def epoch(self, number: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and class numbers of each batch."""
        return map(self._gathered, self._rows.epoch(number))

    def held_out(self) -> Iterator[tuple[Inputs, Tensor]]:
        """This worker's share of the held-out rows, after an epoch."""
        return map(self._gathered, self._rows.held_out())

    def _gathered(self, rows: Sequence[Row]) -> tuple[Inputs, Tensor]:
        examples, y = zip(*rows, strict=True)
        return gather([self.scaling(example) for example in examples], self.least_frames), torch.tensor(y)


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


def _moments(batch: pa.Table, first: int) -> pa.Table:
    found = moments(examples_of(batch), first)
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
