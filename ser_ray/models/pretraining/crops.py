"""Utterances cropped to one length, and the frames that each of a crop's frames is to be told from.

Group normalisation runs over all frames of an utterance, so padding would change each of them: nothing is
padded here. All that is drawn of an utterance follows from the seed, the epoch and the utterance's number, so
it does not matter in which batch or on which worker it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ser_ray.features.feature import Array
from ser_ray.features.inference import count_frames
from ser_ray.features.wav2vec_network import ENCODER, HOP, NEGATIVES, OFFSET, RECEPTIVE_FIELD, STEPS
from ser_ray.models.networks.data import EVALUATED

SHORTEST = RECEPTIVE_FIELD + (OFFSET + STEPS - 1) * HOP  # samples: each step has a frame to predict
HELD = 0  # in place of the number of an epoch, from 1, where crops stay the same


class Crops(NamedTuple):
    """A batch.

    Attributes:
        waves: float32 [waves, samples].
        candidates: for each frame its own number, and those of NEGATIVES other frames of the same crop:
            int64 [waves, frames, 1 + NEGATIVES].
    """

    waves: Tensor
    candidates: Tensor

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return type(self)(*(part.to(device, non_blocking=True) for part in self))


class CropBatches:
    """Utterances in memory, as `loop.Batches`: each is heard once an epoch, a crop at a place of chance.

    Args:
        waves: float32 [samples] of each utterance, none shorter than a crop.
        numbers: by which its draws are told from those of others.
        samples: of a crop.
        batch: utterances a step, over all workers, at least.
        seed: fixes order, crops and negatives.
        rank: number of this worker.
        world: number of workers; each takes its share of every batch.
    """

    def __init__(
        self,
        waves: Sequence[Array],
        numbers: Sequence[int],
        samples: int,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.waves, self.numbers, self.samples, self.seed = waves, numbers, samples, seed
        self.rank, self.world = rank, world
        self.steps = max(1, len(waves) // batch)

    def epoch(self, number: int) -> Iterator[Crops]:
        """This worker's share of each batch."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.waves))
        for rows in np.array_split(order, self.steps):
            mine = rows[self.rank :: self.world]
            waves, numbers = [self.waves[row] for row in mine], [self.numbers[row] for row in mine]
            yield crop(waves, numbers, self.samples, self.seed, number + 1)


def held_crops(
    waves: Sequence[Array], numbers: Sequence[int], samples: int, seed: int, rank: int = 0, world: int = 1
) -> Callable[[], Iterator[Crops]]:
    """Utterances as the loop's held-out slice: this worker's share, the same crops in every epoch."""
    mine = range(rank, len(waves), world)

    def batches() -> Iterator[Crops]:
        for first in range(0, len(mine), EVALUATED):
            rows = mine[first : first + EVALUATED]
            yield crop([waves[row] for row in rows], [numbers[row] for row in rows], samples, seed, HELD)

    return batches


def crop(waves: Sequence[Array], numbers: Sequence[int], samples: int, seed: int, epoch: int) -> Crops:
    """A stretch of each utterance, and negatives for its frames.

    Args:
        waves: float32 [samples] each, none shorter than the crop.
        numbers: of the utterances.
        samples: of the crop, at least `SHORTEST`.
        seed: fixes, with epoch and number, what is drawn.
        epoch: from 1, or `HELD`.
    """
    cut = np.empty((len(waves), samples), np.float32)
    frames = count_frames(samples, ENCODER)
    candidates = np.empty((len(waves), frames, 1 + NEGATIVES), np.int64)
    for row, (wave, number) in enumerate(zip(waves, numbers, strict=True)):
        rng = np.random.default_rng([seed, epoch, number])
        start = rng.integers(len(wave) - samples + 1)
        cut[row] = wave[start : start + samples]
        candidates[row] = draw_candidates(frames, rng)
    return Crops(torch.from_numpy(cut), torch.from_numpy(candidates))


def draw_candidates(frames: int, rng: np.random.Generator) -> np.ndarray:
    """For each frame itself, and NEGATIVES others, with replacement [frames, 1 + NEGATIVES]."""
    own = np.arange(frames)[:, None]
    others = rng.integers(frames - 1, size=(frames, NEGATIVES))
    return np.hstack([own, others + (others >= own)])
