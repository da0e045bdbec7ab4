"""From a sequence to logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ser_ray.models.networks.parts.convolution import MaskedBatchNorm
from ser_ray.models.networks.parts.pooling import Pooling
from ser_ray.models.networks.parts.recurrence import Recurrent
from ser_ray.models.networks.parts.settings import share


class VectorNorm(nn.Module):
    """Batch normalisation of vectors; of several workers, over the shares of all.

    Args:
        columns: of the vectors.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(columns)

    def forward(self, values: Tensor) -> Tensor:
        """[batch, columns] -> the same."""
        ones = torch.ones(len(values), dtype=torch.long, device=values.device)
        normed: Tensor = self.norm(values.unsqueeze(-1), ones)
        return normed.squeeze(-1)


def dense(inputs: int, hidden: Sequence[int], dropout: float, norm: bool = False) -> nn.Sequential:
    """Linear, ReLU and dropout for each width of `hidden`: [batch, inputs] -> [batch, hidden[-1]].

    With `norm`, batch normalisation stands before each ReLU.
    """
    layers: list[nn.Module] = []
    for width in hidden:
        normed = [VectorNorm(width)] if norm else []
        layers += [nn.Linear(inputs, width), *normed, nn.ReLU(), nn.Dropout(share("dropout", dropout))]
        inputs = width
    return nn.Sequential(*layers)


class SequenceHead(nn.Module):
    """A recurrent layer or none, a pooling, dropout, hidden layers or none, and one linear layer.

    Args:
        columns: of the input.
        classes: number of logits.
        pooling: one of `POOLINGS`; "last" with a recurrent layer is its last state, see `Recurrent`.
        recurrent: reads the input's columns; None for none.
        frames: of the input, where their number is fixed; "flatten" needs it.
        dropout: after the pooling and after each hidden layer.
        hidden: widths of hidden layers.
        norm: batch normalisation in each hidden layer.
    """

    def __init__(
        self,
        columns: int,
        classes: int,
        pooling: str,
        recurrent: Recurrent | None = None,
        frames: int = 0,
        dropout: float = 0.0,
        hidden: Sequence[int] = (),
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.pooling = Pooling(pooling, recurrent.columns if recurrent else columns, frames)
        self.dropout = nn.Dropout(share("dropout", dropout))
        self.hidden = dense(self.pooling.columns, hidden, dropout, norm)
        self.logits = nn.Linear(hidden[-1] if hidden else self.pooling.columns, classes)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """[batch, frames, columns] -> logits [batch, classes]."""
        logits: Tensor = self.logits(self.hidden(self.dropout(self._pooled(values, lengths))))
        return logits

    def _pooled(self, values: Tensor, lengths: Tensor) -> Tensor:
        last: Tensor
        if self.recurrent is not None:
            values, last = self.recurrent(values, lengths)
            if self.pooling.kind == "last":
                return last
        pooled: Tensor = self.pooling(values, lengths)
        return pooled
