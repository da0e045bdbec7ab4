"""The tiny checkpoints as folders with random weights."""

from __future__ import annotations

import shutil

import pytest
import torch

from tests.models.networks.ssl_finetune.checkpoints import MODELS


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A tiny checkpoint of each kind with random weights, in the format of the Hugging Face hub."""
    import transformers

    root = tmp_path_factory.mktemp("checkpoints")
    for name, (family, sizes) in MODELS.items():
        torch.manual_seed(1)
        model = getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")(**sizes))
        model.save_pretrained(root / name)
        if name == "whisper":
            extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2)
        else:
            extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
        extractor.save_pretrained(root / name)
    return {name: str(root / name) for name in MODELS}


@pytest.fixture
def folder(folders, tmp_path):
    """A checkpoint to be spoilt."""
    return shutil.copytree(folders["wav2vec2_layer"], tmp_path / "checkpoint")
