"""The workers that train one network together: who this one is, and sums over all of them.

Where PyTorch's process group is not there, this process is the only one.
"""

from __future__ import annotations

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.nn import functional  # type: ignore[attr-defined]


def rank() -> int:
    """Number of this worker, from 0."""
    return torch.distributed.get_rank() if _several() else 0


def world() -> int:
    """Number of workers."""
    return torch.distributed.get_world_size() if _several() else 1


def summed(values: Tensor) -> Tensor:
    """The sum over all workers of what each gives; gradients flow through it."""
    if not _several():
        return values
    if values.requires_grad:
        total: Tensor = functional.all_reduce(values)  # type: ignore[no-untyped-call]
        return total
    values = values.clone()
    torch.distributed.all_reduce(values)
    return values


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
