"""Convolutions over time on 2.5 s of MFCC: `cnn1d`, and with an LSTM behind it `cnn1d_lstm`, `cnn1d_bilstm`.

The three differ only in what stands between the last convolution and the linear layer: the mean of its
frames, or the last state of a recurrent layer that reads them. Frames in a row (`pooling=flatten`) learn a
corpus of a thousand utterances by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ser_ray.models.networks.mfcc_window import WINDOW, convolutional, window_of
from ser_ray.models.networks.network import Inputs, Shape
from ser_ray.models.networks.parts import (
    ConvBlock,
    ConvStack,
    Recurrent,
    SequenceHead,
    Window,
    columns_of,
    widths,
)

POOL = 2  # of each block


class Convolutional1d(nn.Module):
    """A window of frames, blocks of convolutions over time, and a head.

    Args:
        window: what it looks at.
        blocks: from the input's columns to their channels.
        head: reads these channels as columns.
    """

    def __init__(self, window: Window, blocks: ConvStack, head: SequenceHead) -> None:
        super().__init__()
        self.window, self.blocks, self.head = window, blocks, head

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, frames, columns] -> logits [batch, classes]."""
        values, lengths = self.window(*inputs[0])
        values, lengths = self.blocks(values.transpose(1, 2), lengths)
        logits: Tensor = self.head(values.transpose(1, 2), lengths)
        return logits


def _build(
    shapes: Sequence[Shape],
    classes: int,
    settings: Mapping[str, Any],
    recurrent: bool = False,
    bidirectional: bool = False,
) -> nn.Module:
    window, channels = window_of(settings), widths("channels", settings["channels"])
    inputs = (columns_of(shapes), *channels)
    kernel, dropout = settings["kernel"], settings["block_dropout"]
    blocks = [
        ConvBlock(a, b, kernel, pool=POOL, dropout=dropout) for a, b in zip(inputs, channels, strict=False)
    ]
    layer = Recurrent(channels[-1], settings["units"], "lstm", bidirectional) if recurrent else None
    frames = -(-window.frames // POOL ** len(blocks))
    head = SequenceHead(channels[-1], classes, settings["pooling"], layer, frames, settings["dropout"])
    return Convolutional1d(window, ConvStack(*blocks), head)


_DEFAULTS = {**WINDOW, "channels": "64-128-256", "kernel": 5, "block_dropout": 0.0, "dropout": 0.3}
_SPACE: Mapping[str, Mapping[str, Any]] = {
    "channels": {"type": "choice", "choices": ["32-64-128", "64-128-256", "128-256-512"]},
    "kernel": {"type": "choice", "choices": [3, 5, 7, 9]},
    "block_dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "dropout": {"type": "float", "low": 0.0, "high": 0.7},
    "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
}

NETWORKS = convolutional("cnn1d", "three convolutions over time", "mean", _build, _DEFAULTS, _SPACE)
