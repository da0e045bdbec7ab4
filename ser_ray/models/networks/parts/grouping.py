"""Networks whose own parts know nothing of padding, run so that none reaches them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ser_ray.features.inference import groups


def in_groups(
    network: Callable[[Tensor, Tensor], Tensor],
    values: Tensor,
    lengths: Tensor,
    room: int,
    padded: bool = False,
) -> Tensor:
    """What a network makes of a batch, a few utterances of equal length at a time.

    Args:
        network: ([utterances, frames, ...], lengths) -> [utterances, ...], one row alone as beside others.
        values: [batch, frames, ...], of any content beyond the lengths.
        lengths: int64 [batch].
        room: frames of a group, padding included; one utterance may have more.
        padded: utterances of different lengths may share a group, because the network minds the lengths.

    Returns:
        [batch, ...], in the order of `values`.
    """
    order: list[int] = []
    results: list[Tensor] = []
    for rows in groups(lengths.tolist(), room, padded):
        own = lengths[rows]
        results.append(network(values[rows, : int(own.max())], own))
        order += rows
    return torch.cat(results)[torch.argsort(torch.tensor(order)).to(results[0].device)]
