"""From samples to frames of samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.models.networks.parts.masking import silenced_frames
from ser_ray.models.networks.parts.settings import positive


class Framing(nn.Module):
    """Overlapping stretches of the input, each in a row as one frame; zeros fill up the last one.

    Args:
        columns: of the input.
        window: steps of the input in a frame.
        hop: steps between the beginnings of two frames.

    Attributes:
        columns: of the output.
    """

    def __init__(self, columns: int, window: int, hop: int) -> None:
        super().__init__()
        self.window, self.hop = positive("window", window), positive("hop", hop)
        self.columns = columns * window

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, steps, columns] -> [batch, frames, self.columns], and the lengths in frames."""
        values = silenced_frames(values, lengths)
        beyond = torch.clamp(lengths - self.window, min=0)
        frames = 1 + (beyond + self.hop - 1) // self.hop
        needed = (int(frames.max()) - 1) * self.hop + self.window
        values = functional.pad(values, (0, 0, 0, max(0, needed - values.shape[1])))[:, :needed]
        return values.unfold(1, self.window, self.hop).transpose(2, 3).flatten(2), frames
