"""Convolutions over coefficients and time on 2.5 s of MFCC: `cnn2d`, `cnn2d_lstm`, `cnn2d_bilstm`.

The three differ only in what stands between the last convolution and the dense layer: all of its frames in
a row, or the last state of a recurrent layer that reads them, channels and coefficients side by side. The
dense layer is batch-normalised like the convolutions.
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

POOL = 2  # of each block, in both directions


class Convolutional2d(nn.Module):
    """A window of frames as an image of one channel, blocks of convolutions, and a head.

    Args:
        window: what it looks at.
        blocks: from one channel to theirs.
        head: reads channels and what is left of the columns side by side.
    """

    def __init__(self, window: Window, blocks: ConvStack, head: SequenceHead) -> None:
        super().__init__()
        self.window, self.blocks, self.head = window, blocks, head

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, frames, columns] -> logits [batch, classes]."""
        values, lengths = self.window(*inputs[0])
        values, lengths = self.blocks(values.transpose(1, 2).unsqueeze(1), lengths)
        logits: Tensor = self.head(values.flatten(1, 2).transpose(1, 2), lengths)
        return logits


def _build(
    shapes: Sequence[Shape],
    classes: int,
    settings: Mapping[str, Any],
    recurrent: bool = False,
    bidirectional: bool = False,
) -> nn.Module:
    window, channels = window_of(settings), widths("channels", settings["channels"])
    kernel = (settings["kernel_columns"], settings["kernel_frames"])
    dropout = settings["block_dropout"]
    blocks = [
        ConvBlock(a, b, kernel, pool=POOL, dropout=dropout)
        for a, b in zip((1, *channels), channels, strict=False)
    ]
    shrink = POOL ** len(blocks)
    columns = channels[-1] * -(-columns_of(shapes) // shrink)
    layer = Recurrent(columns, settings["units"], "lstm", bidirectional) if recurrent else None
    head = SequenceHead(
        columns,
        classes,
        settings["pooling"],
        layer,
        frames=-(-window.frames // shrink),
        dropout=settings["dropout"],
        hidden=widths("hidden", settings["hidden"]),
        norm=True,
    )
    return Convolutional2d(window, ConvStack(*blocks), head)


_DEFAULTS = {
    **WINDOW,
    "channels": "32-32-32-32",
    "kernel_columns": 4,
    "kernel_frames": 10,
    "block_dropout": 0.2,
    "hidden": "64",
    "dropout": 0.2,
}
_SPACE: Mapping[str, Mapping[str, Any]] = {
    "channels": {"type": "choice", "choices": ["16-16-16-16", "32-32-32-32", "32-64-64-64"]},
    "kernel_columns": {"type": "int", "low": 2, "high": 8},
    "kernel_frames": {"type": "int", "low": 3, "high": 15},
    "block_dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "dropout": {"type": "float", "low": 0.0, "high": 0.7},
    "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
}

NETWORKS = convolutional(
    "cnn2d", "four convolutions over coefficients and time", "flatten", _build, _DEFAULTS, _SPACE
)
