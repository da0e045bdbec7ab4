"""Mixup: utterances blended in pairs, and their labels with them, while a network trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ser_ray.parameters import Parameters, parameter


@dataclass(frozen=True, kw_only=True)
class Mixup(Parameters):
    """Convex combinations of examples and targets after Zhang et al. (2018).

    "mixup: Beyond Empirical Risk Minimization", ICLR. Each utterance meets another one of its batch, with
    a weight from Beta(alpha, alpha) for each pair.

    Attributes:
        alpha: Small values leave most pairs nearly unmixed, 1 draws the weight evenly.
    """

    kind: ClassVar[str] = "mixing"
    name: ClassVar[str] = "mixup"

    alpha: float = parameter(0.2, low=0.01, high=100.0)

    def __call__(
        self, batch: Tensor, targets: Tensor, lengths: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """A mixed batch.

        Args:
            batch: [utterances, ...], of any device; of sequences [utterances, frames, ...].
            targets: [utterances, classes], one-hot or probabilities.
            lengths: of sequences, valid frames of each [utterances]; what lies behind counts as zero. None
                where the whole of each example is valid.
            generator: on the CPU; draws pairs and weights, the same ones for the same state on any device.

        Returns:
            Batch and targets of the same shapes, and the lengths: of each pair the longer one's.
        """
        partners = torch.randperm(len(batch), generator=generator).to(batch.device)
        seed = int(
            torch.randint(2**63 - 1, (1,), generator=generator)
        )  # torch draws no Beta from a generator
        drawn = np.random.default_rng(seed).beta(self.alpha, self.alpha, len(batch))
        weights = torch.from_numpy(drawn).float().to(batch.device)
        if lengths is not None:
            frames = torch.arange(batch.shape[1], device=batch.device)
            valid = frames < lengths.to(batch.device)[:, None]
            batch = torch.where(_beside(valid, batch), batch, torch.zeros_like(batch))
            lengths = torch.maximum(lengths, lengths[partners.to(lengths.device)])
        return _blend(batch, partners, weights), _blend(targets, partners, weights), lengths


def _blend(values: Tensor, partners: Tensor, weights: Tensor) -> Tensor:
    """Each row of [rows, ...] with its own weight, and its partner with the rest."""
    own = _beside(weights, values).to(values.dtype)
    return own * values + (1 - own) * values[partners]


def _beside(values: Tensor, other: Tensor) -> Tensor:
    """`values` with axes of one added behind, so that it goes with `other`."""
    return values.reshape(*values.shape, *[1] * (other.ndim - values.ndim))
