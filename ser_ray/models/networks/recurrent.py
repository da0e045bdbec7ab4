"""Recurrent networks on frames: `lstm` and `bilstm` on 2.5 s of MFCC, `simple_rnn` on up to 5 s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from ser_ray.models.networks.mfcc_window import FEATURES, WINDOW, window_of
from ser_ray.models.networks.network import Inputs, NetworkKind, Shape
from ser_ray.models.networks.parts import FrameStack, Recurrent, SequenceHead, Window, columns_of


class RecurrentNetwork(nn.Module):
    """A window of frames, read by a recurrent layer one step after the other.

    Args:
        window: what it looks at.
        stack: makes steps of frames.
        head: the recurrent layer and what follows it.
    """

    def __init__(self, window: Window, stack: FrameStack, head: SequenceHead) -> None:
        super().__init__()
        self.window, self.stack, self.head = window, stack, head

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, frames, columns] -> logits [batch, classes]."""
        logits: Tensor = self.head(*self.stack(*self.window(*inputs[0])))
        return logits


def _build(
    shapes: Sequence[Shape],
    classes: int,
    settings: Mapping[str, Any],
    cell: str | None = None,
    bidirectional: bool = False,
) -> nn.Module:
    """With the settings `cell` and `frame_stack` where the network has them."""
    window, stack = window_of(settings), FrameStack(settings.get("frame_stack", 1))
    columns, dropout = columns_of(shapes) * stack.count, settings["dropout"]
    cell = cell or settings["cell"]
    layer = Recurrent(columns, settings["units"], cell, bidirectional, settings["layers"], dropout)
    steps = -(-window.frames // stack.count)
    head = SequenceHead(columns, classes, settings["pooling"], layer, steps, dropout)
    return RecurrentNetwork(window, stack, head)


_DEFAULTS = {"units": 128, "layers": 1, "pooling": "last", "dropout": 0.3}
_SPACE: Mapping[str, Mapping[str, Any]] = {
    "units": {"type": "choice", "choices": [64, 128, 256]},
    "layers": {"type": "int", "low": 1, "high": 3},
    "pooling": {"type": "choice", "choices": ["last", "mean", "mean_std", "attention"]},
    "dropout": {"type": "float", "low": 0.0, "high": 0.7},
    "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
}

NETWORKS: tuple[NetworkKind, ...] = (
    NetworkKind(
        name="lstm",
        summary="LSTM on 2.5 s of MFCC",
        features=FEATURES,
        defaults={**WINDOW, **_DEFAULTS},
        space=_SPACE,
        build=partial(_build, cell="lstm"),
    ),
    NetworkKind(
        name="bilstm",
        summary="bidirectional LSTM on 2.5 s of MFCC",
        features=FEATURES,
        defaults={**WINDOW, **_DEFAULTS},
        space=_SPACE,
        build=partial(_build, cell="lstm", bidirectional=True),
    ),
    NetworkKind(
        name="simple_rnn",
        summary="plain RNN on up to 5 s of MFCC, four frames a step",
        features=("mfcc(cmvn=true)",),
        defaults={"start": 0, "frames": 500, "frame_stack": 4, "cell": "rnn", **_DEFAULTS, "clip": 1.0},
        space={**_SPACE, "frame_stack": {"type": "choice", "choices": [1, 2, 4, 8]}},
        build=_build,
    ),
)
