"""From waves to frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ser_ray.features.feature import Array, Feature
from ser_ray.parameters import parameter

# The FFT and the matrix products round differently for different numbers of rows. Blocks of one size
# make a frame's values independent of its neighbours: a batch equals single calls to the last bit.
BLOCK = 256

Sample = TypeVar("Sample", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class FramedFeature(Feature):
    """Parameters of a feature that has one row for each frame.

    Frames lie around multiples of the hop, so features of one hop have their rows at the same times. A wave
    gives 1 + samples // hop of them, as in librosa; one shorter than a window is filled up to one window, so
    that a feature of a longer window may then have more rows, all but the first 1 + samples // hop beyond
    the wave.

    Attributes:
        window: Samples in a frame; 25 ms unless given.
        hop: Samples between frames; 10 ms unless given.
    """

    window: int = parameter(own=lambda f: round(0.025 * f.rate), low=16, high=65536, samples=True)
    hop: int = parameter(own=lambda f: round(0.010 * f.rate), low=8, high=65536, samples=True)


@dataclass(frozen=True)
class Frames:
    """The frames of several waves, one after the other.

    Attributes:
        views: one [frames, window] for each wave, into the wave's samples.
    """

    views: list[Array]

    @property
    def counts(self) -> list[int]:
        """Frames of each wave."""
        return [len(view) for view in self.views]

    def __len__(self) -> int:
        return sum(self.counts)

    def blocks(self, taper: Array, width: int) -> Iterator[Array]:
        """Frames times `taper`, zeros behind them: [BLOCK, width] again and again in the same memory.

        Zeros fill up the last block.
        """
        block = np.zeros((BLOCK, width), dtype=np.float32)
        used = 0
        for view in self.views:
            done = 0
            while done < len(view):
                part = view[done : done + BLOCK - used]
                np.multiply(part, taper, out=block[used : used + len(part), : len(taper)])
                used, done = used + len(part), done + len(part)
                if used == BLOCK:
                    yield block
                    used = 0
        if used:
            block[used:] = 0
            yield block


def centred_frames(
    wave: npt.NDArray[Sample],
    window: int,
    hop: int,
    *,
    before: int,
    fill: Literal["constant", "edge"] = "constant",
) -> npt.NDArray[Sample]:
    """Frames of one wave around multiples of the hop.

    Args:
        wave: [samples].
        window: Samples in a frame.
        hop: Samples between frames.
        before: Samples of a frame that precede its multiple of the hop.
        fill: What lies beyond the ends: zeros, or the first and the last sample.

    Returns:
        A view [frames, window] into a longer copy of the wave.
    """
    count = 1 + max(wave.size, window) // hop
    # numpy.pad takes longer than all the rest for the length of an utterance.
    padded = np.zeros(before + max(wave.size, window) + window, dtype=wave.dtype)
    padded[before : before + wave.size] = wave
    if fill == "edge":
        padded[:before], padded[before + wave.size :] = wave[0], wave[-1]
    return overlapping(padded, window, hop)[:count]


def overlapping(wave: npt.NDArray[Sample], window: int, hop: int) -> npt.NDArray[Sample]:
    """View [frames, window] of all windows that lie within the wave, one every `hop` samples."""
    return np.lib.stride_tricks.sliding_window_view(wave, window)[::hop]
