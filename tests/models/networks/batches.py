"""Padded batches with junk where nothing may look."""

from __future__ import annotations

import numpy as np
import torch

JUNK = 1000.0  # beyond each utterance, so that a part that looks there is found out


def frames_first(lengths: list[int], columns: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """[batch, frames, columns] with junk beyond each length, and three frames more than any needs."""
    values = torch.randn(
        len(lengths), max(lengths) + 3, columns, generator=torch.Generator().manual_seed(seed)
    )
    for row, length in zip(values, lengths, strict=True):
        row[length:] = JUNK
    return values, torch.tensor(lengths)


def frames_last(lengths: list[int], *axes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """[batch, *axes, frames], likewise."""
    values, count = frames_first(lengths, int(np.prod(axes)), seed)
    return values.transpose(1, 2).reshape(len(lengths), *axes, -1), count


def in_a_row(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """All valid frames of [batch, ..., frames] as one utterance [1, ..., frames]."""
    return torch.cat([v[..., :n] for v, n in zip(values, lengths, strict=True)], dim=-1)[None]
