"""What a network is: a module from padded inputs to logits, and the description that builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ser_ray.models.model import Model

Array = npt.NDArray[np.float32]
Example = tuple[Array, ...]  # one utterance: an array for each input of the network
Shape = tuple[int | None, ...]  # of one input; None stands for the number of frames


class Padded(NamedTuple):
    """One input of several utterances, zeros after the end of each.

    Attributes:
        values: float32 [batch, frames, ...].
        lengths: valid frames of each, at least 1: int64 [batch].
    """

    values: Tensor
    lengths: Tensor


Inputs = tuple[Padded, ...]  # one for each feature of the network


def no_source(settings: Mapping[str, Any]) -> Model | None:
    """Of a network that starts from random weights."""
    return None


@dataclass(frozen=True)
class NetworkKind:
    """One network of the registry.

    Attributes:
        name: what `ser-ray train` calls it.
        summary: one line for the help text.
        features: specifications of its inputs, in order.
        defaults: hyperparameters of its architecture, and those of training that differ from the loop's.
        space: search space as plain data; see `models.family.Family`.
        build: (shapes of the inputs, number of classes, hyperparameters) -> a module whose `forward` takes
            `Inputs` and returns logits [batch, classes]. Padding never changes the logits in evaluation.
        least_frames: shorter inputs are filled up with zeros to so many frames.
        source: hyperparameters -> the saved model whose weights it starts from, and whose standardisation it
            keeps; None where there is none.
    """

    name: str
    summary: str
    features: tuple[str, ...]
    build: Callable[[Sequence[Shape], int, Mapping[str, Any]], nn.Module]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    least_frames: int = 1
    source: Callable[[Mapping[str, Any]], Model | None] = no_source


def pad(arrays: Sequence[Array], least_frames: int = 1) -> Padded:
    """Arrays [frames, ...] of several utterances as one input; vectors are one frame.

    Args:
        arrays: float32, equal in all but the first axis.
        least_frames: shorter ones count as so long, zeros included.
    """
    lengths = torch.tensor([max(len(array), least_frames) for array in arrays])
    values = torch.zeros(len(arrays), int(lengths.max()), *arrays[0].shape[1:])
    for row, array in zip(values.numpy(), arrays, strict=True):
        row[: len(array)] = array
    return Padded(values, lengths)


def valid(lengths: Tensor, frames: int) -> Tensor:
    """Which frames belong to the utterance: bool [batch, frames]."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def to_device(inputs: Inputs, device: torch.device) -> Inputs:
    """Inputs on a device."""
    return tuple(
        Padded(p.values.to(device, non_blocking=True), p.lengths.to(device, non_blocking=True))
        for p in inputs
    )
