"""Tiny checkpoints of each kind, with random weights, in the format of the Hugging Face hub."""

import shutil

import numpy as np
import pytest
import torch

from tests.threads import one_thread  # noqa: F401

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 8,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 9}
GROUP = {"feat_extract_norm": "group", "num_conv_pos_embeddings": 8}
MODELS = {
    "wav2vec2_group": ("Wav2Vec2Config", "Wav2Vec2Model", TINY | GROUP),
    "wav2vec2_layer": ("Wav2Vec2Config", "Wav2Vec2Model", TINY | STABLE),
    "hubert_group": ("HubertConfig", "HubertModel", TINY | GROUP),
    "hubert_layer": ("HubertConfig", "HubertModel", TINY | STABLE),
    "wavlm_group": ("WavLMConfig", "WavLMModel", TINY | GROUP),
    "wavlm_layer": ("WavLMConfig", "WavLMModel", TINY | STABLE),
    "data2vec": ("Data2VecAudioConfig", "Data2VecAudioModel", TINY | {"num_conv_pos_embeddings": 2}),
    "whisper": ("WhisperConfig", "WhisperModel", {
        "d_model": 16, "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "num_mel_bins": 20,
        "max_source_positions": 100, "vocab_size": 8, "pad_token_id": 0, "bos_token_id": 0,
        "eos_token_id": 0, "decoder_start_token_id": 0,
    }),
}  # fmt: skip


@pytest.fixture(scope="session")
def build():
    """Makes a model of a kind."""
    import transformers

    def build(name: str, seed: int = 0):
        config, model, sizes = MODELS[name]
        torch.manual_seed(seed)
        return getattr(transformers, model)(getattr(transformers, config)(**sizes)).eval()

    return build


@pytest.fixture(scope="session")
def save(build):
    """Saves a model of a kind, with the settings of its input."""
    import transformers

    def save(name: str, folder, seed: int = 0, **extractor) -> str:
        build(name, seed).save_pretrained(folder)
        if name == "whisper":
            extractor = {"feature_size": 20, "chunk_length": 2} | extractor
            transformers.WhisperFeatureExtractor(**extractor).save_pretrained(folder)
        else:
            extractor = {"do_normalize": True, "return_attention_mask": True} | extractor
            transformers.Wav2Vec2FeatureExtractor(**extractor).save_pretrained(folder)
        return str(folder)

    return save


@pytest.fixture(scope="session")
def folders(tmp_path_factory, save):
    """A checkpoint of each kind, to be left as it is."""
    root = tmp_path_factory.mktemp("ssl")
    return {name: save(name, root / name) for name in MODELS}


@pytest.fixture
def folder(folders, tmp_path):
    """A checkpoint to be spoilt."""
    return shutil.copytree(folders["wav2vec2_layer"], tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def get():
    """Makes the feature of a folder or name."""
    from ser_ray import features

    def get(place, **parameters):
        given = "".join(f",{key}={value}" for key, value in parameters.items())
        return features.get(f"ssl(checkpoint={place}{given})")

    return get


@pytest.fixture(scope="session")
def noise():
    def noise(samples: int, seed: int = 0) -> np.ndarray:
        return (0.02 + np.random.default_rng(seed).normal(0, 0.1, samples)).astype(np.float32)

    return noise
