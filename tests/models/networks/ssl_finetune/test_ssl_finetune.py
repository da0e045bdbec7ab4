"""Logits, what is tuned and what is kept: the tuned encoders of speech."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ser_ray import features
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.loop import LoopOptions, _groups
from tests.models.networks.ssl_finetune.checkpoints import KIND, LENGTHS, build, every_encoder, one, waves

pytest.importorskip("transformers", reason="the extra ssl is not installed")

from ser_ray.features.ssl_checkpoint import KINDS
from ser_ray.features.ssl_encoder import load_encoder


def test_it_reads_eight_seconds_at_16_khz_whatever_the_band():
    [spec] = KIND.features
    for feature in (features.get(spec), features.with_band(spec, "telephone")):
        assert feature.rate == 16000
        assert feature(np.zeros(200_000, np.float32)).shape == (128_000, 1)


def test_defaults_and_space_are_plain_data_that_network_or_loop_know():
    assert json.loads(json.dumps([KIND.defaults, KIND.space])) == [dict(KIND.defaults), dict(KIND.space)]
    assert set(KIND.space) <= set(KIND.defaults) | {f.name for f in fields(LoopOptions)}


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@every_encoder
@torch.no_grad()
def test_padding_changes_no_logit(folders, name, pooling):
    network = build(folders[name], pooling=pooling).eval()
    network.head.logits.weight *= 10.0
    together = network((waves(LENGTHS, beyond=1000.0, extra=7),))
    for row in range(len(LENGTHS)):
        assert torch.allclose(network((one(LENGTHS, row),))[0], together[row], atol=1e-5)
    assert together.std(0).min() > 0.1  # utterances differ, so do their logits


@every_encoder
@torch.no_grad()
def test_the_mean_over_its_frames_is_the_feature_ssl(folders, name):
    network, pooled = build(folders[name]).eval(), []
    network.head.pooling.register_forward_hook(lambda module, given, result: pooled.append(result[0]))
    feature = features.get(f"ssl(checkpoint={folders[name]})")
    for row in range(len(LENGTHS)):
        network((one(LENGTHS, row),))
        expected = feature(one(LENGTHS, row).values.flatten().numpy())
        np.testing.assert_allclose(pooled[row], expected, atol=1e-5)


@every_encoder
def test_convolutions_keep_their_weights_and_all_else_is_tuned(folders, name):
    network = build(folders[name], dropout=0.0)
    options = LoopOptions(lr=1e-3)
    optimiser = torch.optim.AdamW(
        [{**group, "lr": 1e-3 * group["scale"]} for group in _groups(network, options)], weight_decay=0.0
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    assert not network.encoder.stages()[0][0].training
    nn.functional.cross_entropy(network((waves([3000, 5000, 3000]),)), torch.tensor([0, 1, 2])).backward()
    optimiser.step()
    front = ("conv1.", "conv2.", "embed_positions.") if name == "whisper" else ("feature_extractor.",)
    for key, parameter in network.named_parameters():
        moved = (parameter - before[key]).abs().max().item()
        if key.removeprefix("encoder.network.").startswith(front):
            assert (moved, parameter.requires_grad, parameter.grad) == (0.0, False, None), key
        elif "k_proj.bias" not in key:  # which moves no attention: a softmax minds no shift
            # A first step of Adam is as long as the rate.
            assert moved == pytest.approx(2e-5 if key.startswith("encoder.") else 1e-3, rel=0.3), key


def tuned(network: nn.Module) -> set[str]:
    """Parts of the encoder with a gradient, blocks by number."""
    names = {key for key, value in network.encoder.network.named_parameters() if value.requires_grad}
    short = {name.removeprefix("encoder.").replace("layers.", "block ") for name in names}
    return {" ".join(name.split(".")[:1]) for name in short}


BEFORE = {"feature_projection", "pos_conv_embed"}


@pytest.mark.parametrize(
    ("name", "below", "expected"),
    [
        ("wav2vec2_group", 0, {*BEFORE, "layer_norm", "block 0", "block 1", "block 2"}),
        ("wav2vec2_group", 1, {"block 0", "block 1", "block 2"}),
        ("wav2vec2_group", 3, {"block 2"}),
        ("wav2vec2_group", 4, set()),
        ("wav2vec2_layer", 0, {*BEFORE, "layer_norm", "block 0", "block 1", "block 2"}),
        ("wav2vec2_layer", 2, {"block 1", "block 2", "layer_norm"}),  # which closes the stack
        ("wav2vec2_layer", 4, set()),
        ("data2vec", 1, {"block 0", "block 1", "block 2"}),
        ("whisper", 0, {"block 0", "block 1", "block 2", "layer_norm"}),
        ("whisper", 3, {"block 2", "layer_norm"}),
        ("whisper", 4, set()),
    ],
)
def test_what_lies_below_the_chosen_block_is_frozen(folders, name, below, expected):
    network = build(folders[name], frozen_below=below).train()
    assert tuned(network) == expected
    for module in network.encoder.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            assert not module.training
    if below and name != "whisper":
        assert not network.encoder.network.encoder.dropout.training
    assert any(module.training for module in network.encoder.modules()) == bool(expected)
    assert all(p.requires_grad for p in network.head.parameters())


@pytest.mark.parametrize("name", ["wav2vec2_layer", "whisper"])
def test_training_draws_from_the_seed_alone_and_skips_no_block(folders, name):
    def trained(chance: int) -> dict[str, torch.Tensor]:
        np.random.seed(chance)  # from which transformers would draw masks
        if chance == 1:
            load_encoder.cache_clear()  # which draws weights while it loads
        network = build(folders[name]).train()
        torch.manual_seed(7)
        network((waves([16000, 9000]),)).square().sum().backward()
        return {key: p.grad for key, p in network.named_parameters() if p.requires_grad}

    first, second = trained(1), trained(2)
    for key, gradient in first.items():
        assert torch.equal(gradient, second[key]), key
        assert gradient.abs().max() > 0 or "k_proj.bias" in key, key


@pytest.mark.parametrize("name", ["wav2vec2_group", "wavlm_layer", "whisper"])
def test_a_saved_network_needs_no_checkpoint(folders, name, tmp_path):
    place = shutil.copytree(folders[name], tmp_path / "gone")
    network = build(place).eval()
    shutil.rmtree(place)
    again = build(place, seed=1, **network.rebuilt_with).eval()
    inputs = (waves(LENGTHS),)
    with torch.no_grad():
        assert not torch.allclose(again(inputs), network(inputs), atol=1e-3)
        again.load_state_dict(network.state_dict())
        assert torch.equal(again(inputs), network(inputs))
    assert again.rebuilt_with == network.rebuilt_with
    assert json.loads(json.dumps(network.rebuilt_with)) == network.rebuilt_with


def test_it_learns_and_is_the_same_to_the_bit_after_saving_and_in_another_process(folders, tmp_path):
    rng = np.random.default_rng(0)
    X, y = np.empty(8, object), np.arange(8) % 2
    for row in range(8):
        wave = rng.normal(0, 0.1, 2400 + 40 * row)
        if y[row]:
            wave = np.convolve(wave, np.ones(16) / 4, "same")  # of lower pitch
        X[row] = wave.astype(np.float32)[:, None]
    given = {"checkpoint": folders["hubert_layer"], "epochs": 25, "patience": 25, "held_out": 0.0}
    settings = {**all_settings(KIND), **given, "dropout": 0.0, "encoder_rate": 1.0, "lr": 5e-3, "batch": 4}
    classifier = NetworkClassifier(KIND, settings, 0).fit(X, y)
    right = classifier.predict_proba(X)[np.arange(8), y]
    assert right.min() > 0.5
    assert -np.log(right).mean() < 0.5 * np.log(2)
    classifier.save(tmp_path)
    sent = pickle.dumps(classifier)
    Path(folders["hubert_layer"]).rename(tmp_path / "moved")  # what is saved needs no checkpoint
    loaded, received = NetworkClassifier.load(KIND, tmp_path), pickle.loads(sent)
    Path(tmp_path / "moved").rename(folders["hubert_layer"])
    for again in (loaded, received):
        np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


def test_training_leaves_the_encoder_of_the_feature_as_it_was(folders):
    feature, wave = features.get(f"ssl(checkpoint={folders['hubert_layer']})"), np.ones(4000, np.float32)
    wave[::7] = -1.0
    before = feature(wave)
    network = build(folders["hubert_layer"])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1
    np.testing.assert_array_equal(feature(wave), before)


def test_every_kind_is_among_those_tried(folders):
    found = {json.loads(Path(folder, "config.json").read_text())["model_type"] for folder in folders.values()}
    assert found == set(KINDS)
