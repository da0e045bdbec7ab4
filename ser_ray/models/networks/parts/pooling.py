"""From all frames of an utterance to one vector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.errors import UsageError
from ser_ray.models.networks.parts.masking import silenced, silenced_frames
from ser_ray.models.networks.parts.settings import one_of


class Attention(nn.Module):
    """Mean weighted by additive attention (Bahdanau et al., 2015) with one learned query; none on padding.

    Args:
        columns: of the input.
        units: of the hidden layer that scores a frame.
    """

    def __init__(self, columns: int, units: int = 128) -> None:
        super().__init__()
        self.columns = columns
        self.hidden, self.score = nn.Linear(columns, units), nn.Linear(units, 1, bias=False)

    def weights(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Of each frame: [batch, frames], zero on padding, one in sum."""
        scores: Tensor = self.score(torch.tanh(self.hidden(values))).squeeze(-1).float()
        return torch.softmax(silenced(scores, lengths, float("-inf")), dim=1)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """[batch, frames, columns] -> [batch, columns]."""
        weights = self.weights(values, lengths).to(values.dtype)
        return torch.einsum("bf,bfc->bc", weights, silenced_frames(values, lengths))


def last_valid(values: Tensor, lengths: Tensor) -> Tensor:
    """The last frame within each length: [batch, frames, columns] -> [batch, columns]."""
    rows = torch.arange(len(values), device=values.device)
    return values[rows, lengths.to(values.device) - 1]


def masked_mean(values: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the valid frames: [batch, frames, columns] -> [batch, columns]."""
    return silenced_frames(values, lengths).sum(1) / lengths.to(values.device, values.dtype)[:, None]


def masked_max(values: Tensor, lengths: Tensor) -> Tensor:
    """Maximum over the valid frames: [batch, frames, columns] -> [batch, columns]."""
    return silenced(values.movedim(1, -1), lengths, torch.finfo(values.dtype).min).amax(-1)


def masked_mean_std(values: Tensor, lengths: Tensor, eps: float = 1e-5) -> Tensor:
    """Mean and deviation over the valid frames: [batch, frames, columns] -> [batch, 2 * columns].

    `eps` under the root keeps the gradient of a constant column finite.
    """
    mean = masked_mean(values, lengths)
    variance = masked_mean((values - mean[:, None]).square(), lengths)
    return torch.cat([mean, torch.sqrt(variance + eps)], dim=1)


POOLINGS: tuple[str, ...] = ("last", "mean", "max", "mean_std", "attention", "flatten")
_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "last": last_valid,
    "mean": masked_mean,
    "max": masked_max,
    "mean_std": masked_mean_std,
}


class Pooling(nn.Module):
    """One of `POOLINGS` by name.

    Args:
        kind: last frame, mean, maximum, mean beside deviation, attention, or all frames in a row.
        columns: of the input.
        frames: of the input where it is "flatten"; fewer are filled up with zeros.

    Attributes:
        columns: of the output.
    """

    def __init__(self, kind: str, columns: int, frames: int = 0) -> None:
        super().__init__()
        self.kind, self.frames = one_of("pooling", kind, POOLINGS), frames
        if kind == "flatten" and not frames:
            raise UsageError(
                "pooling='flatten' needs a fixed number of frames. Set frames, or pooling to another."
            )
        self.columns = columns * {"mean_std": 2, "flatten": frames}.get(kind, 1)
        self.attention = Attention(columns) if kind == "attention" else None

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """[batch, frames, columns] -> [batch, self.columns]."""
        if self.attention is not None:
            context: Tensor = self.attention(values, lengths)
            return context
        if self.kind == "flatten":
            values = silenced_frames(values, lengths)
            return functional.pad(values, (0, 0, 0, self.frames - values.shape[1])).flatten(1)
        return _FUNCTIONS[self.kind](values, lengths)
