"""The stretch of an utterance that a network looks at, and how it steps through it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.errors import UsageError
from ser_ray.models.networks.parts.masking import shortened, silenced_frames
from ser_ray.models.networks.parts.settings import positive


class Window(nn.Module):
    """The stretch of each utterance that a network looks at.

    An utterance that ends before the window does is taken from earlier on, as far back as its beginning;
    one shorter than the window is taken whole.

    Args:
        start: first frame of the window.
        frames: length of the window; 0 for the whole utterance.
    """

    def __init__(self, start: int, frames: int) -> None:
        super().__init__()
        if start < 0 or frames < 0:
            raise UsageError(f"start={start}, frames={frames} is no window. Set both to 0 or more.")
        self.start, self.frames = start, frames

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, frames, ...] -> [batch, at most `frames`, ...], and the lengths, on the CPU."""
        lengths = lengths.cpu()
        if not self.frames:
            return silenced_frames(values[:, : int(lengths.max())], lengths), lengths
        first = torch.clamp(lengths - self.frames, min=0, max=self.start)
        inside = torch.clamp(lengths - first, max=self.frames)
        places = first[:, None] + torch.arange(int(inside.max()))
        places = torch.minimum(places, lengths[:, None] - 1).to(values.device)
        rows = torch.arange(len(values), device=values.device)[:, None]
        return silenced_frames(values[rows, places], inside), inside


class FrameStack(nn.Module):
    """Several frames in a row as one step, the last step filled up with zeros.

    Args:
        count: frames of a step.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = positive("frame_stack", count)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, frames, columns] -> [batch, steps, count * columns], and the lengths in steps."""
        values = functional.pad(silenced_frames(values, lengths), (0, 0, 0, -values.shape[1] % self.count))
        steps = values.reshape(len(values), -1, self.count * values.shape[2])
        return steps, shortened(lengths, self.count)
