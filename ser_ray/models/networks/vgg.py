"""VGG-19 (Simonyan and Zisserman, 2015) without its classifier, and its ImageNet weights."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from ser_ray import storage
from ser_ray.errors import BadModel
from ser_ray.features.checkpoint import unreadable
from ser_ray.features.inference import check_finite

BLOCK_ENDS = (0, 5, 10, 19, 28, 37)  # layers of the first so many blocks, each with its pooling
COLUMNS = 512  # channels of the last block
LEAST = 32  # rows and columns of a picture, halved five times
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB, which the weights expect
CACHED = "vgg19-dcbb9e9d.pth"  # torchvision's name of the weights (IMAGENET1K_V1)
NONE = "none"


def vgg19_layers() -> nn.Sequential:
    """The layers that torchvision calls `features`, 20,024,384 parameters drawn as it draws them.

    [batch, 3, rows, columns] -> [batch, 512, rows / 32, columns / 32].
    """
    from torchvision.models.vgg import cfgs, make_layers

    layers: nn.Sequential = make_layers(cfgs["E"])
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layers


class VggBranch(nn.Module):
    """Pictures to vectors: the mean over what the last block leaves of a picture.

    Args:
        layers: as `vgg19_layers` gives them.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.features = layers
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION), persistent=False)

    def forward(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """RGB 0..1 [batch, rows, columns, 3], all of equal size -> [batch, channels]."""
        normal = (pictures - self.mean) / self.deviation
        maps: Tensor = self.features(normal.permute(0, 3, 1, 2))
        return maps.mean(dim=(2, 3))


def imagenet_weights(place: str) -> dict[str, Tensor] | None:
    """The weights of `vgg19_layers` that were learned on ImageNet.

    Args:
        place: URI of torchvision's file, or of safetensors with the same names; empty for the one in the
            cache of torch, where there is one; `none` for none.

    Returns:
        Tensors by name, or None; where the cache has none, a warning says so.

    Raises:
        MissingInput: nothing is there.
        BadModel: it is damaged, asks for code, or its tensors are not those of VGG-19.
    """
    if place == NONE:
        return None
    if not place:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / CACHED
        if not cached.is_file():
            warnings.warn(
                f"no ImageNet weights of VGG-19: {cached} is not there. Nothing is frozen, and all layers "
                "start from random weights. Set weights to the file, or to none where that is wanted.",
                stacklevel=2,
            )
            return None
        place = str(cached)
    place = storage.require(place, "weights of VGG-19")
    content = _read(storage.read_bytes(place), place)
    tensors = {k.removeprefix("features."): v for k, v in content.items() if k.startswith("features.")}
    wrong = _mismatches(tensors)
    if wrong:
        raise BadModel(
            f"{place} holds no VGG-19: {wrong[0]} ({len(wrong)} of its tensors will not do). Give "
            f"torchvision's {CACHED}."
        )
    check_finite(tensors.items(), place)
    return {name: tensor.float() for name, tensor in tensors.items()}


def _read(data: bytes, place: str) -> Mapping[str, Any]:
    try:
        if data[8:9] == b"{":
            return dict(safetensors.torch.load(data))
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # each format and version has errors of its own
        raise unreadable(place, error) from error
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise BadModel(f"{place} has no tensors by name. Give torchvision's {CACHED}.")
    return content


def _mismatches(tensors: Mapping[str, Any]) -> list[str]:
    """What is wrong with tensors that should be those of VGG-19."""
    with torch.device("meta"):
        wanted = vgg19_layers().state_dict()
    found = []
    for name, tensor in wanted.items():
        given = tensors.get(name)
        if not isinstance(given, Tensor):
            found.append(f"features.{name} is missing")
        elif given.shape != tensor.shape or not given.is_floating_point() or given.layout != torch.strided:
            found.append(f"features.{name} is {given.dtype} {list(given.shape)}")
    return found + [f"features.{name} is unknown" for name in tensors if name not in wanted]
