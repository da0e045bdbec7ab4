from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from ser_ray import features
from ser_ray.errors import BadModel, MissingInput, UsageError
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.loop import LoopOptions, _groups
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.vgg import CACHED, imagenet_weights, vgg19_layers
from ser_ray.models.networks.vgg_attention import NETWORKS, VggAttention

[KIND] = NETWORKS
SHAPES = [(None, 32, 3), (None, 32, 3)]
FROZEN, TUNED = 2_325_568, 17_698_816


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    """Whatever weights this machine has are not found."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A file as torchvision publishes it, of random weights that are not those of a new network."""
    torch.manual_seed(5)
    tensors = {f"features.{name}": 0.5 * tensor for name, tensor in vgg19_layers().state_dict().items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({**tensors, "classifier.6.bias": torch.zeros(1000)}, path)
    return path


def build(shapes: Any = SHAPES, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    return KIND.build(shapes, 3, {**all_settings(KIND), "weights": "none", **changes})


def small(latent: str = "concatenation", similarity: str = "dot", frozen: int = 0) -> VggAttention:
    """The same with two convolutions in a branch."""
    torch.manual_seed(0)
    branches = [torchvision.models.vgg.make_layers([6, "M", 8, "M"]) for _ in range(2)]
    return VggAttention(*branches, 8, 3, latent, similarity, frozen, 0.01)


def pictures(count: int = 4, size: int = 32, seed: int = 0) -> tuple[Padded, Padded]:
    drawn = torch.rand(2, count, size, size, 3, generator=torch.Generator().manual_seed(seed))
    return Padded(drawn[0], torch.full((count,), size)), Padded(drawn[1], torch.full((count,), size))


def own(network: nn.Module, trainable: bool, prefix: str) -> int:
    chosen = [p for name, p in network.named_parameters() if name.startswith(prefix)]
    return sum(p.numel() for p in chosen if p.requires_grad == trainable)


def test_it_reads_a_mel_and_an_mfcc_picture():
    chosen = [features.get(spec) for spec in KIND.features]
    assert [feature.of for feature in chosen] == ["logmel", "mfcc"]
    assert {feature.shape for feature in chosen} == {(224, 224, 3)}


def test_defaults_and_space_are_plain_data_that_network_or_loop_know():
    assert json.loads(json.dumps([KIND.defaults, KIND.space])) == [dict(KIND.defaults), dict(KIND.space)]
    assert set(KIND.space) <= set(KIND.defaults) | {f.name for f in fields(LoopOptions)}


def test_layers_are_torchvisions_by_name_and_size():
    with torch.device("meta"):
        expected = torchvision.models.vgg19().features.state_dict()
    found = vgg19_layers().state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}


def test_three_blocks_of_each_branch_are_frozen_and_two_are_tuned(weights_file):
    network = build(weights=str(weights_file))
    for branch in ("mel.", "mfcc."):
        assert own(network, False, branch) == FROZEN
        assert own(network, True, branch) == TUNED
    for branch in (network.mel, network.mfcc):
        trained = {number for number, layer in enumerate(branch.features) for p in layer.parameters()}
        assert {n for n in trained if next(branch.features[n].parameters()).requires_grad} == {
            n for n in trained if n >= 19
        }
    with torch.no_grad():
        maps = network.mel.features[:19](torch.rand(1, 3, 224, 224))
        assert maps.shape == (1, 256, 28, 28)
        assert network.mel.features[19:](maps).shape == (1, 512, 7, 7)
    expected = torch.load(weights_file, weights_only=True)
    for name in ("0.weight", "34.bias"):
        assert torch.equal(network.mel.features.state_dict()[name], expected[f"features.{name}"])
        assert torch.equal(network.mfcc.features.state_dict()[name], expected[f"features.{name}"])
    assert own(build(weights=str(weights_file), frozen_blocks=5), True, "mel.") == 0


def test_frozen_layers_do_not_move_and_others_do_at_their_own_rate():
    network = small(frozen=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    options = LoopOptions(lr=1e-3)
    optimiser = torch.optim.AdamW(
        [{**group, "lr": 1e-3 * group["scale"]} for group in _groups(network, options)], weight_decay=0.0
    )
    network.train()
    nn.functional.cross_entropy(network(pictures()), torch.tensor([0, 1, 2, 0])).backward()
    optimiser.step()
    for name, tensor in network.state_dict().items():
        moved = (tensor - before[name]).abs().max().item()
        if ".features.0." in name:
            assert moved == 0.0
            assert network.get_parameter(name).grad is None
        else:  # a first step of Adam is as long as the rate
            assert moved == pytest.approx(1e-5 if ".features." in name else 1e-3, rel=0.1), name


def test_frozen_layers_stay_in_evaluation_batch_normalisation_too():
    layers = [torchvision.models.vgg.make_layers([6, "M", 8, "M"], batch_norm=True) for _ in range(2)]
    network = VggAttention(*layers, 8, 3, "sum", "dot", 4, 0.01).train()
    mean = network.mel.features[1].running_mean.clone()
    network(pictures())
    assert torch.equal(network.mel.features[1].running_mean, mean)
    assert not network.mel.features[1].training
    assert network.mel.features[5].training
    assert not torch.equal(network.mel.features[5].running_mean, torch.zeros(8))


def by_hand(network: VggAttention, inputs: Any, latent: str, similarity: str) -> tuple[np.ndarray, ...]:
    """Logits and attention, written out in numpy."""
    g = []
    for branch, padded in zip((network.mel, network.mfcc), inputs, strict=True):
        normal = (padded.values - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
        g.append(branch.features(normal.permute(0, 3, 1, 2)).mean((2, 3)).numpy().astype(np.float64))

    def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
        return x @ layer.weight.numpy().T.astype(np.float64) + layer.bias.numpy()

    e = [linear(network.mel_says, g[0]), linear(network.mfcc_says, g[1])]
    H = linear(network.latent, np.hstack(g) if latent == "concatenation" else g[0] + g[1])
    s = np.stack([(H * k).sum(1) for k in e], axis=1)
    if similarity == "scaled":
        s /= np.sqrt(3)
    if similarity == "cosine":
        s /= np.linalg.norm(H, axis=1)[:, None] * np.stack([np.linalg.norm(k, axis=1) for k in e], axis=1)
    a = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    return a[:, :1] * e[0] + a[:, 1:] * e[1], a


@pytest.mark.parametrize("similarity", ["dot", "scaled", "cosine"])
@pytest.mark.parametrize("latent", ["concatenation", "sum"])
@torch.no_grad()
def test_logits_are_what_the_branches_say_weighted_by_attention(latent, similarity):
    network = small(latent, similarity).eval()
    for layer in (network.mel_says, network.mfcc_says, network.latent):
        layer.weight *= 3.0  # so that the branches differ
    inputs = pictures(5)
    logits, attention = by_hand(network, inputs, latent, similarity)
    np.testing.assert_allclose(network(inputs), logits, atol=1e-4)
    np.testing.assert_allclose(network.attention(inputs), attention, atol=1e-5)
    np.testing.assert_allclose(network.attention(inputs).sum(1), np.ones(5), atol=1e-6)
    assert attention.std(0).min() > 1e-3
    mel, mfcc = inputs
    swapped = network((mfcc, mel))
    assert not torch.allclose(swapped, network(inputs), atol=1e-3)


@torch.no_grad()
def test_padding_changes_no_logit():
    network = small().eval()
    for layer in (network.mel_says, network.mfcc_says, network.latent):
        layer.weight *= 20.0
    values, lengths = torch.rand(2, 4, 40, 32, 3), torch.tensor([40, 24, 40, 33])
    for k in range(2):
        for row, length in zip(values[k], lengths, strict=True):
            row[length:] = 1000.0
    together = network((Padded(values[0], lengths), Padded(values[1], lengths)))
    for row, length in enumerate(lengths):
        one = [Padded(values[k][row : row + 1, :length], lengths[row : row + 1]) for k in range(2)]
        assert torch.allclose(network(tuple(one))[0], together[row], atol=1e-5)
    assert together.std(0).min() > 1e-3


@torch.no_grad()
def test_a_picture_may_come_as_one_frame():
    network = small().eval()
    mel, mfcc = pictures()
    frames = [Padded(p.values[:, None], torch.ones(4, dtype=torch.int64)) for p in (mel, mfcc)]
    assert torch.equal(network(tuple(frames)), network((mel, mfcc)))


def test_without_weights_nothing_is_frozen_and_a_warning_says_so():
    with pytest.warns(UserWarning, match="no ImageNet weights of VGG-19.*Nothing is frozen"):
        network = build(weights="")
    assert all(p.requires_grad for p in network.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = build(weights="none")
    assert all(p.requires_grad for p in network.parameters())


def test_weights_in_the_cache_of_torch_are_found(weights_file, tmp_path):
    place = tmp_path / "torch" / "hub" / "checkpoints"
    place.mkdir(parents=True)
    shutil.copy(weights_file, place / CACHED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = imagenet_weights("")
    assert torch.equal(found["0.weight"], torch.load(weights_file, weights_only=True)["features.0.weight"])


def test_safetensors_will_do_too(weights_file, tmp_path):
    content = torch.load(weights_file, weights_only=True)
    save_file(content, tmp_path / "vgg19.safetensors")
    found = imagenet_weights(str(tmp_path / "vgg19.safetensors"))
    assert {f"features.{name}" for name in found} == set(content) - {"classifier.6.bias"}
    assert torch.equal(found["34.weight"], content["features.34.weight"])


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_weights_is_refused_and_not_run(tmp_path):
    torch.save({"features.0.weight": Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(BadModel, match=r"asks for posix\.mkdir"):
        build(weights=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_those_of_vgg19_are_refused(weights_file, tmp_path):
    content = torch.load(weights_file, weights_only=True)
    lacking = {k: v for k, v in content.items() if k != "features.21.bias"}
    other = {**content, "features.0.weight": torch.zeros(64, 1, 3, 3)}
    broken = {**content, "features.0.bias": torch.full((64,), torch.nan)}
    for wrong, message in [
        (lacking, "features.21.bias is missing"),
        (other, r"features.0.weight is torch.float32 \[64, 1, 3, 3\]"),
        (broken, "NaN"),
        ([1, 2], "no tensors by name"),
        ({"model": torch.zeros(3)}, "holds no VGG-19"),
    ]:
        torch.save(wrong, tmp_path / "wrong.pth")
        with pytest.raises(BadModel, match=message):
            imagenet_weights(str(tmp_path / "wrong.pth"))
    (tmp_path / "cut.pth").write_bytes(weights_file.read_bytes()[:1000])
    with pytest.raises(BadModel, match="cut short or damaged"):
        imagenet_weights(str(tmp_path / "cut.pth"))
    with pytest.raises(MissingInput, match="weights of VGG-19 not found"):
        imagenet_weights(str(tmp_path / "none.pth"))


def test_a_saved_network_needs_no_weights_from_outside(weights_file, tmp_path):
    shutil.copy(weights_file, tmp_path / "vgg19.pth")
    network = build(weights=str(tmp_path / "vgg19.pth")).eval()
    (tmp_path / "vgg19.pth").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = build(weights=str(tmp_path / "vgg19.pth"), **network.rebuilt_with).eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(again(pictures()), network(pictures()))
    assert own(again, False, "mfcc.") == FROZEN
    assert json.loads(json.dumps(network.rebuilt_with)) == network.rebuilt_with


def test_it_learns_and_is_the_same_to_the_bit_after_saving(tmp_path):
    rng = np.random.default_rng(0)
    X, y = np.empty(6, object), np.arange(6) % 3
    for row in range(6):
        colour = np.array([y[row] / 2, 0.5, 1 - y[row] / 2])
        X[row] = tuple((0.8 * colour + 0.2 * rng.random((32, 32, 3))).astype(np.float32) for _ in range(2))
    kind = replace(KIND, build=lambda shapes, classes, settings: small(frozen=3))
    given = {"epochs": 20, "batch": 6, "held_out": 0.0, "lr": 0.05}
    classifier = NetworkClassifier(kind, {**all_settings(KIND), **given}, 0).fit(X, y)
    assert classifier.curve[-1]["loss"] < 0.5 * classifier.curve[0]["loss"]
    start, state = small().state_dict(), classifier.network.state_dict()
    for name in ("mel.features.0.weight", "mfcc.features.0.bias"):
        assert torch.equal(state[name], start[name])
    assert not torch.equal(state["mfcc.features.3.weight"], start["mfcc.features.3.weight"])
    classifier.save(tmp_path)
    loaded = NetworkClassifier.load(kind, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen_blocks": 6}, "set it to 0 to 5"),
        ({"latent": "product"}, "latent='product' does not exist"),
        ({"similarity": "euclid"}, "similarity='euclid' does not exist"),
        ({"shapes": [(None, 32, 3)]}, "reads 2 x colour_image"),
        ({"shapes": [(None, 32), (None, 32)]}, "reads 2 x colour_image"),
        ({"shapes": [(None, 16, 16, 3), (None, 16, 16, 3)]}, "32 x 32 or more"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_set_instead(changes, message):
    with pytest.raises(UsageError, match=message):
        build(**changes)
