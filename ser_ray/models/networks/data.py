"""Training data in memory: cut into batches of like lengths, in an order that seed and epoch decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ser_ray.models.networks.network import Example, Inputs, pad

EVALUATED = 64  # utterances a batch where nothing is learned
POOL = 16  # batches among which utterances are sorted by length, so that little is padded


class InMemory:
    """Examples and labels as `loop.Batches`.

    Args:
        examples: inputs of each utterance.
        y: class numbers [utterances].
        classes: number of classes.
        batch: utterances a step, over all workers.
        seed: fixes the order.
        sampling: draw classes alike, with replacement.
        least_frames: see `network.pad`.
        rank: number of this worker.
        world: number of workers; each takes its share of every batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        y: np.ndarray,
        classes: int,
        batch: int,
        seed: int,
        sampling: bool = False,
        least_frames: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.examples, self.y, self.seed, self.sampling = examples, y, seed, sampling
        self.least_frames, self.rank, self.world = least_frames, rank, world
        self.steps = max(1, round(len(y) / batch))
        self.class_counts = np.bincount(y, minlength=classes)
        self._lengths = np.array([max(map(len, example)) for example in examples])

    def epoch(self, number: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and class numbers of this worker's share of each batch."""
        rng = np.random.default_rng([self.seed, number])
        for rows in self._order(rng):
            mine = rows[self.rank :: self.world]
            yield (
                gather([self.examples[row] for row in mine], self.least_frames),
                torch.from_numpy(self.y[mine]),
            )

    def _order(self, rng: np.random.Generator) -> list[np.ndarray]:
        if self.sampling:
            weights = 1.0 / self.class_counts[self.y]
            order = rng.choice(len(self.y), len(self.y), p=weights / weights.sum())
        else:
            order = rng.permutation(len(self.y))
        pools = np.array_split(order, -(-self.steps // POOL))
        order = np.concatenate([pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools])
        batches = np.array_split(order, self.steps)
        return [batches[k] for k in rng.permutation(self.steps)]


def gather(examples: Sequence[Example], least_frames: int = 1) -> Inputs:
    """Examples padded into the inputs of one batch."""
    return tuple(pad(arrays, least_frames) for arrays in zip(*examples, strict=True))


def in_order(
    examples: Sequence[Example], y: np.ndarray, least_frames: int = 1, rank: int = 0, world: int = 1
) -> Callable[[], Iterator[tuple[Inputs, Tensor]]]:
    """Examples as the loop's held-out slice: this worker's share, in batches of like lengths."""
    mine = range(rank, len(examples), world)
    parts = by_length([examples[row] for row in mine], EVALUATED) if mine else []

    def batches() -> Iterator[tuple[Inputs, Tensor]]:
        for part in parts:
            rows = [mine[k] for k in part]
            yield gather([examples[row] for row in rows], least_frames), torch.from_numpy(y[rows])

    return batches


def by_length(examples: Sequence[Example], batch: int = EVALUATED) -> list[np.ndarray]:
    """Row numbers in batches of like lengths."""
    lengths = np.array([max(map(len, example)) for example in examples])
    order = np.argsort(lengths, kind="stable")
    return np.array_split(order, max(1, -(-len(order) // batch)))
