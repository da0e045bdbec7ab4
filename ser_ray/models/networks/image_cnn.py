"""`image_cnn`: convolutions over a picture of a whole utterance.

It is one of the four of system 7, see `four_feature_cnn`, and a network of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ser_ray.models.networks.network import Inputs, NetworkKind, Shape
from ser_ray.models.networks.parts import ConvBlock, ConvStack, SequenceHead, widths
from ser_ray.models.networks.parts.pictures import GREY, check_pictures, pictures

KERNEL, POOL = (3, 3), 2


class ImageCnn(nn.Module):
    """Blocks of convolutions over a picture, the mean over what is left of it, and a head.

    Args:
        blocks: from one channel to theirs.
        head: reads these channels as columns.
    """

    def __init__(self, blocks: ConvStack, head: SequenceHead) -> None:
        super().__init__()
        self.blocks, self.head = blocks, head

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, rows, columns] -> logits [batch, classes]."""
        values, rows = pictures(inputs[0], GREY)
        values, rows = self.blocks(values.transpose(1, 2).unsqueeze(1), rows)
        logits: Tensor = self.head(values.mean(2).transpose(1, 2), rows)
        return logits


def _build(shapes: Sequence[Shape], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    check_pictures(shapes, 1, GREY)
    channels = widths("channels", settings["channels"])
    blocks = [ConvBlock(a, b, KERNEL, pool=POOL) for a, b in zip((1, *channels), channels, strict=False)]
    hidden = widths("hidden", settings["hidden"])
    head = SequenceHead(channels[-1], classes, "mean", None, 0, settings["dropout"], hidden)
    return ImageCnn(ConvStack(*blocks), head)


IMAGE_CNN = NetworkKind(
    name="image_cnn",
    summary="five convolutions over a picture of one feature",
    features=("image",),
    defaults={"channels": "16-32-64-128-128", "hidden": "128", "dropout": 0.0, "standardise": False},
    space={
        "channels": {"type": "choice", "choices": ["8-16-32-64-64", "16-32-64-128-128", "32-64-128-256-256"]},
        "dropout": {"type": "float", "low": 0.0, "high": 0.7},
        "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
    },
    build=_build,
)
NETWORKS: tuple[NetworkKind, ...] = (IMAGE_CNN,)
