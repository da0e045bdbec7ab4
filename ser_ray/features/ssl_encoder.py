"""Self-supervised speech encoders of transformers, loaded and run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ser_ray import errors
from ser_ray.features.checkpoint import unreadable
from ser_ray.features.feature import Array
from ser_ray.features.inference import (
    RATE,
    Windows,
    check_finite,
    count_frames,
    device,
    receptive_field,
)
from ser_ray.features.ssl_checkpoint import Layout, Source, fetch, layout, weight_files

# With attention masks and layer norms, padding reaches no valid frame. data2vec's stacked positional
# convolutions carry it in, and a group norm over time takes it into every frame.
PADDED = ("wav2vec2", "hubert", "wavlm")
UNUSED = ("masked_spec_embed", "adapter.", "decoder.")  # weights that may be missing: they are not used here


class Encoder(ABC):
    """A network that turns waves into frames, layer by layer.

    Layer 0 is what enters the first transformer block, layer k what leaves block k; the last is what
    leaves the whole stack, its closing layer norm included. One more stands for the mean of all.

    Args:
        network: called with the inputs.
        stack: the part of it with the transformer blocks, `layers`.
        extractor: the preparation of waves that belongs to it.
    """

    windows: Windows

    def __init__(self, network: nn.Module, stack: Any, extractor: Any) -> None:
        self.network, self.stack, self.extractor = network, stack, extractor

    def prepare(self, wave: Array) -> Array:
        """The wave, at zero mean and unit variance where the network was trained so."""
        if not getattr(self.extractor, "do_normalize", False):
            return wave
        normal = (wave - wave.mean(dtype=np.float64)) / np.sqrt(wave.var(dtype=np.float64) + 1e-7)
        return np.asarray(normal, dtype=np.float32)

    @abstractmethod
    def run(self, waves: list[Array], layer: int) -> Iterable[list[Tensor]]:
        """For each of some prepared windows, the valid frames [frames, columns] of all layers up to one."""

    def _layers(self, layer: int, **inputs: Tensor | None) -> list[Tensor]:
        """All layers up to one: [windows, frames, columns] each, padding included."""
        place = device()
        with self._watched(layer) as states:
            self.network.to(place)(**{key: None if v is None else v.to(place) for key, v in inputs.items()})
        if layer > len(self.stack.layers):
            states.append(torch.stack(states).mean(dim=0))
        return states

    @contextmanager
    def _watched(self, layer: int) -> Iterator[list[Tensor]]:
        """Collect the layers of a pass; no block runs that they do not need."""
        states: list[Tensor] = []

        def enters(block: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            states.append(given[0] if given else named["hidden_states"])

        def leaves(stack: nn.Module, given: tuple[Any, ...], result: Any) -> None:
            states.append(result[0])

        blocks = self.stack.layers
        self.stack.layers = blocks[: layer + 1]
        hooks = [block.register_forward_pre_hook(enters, with_kwargs=True) for block in self.stack.layers]
        if layer >= len(blocks):
            hooks.append(self.stack.register_forward_hook(leaves))
        try:
            yield states
        finally:
            self.stack.layers = blocks
            for hook in hooks:
                hook.remove()


class WaveEncoder(Encoder):
    """wav2vec 2.0, HuBERT, WavLM, data2vec: convolutions over the wave, then transformer blocks."""

    def __init__(self, kind: str, network: Any, extractor: Any) -> None:
        super().__init__(network, network.encoder, extractor)
        config = network.config
        self.convolutions = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        padded = kind in PADDED and config.feat_extract_norm == "layer"
        self.windows = Windows(receptive_field(self.convolutions), padded=padded)

    def run(self, waves: list[Array], layer: int) -> Iterable[list[Tensor]]:
        lengths = [len(wave) for wave in waves]
        values, mask = torch.zeros(len(waves), max(lengths)), torch.zeros(len(waves), max(lengths)).long()
        for row, wave in enumerate(waves):
            values[row, : len(wave)] = torch.from_numpy(wave)
            mask[row, : len(wave)] = 1
        layers = self._layers(layer, input_values=values, attention_mask=None if mask.all() else mask)
        counts = [count_frames(length, self.convolutions) for length in lengths]
        return [[frames[row, :count] for frames in layers] for row, count in enumerate(counts)]


class MelEncoder(Encoder):
    """The encoder of Whisper, which takes log-mel windows of one length: 30 s, silence included."""

    def __init__(self, network: Any, extractor: Any) -> None:
        super().__init__(network.encoder, network.encoder, extractor)
        self.hop = 2 * extractor.hop_length  # its second convolution halves the frames
        longest = network.config.max_source_positions * self.hop
        if (extractor.n_samples, extractor.feature_size) != (longest, network.config.num_mel_bins):
            raise errors.BadModel(
                f"the encoder takes {longest / RATE:g} s in {network.config.num_mel_bins} mel bands, its "
                "preprocessor_config.json has others. Copy both files from one checkpoint."
            )
        self.windows = Windows(1, longest, fixed=True)

    def run(self, waves: list[Array], layer: int) -> Iterable[list[Tensor]]:
        mel = self.extractor(waves, sampling_rate=RATE, return_tensors="pt", do_normalize=False)
        layers = self._layers(layer, input_features=mel.input_features.float())
        counts = [math.ceil(len(wave) / self.hop) for wave in waves]
        return [[frames[row, :count] for frames in layers] for row, count in enumerate(counts)]


@lru_cache(maxsize=2)
def load_encoder(source: Source, identity: str) -> Encoder:
    """The encoder of a checkpoint, loaded once a process for each identity.

    Only tensors are read: no code of the checkpoint is run, be it Python files or pickled calls.

    Raises:
        MissingInput: its weights are not there.
        BadModel: they are damaged, ask for code, or lack some that the encoder needs.
    """
    fetch(source)
    kind, files = layout(source), weight_files(source)
    try:
        with _quiet():
            network, extractor, report = _read(source, kind, safe=files[0].suffix == ".safetensors")
    except Exception as error:  # each format and version has errors of its own
        raise unreadable(source.place, error) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(UNUSED))
    if missing:
        raise errors.BadModel(
            f"{source.place} lacks {len(missing)} of the encoder's tensors, such as {missing[0]}. "
            "Take the whole checkpoint from where it was published."
        )
    check_finite(network.named_parameters(), source.place)
    if kind.kind == "whisper":
        return MelEncoder(network, extractor)
    return WaveEncoder(kind.kind, network, extractor)


def _read(source: Source, kind: Layout, safe: bool) -> tuple[Any, Any, dict[str, Any]]:
    from transformers import AutoFeatureExtractor, AutoModel

    network, report = AutoModel.from_pretrained(
        source.folder,
        trust_remote_code=False,
        local_files_only=True,
        use_safetensors=safe,
        weights_only=True,
        dtype=torch.float32,
        attn_implementation="eager" if kind.kind == "wavlm" else "sdpa",
        output_loading_info=True,
    )
    extractor = AutoFeatureExtractor.from_pretrained(
        source.folder, trust_remote_code=False, local_files_only=True
    )
    return network.eval().requires_grad_(False), extractor, report


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting weights of heads that are not wanted, and its progress."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
