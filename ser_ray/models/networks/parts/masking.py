"""What lies beyond an utterance's end, and how many frames are left after a step."""

from __future__ import annotations

from torch import Tensor

from ser_ray.models.networks.network import valid


def silenced(values: Tensor, lengths: Tensor, fill: float = 0.0) -> Tensor:
    """`values` [batch, ..., frames], with `fill` beyond each utterance's length."""
    frames = values.shape[-1]
    if int(lengths.min()) >= frames:
        return values
    return values.masked_fill(~within(lengths, values), fill)


def silenced_frames(values: Tensor, lengths: Tensor, fill: float = 0.0) -> Tensor:
    """`values` [batch, frames, ...], with `fill` beyond each utterance's length."""
    return silenced(values.movedim(1, -1), lengths, fill).movedim(-1, 1)


def within(lengths: Tensor, values: Tensor) -> Tensor:
    """Which of `values` [batch, ..., frames] are valid: bool [batch, 1, ..., frames], on its device."""
    mask = valid(lengths, values.shape[-1]).to(values.device)
    return mask.reshape(len(mask), *[1] * (values.ndim - 2), mask.shape[1])


def shortened(lengths: Tensor, step: int) -> Tensor:
    """Lengths after a pooling or a stride of `step` frames: whole steps, a part of one included."""
    return (lengths + step - 1) // step
