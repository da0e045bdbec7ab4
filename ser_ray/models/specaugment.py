"""SpecAugment: stretches of time and frequency hidden from a network while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ser_ray.parameters import Parameters, parameter


@dataclass(frozen=True, kw_only=True)
class SpecAugment(Parameters):
    """Time and frequency masking after Park et al. (2019), without the time warp.

    "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Interspeech. The
    width of a mask is drawn evenly from 0 to the largest, then its place. What is hidden takes the mean of
    the utterance's valid part, which is the paper's zero where features are normalised.

    Attributes:
        frequency_masks: For each utterance.
        frequency_width: Largest width in bands.
        time_masks: For each utterance.
        time_width: Largest width in frames.
        time_share: Largest width as a share of the utterance's own frames.
    """

    kind: ClassVar[str] = "masking"
    name: ClassVar[str] = "specaugment"

    frequency_masks: int = parameter(2, low=0, high=100)
    frequency_width: int = parameter(10, low=0, high=10_000)
    time_masks: int = parameter(2, low=0, high=100)
    time_width: int = parameter(50, low=0, high=100_000)
    time_share: float = parameter(0.2, low=0.0, high=1.0)

    def __call__(self, batch: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """A batch with parts of it hidden; the padding stays as it is.

        Args:
            batch: [utterances, frames, bands], of any device.
            lengths: [utterances], valid frames of each.
            generator: on the CPU; draws the masks, the same ones for the same state on any device.

        Returns:
            A new tensor [utterances, frames, bands].
        """
        utterances, frames, bands = batch.shape
        own = lengths.cpu()
        longest = torch.clamp((own * self.time_share).floor(), max=self.time_width)
        in_time = _masks(self.time_masks, longest, own, frames, generator)
        every = torch.full((utterances,), bands)
        widest = torch.clamp(every, max=self.frequency_width)
        in_frequency = _masks(self.frequency_masks, widest, every, bands, generator)
        valid = torch.arange(frames) < own[:, None]
        hidden = (in_time[:, :, None] | in_frequency[:, None, :]) & valid[:, :, None]
        heard = valid[:, :, None].to(batch.device)
        total = torch.where(heard, batch, torch.zeros_like(batch)).sum(dim=(1, 2))
        means = total / (own.clamp(min=1) * bands).to(batch.device)
        return torch.where(hidden.to(batch.device), means[:, None, None].to(batch.dtype), batch)


def _masks(count: int, widest: Tensor, room: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Which places [utterances, size] lie under one of `count` masks within the first `room` of them."""
    draws = torch.rand((2, len(room), count), generator=generator, dtype=torch.float64)
    widths = (draws[0] * (widest[:, None] + 1)).floor()
    starts = (draws[1] * (room[:, None] - widths + 1)).floor()
    places = torch.arange(size)
    under = (places >= starts[..., None]) & (places < (starts + widths)[..., None])
    return under.any(dim=1)
