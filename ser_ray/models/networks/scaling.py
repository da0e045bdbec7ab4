"""Standardisation: each column of each input by its mean and deviation over the training frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ser_ray.models.networks.network import Example

SMALLEST = 1e-8  # a deviation below counts as none


@dataclass(frozen=True)
class Scaling:
    """Mean and deviation of each input's columns; nothing is done where there are none.

    Attributes:
        means: float32, one array of the shape of a frame for each input.
        deviations: the same.
    """

    means: tuple[np.ndarray, ...] = ()
    deviations: tuple[np.ndarray, ...] = ()

    def __call__(self, example: Example) -> Example:
        """An utterance's inputs, standardised."""
        if not self.means:
            return example
        scaled = zip(example, self.means, self.deviations, strict=True)
        return tuple((array - mean) / deviation for array, mean, deviation in scaled)


@dataclass(frozen=True)
class Moments:
    """What is known of the frames seen so far; parts of a corpus are added up (Chan et al. 1979).

    Attributes:
        frames: how many, for each input.
        means: float64, one array of the shape of a frame for each input.
        squares: sums of squared distances from the mean, likewise.
    """

    frames: tuple[int, ...]
    means: tuple[np.ndarray, ...]
    squares: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, example: Example) -> Moments:
        """Of a single utterance."""
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


def moments(examples: Iterable[Example]) -> Moments:
    """Of several utterances, at least one."""
    parts: Sequence[Moments] = [Moments.of(example) for example in examples]
    while len(parts) > 1:  # in pairs, so that no small number is added to a large one
        odd = parts[len(parts) // 2 * 2 :]
        parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)] + list(odd)
    return parts[0]
