"""wav2vec checkpoints: fairseq's `.pt` files and safetensors, read without running anything in them."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ser_ray import errors, storage
from ser_ray.features.checkpoint import unreadable
from ser_ray.features.inference import check_finite
from ser_ray.features.wav2vec_network import SIZES, Wav2Vec

MENTIONED = 3  # mismatches that a message names


def read_wav2vec(uri: str) -> Wav2Vec:
    """The network of a checkpoint, trainable, on the CPU.

    Its size is told from its tensors; `args`, which fairseq saves beside them, is not used.

    Args:
        uri: a fairseq checkpoint (a dict with `model`, and `args` as an `argparse.Namespace`), or a
            safetensors file of the same tensors.

    Raises:
        MissingInput: nothing is there.
        BadModel: it is damaged, holds code, or its tensors are not those of wav2vec, by name and shape.
    """
    tensors = _tensors(storage.read_bytes(storage.require(uri, "wav2vec checkpoint")), uri)
    complaints = {size: _mismatches(tensors, size) for size in SIZES}
    size = min(complaints, key=lambda size: len(complaints[size]))
    if complaints[size]:
        named, more = complaints[size][:MENTIONED], len(complaints[size]) - MENTIONED
        listed = ", ".join(named) + (f", and {more} more" if more > 0 else "")
        raise errors.BadModel(
            f"{uri} is no wav2vec checkpoint (size {size}): {listed}. Take wav2vec_large.pt as published, "
            "or a file that ser-ray wrote."
        )
    check_finite(tensors.items(), uri)
    with torch.device("meta"):  # no time for random weights
        network = Wav2Vec(size)
    network.load_state_dict({k: v.float().contiguous() for k, v in tensors.items()}, strict=True, assign=True)
    return network


def write_wav2vec(network: Wav2Vec, uri: str) -> None:
    """Save a network as safetensors, which `read_wav2vec` reads back."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    storage.write_bytes(uri, safetensors.torch.save(tensors))


@lru_cache(maxsize=2)
def frozen_wav2vec(uri: str, digest: str) -> Wav2Vec:
    """The network of a checkpoint, for inference; loaded once a process for each digest."""
    return read_wav2vec(uri).eval().requires_grad_(False)


def _tensors(data: bytes, uri: str) -> Mapping[str, Tensor]:
    try:
        if data[8:9] == b"{":
            return dict(safetensors.torch.load(data))
        if data[:2] not in (b"PK", b"\x80\x02"):
            raise errors.BadModel(
                f"{uri} is neither a PyTorch nor a safetensors file. Give the path of wav2vec_large.pt."
            )
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except errors.BadModel:
        raise
    except Exception as error:  # each format and version has errors of its own
        raise unreadable(uri, error) from error
    return _model(content, uri)


def _model(content: Any, uri: str) -> Mapping[str, Tensor]:
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise errors.BadModel(
            f"{uri} has no `model` with tensors by name. Give a checkpoint as fairseq saves it, "
            "a dict with `args` and `model`."
        )
    return {str(key): value for key, value in model.items()}


def _mismatches(tensors: Mapping[str, Tensor], size: str) -> list[str]:
    """What is wrong with tensors that should be those of a size."""
    with torch.device("meta"):
        wanted = Wav2Vec(size).state_dict()
    found = []
    for name, tensor in wanted.items():
        given = tensors.get(name)
        if given is None:
            found.append(f"{name} is missing")
        elif given.shape != tensor.shape:
            found.append(f"{name} is {list(given.shape)}, not {list(tensor.shape)}")
        elif not given.is_floating_point() or given.layout != torch.strided:
            found.append(f"{name} holds {given.dtype} in layout {given.layout}, not plain floats")
    return found + [f"{name} is unknown" for name in tensors if name not in wanted]
