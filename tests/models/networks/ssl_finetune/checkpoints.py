"""Tiny checkpoints of each kind, networks that are built of them, and waves of many lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ser_ray.models.networks.classifier import all_settings
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.ssl_finetune import NETWORKS

[KIND] = NETWORKS
TINY = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8,) * 7, "num_conv_pos_embedding_groups": 2, "vocab_size": 8, "hidden_dropout": 0.1,
}  # fmt: skip
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 9}
GROUP = {"feat_extract_norm": "group", "num_conv_pos_embeddings": 8}
WHISPER = {
    "d_model": 16, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "num_mel_bins": 20,
    "max_source_positions": 100, "vocab_size": 8, "pad_token_id": 0, "bos_token_id": 0,
    "eos_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
MODELS = {
    "wav2vec2_group": ("Wav2Vec2", TINY | GROUP),
    "wav2vec2_layer": ("Wav2Vec2", TINY | STABLE | {"mask_time_length": 2, "layerdrop": 0.5}),
    "hubert_layer": ("Hubert", TINY | STABLE),
    "wavlm_group": ("WavLM", TINY | GROUP),
    "wavlm_layer": ("WavLM", TINY | STABLE | {"add_adapter": True}),
    "data2vec": ("Data2VecAudio", TINY | {"num_conv_pos_embeddings": 2}),
    "whisper": ("Whisper", WHISPER | {"encoder_layerdrop": 0.5}),
}
LENGTHS = [16000, 9000, 12345, 16000, 2000, 400, 399, 1]
every_encoder = pytest.mark.parametrize("name", list(MODELS))


def build(checkpoint: Any, seed: int = 0, **changes: Any) -> nn.Module:
    torch.manual_seed(seed)
    settings = {**all_settings(KIND), "hidden": "12", "checkpoint": str(checkpoint), **changes}
    return KIND.build([(None, 1)], 3, settings)


def waves(lengths: list[int], beyond: float = 0.0, extra: int = 0) -> Padded:
    """The same utterances whatever lies beyond them."""
    drawn = 0.02 + 0.1 * torch.randn(len(lengths), 17000, 1, generator=torch.Generator().manual_seed(0))
    values = drawn[:, : max(lengths) + extra].clone()
    for row, length in zip(values, lengths, strict=True):
        row[length:] = beyond
    return Padded(values, torch.tensor(lengths))


def one(lengths: list[int], row: int) -> Padded:
    return Padded(waves(lengths).values[row : row + 1, : lengths[row]], torch.tensor([lengths[row]]))
