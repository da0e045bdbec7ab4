"""Standardisation: each column of each input by its mean and deviation over the training frames.

Or over the training utterances, for each of the first frames by itself: pictures are standardised so, cell by
cell, and what stands in the same place of every utterance, a silence or a sentence's melody, is taken out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ser_ray.errors import UsageError
from ser_ray.models.networks.network import Example

SMALLEST = 1e-8  # a deviation below counts as none


@dataclass(frozen=True)
class Scaling:
    """Mean and deviation of each input's columns; nothing is done where there are none.

    Attributes:
        means: float32, one array for each input: of the shape of a frame, or of so many frames; those
            after the last are standardised as the last.
        deviations: the same.
    """

    means: tuple[np.ndarray, ...] = ()
    deviations: tuple[np.ndarray, ...] = ()

    def __call__(self, example: Example) -> Example:
        """An utterance's inputs, standardised."""
        if not self.means:
            return example
        scaled = zip(example, self.means, self.deviations, strict=True)
        return tuple(_standardised(array, mean, deviation) for array, mean, deviation in scaled)


@dataclass(frozen=True)
class Moments:
    """What is known of the frames seen so far; parts of a corpus are added up (Chan et al. 1979).

    Attributes:
        frames: how many, for each input; utterances where each of the first frames stands by itself.
        means: float64, one array for each input, as in `Scaling`.
        squares: sums of squared distances from the mean, likewise.
    """

    frames: tuple[int, ...]
    means: tuple[np.ndarray, ...]
    squares: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, example: Example, first: int = 0) -> Moments:
        """Of a single utterance; of each of its `first` frames where that is not 0, the last of them again
        and again where it has fewer.

        Raises:
            UsageError: `first` is negative.
        """
        if first < 0:
            raise UsageError(f"standardise_frames={first} is too small. Set it to 0 or more.")
        if first:
            example = tuple(a[np.minimum(np.arange(first), len(a) - 1)][None] for a in example)
        means = tuple(array.mean(axis=0, dtype=np.float64) for array in example)
        squares = tuple(np.square(a - mean).sum(axis=0) for a, mean in zip(example, means, strict=True))
        return cls(tuple(len(array) for array in example), means, squares)

    def __add__(self, other: Moments) -> Moments:
        frames = tuple(a + b for a, b in zip(self.frames, other.frames, strict=True))
        shares = [b / n for b, n in zip(other.frames, frames, strict=True)]
        steps = [b - a for a, b in zip(self.means, other.means, strict=True)]
        return Moments(
            frames,
            tuple(a + step * share for a, step, share in zip(self.means, steps, shares, strict=True)),
            tuple(
                a + b + np.square(step) * n * share
                for a, b, step, n, share in zip(
                    self.squares, other.squares, steps, self.frames, shares, strict=True
                )
            ),
        )

    @property
    def scaling(self) -> Scaling:
        """The standardisation by these figures; a column that never changes is only centred."""
        spreads = [np.sqrt(q / n) for q, n in zip(self.squares, self.frames, strict=True)]
        deviations = [np.where(spread > SMALLEST, spread, 1.0) for spread in spreads]
        return Scaling(
            tuple(mean.astype(np.float32) for mean in self.means),
            tuple(deviation.astype(np.float32) for deviation in deviations),
        )


def moments(examples: Iterable[Example], first: int = 0) -> Moments:
    """Of several utterances, at least one; `first` as in `Moments.of`."""
    parts: list[tuple[int, Moments]] = []  # of 2^n utterances each, so that like is added to like
    for example in examples:
        level, part = 0, Moments.of(example, first)
        while parts and parts[-1][0] == level:
            level, part = level + 1, parts.pop()[1] + part
        parts.append((level, part))
    total = parts.pop()[1]
    while parts:
        total = parts.pop()[1] + total
    return total


def _standardised(array: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    if mean.ndim == array.ndim:
        places = np.minimum(np.arange(len(array)), len(mean) - 1)
        mean, deviation = mean[places], deviation[places]
    return np.asarray((array - mean) / deviation)
