"""Parts of a network that training leaves as they are."""

from __future__ import annotations

from typing import Self

from torch import nn


class PartlyFrozen(nn.Module):
    """A network some parts of which training leaves as they are.

    They have no gradient, and are in evaluation always: batch normalisation keeps its statistics, dropout
    drops nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []

    def freeze(self, *parts: nn.Module) -> None:
        """From now on, for good."""
        self._frozen += parts
        for part in parts:
            part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self
