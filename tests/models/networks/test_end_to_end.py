from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ser_ray import features
from ser_ray.errors import UsageError
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.end_to_end import NETWORKS
from ser_ray.models.networks.loop import LoopOptions
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.parts import MaskedBatchNorm
from ser_ray.models.networks.parts.framing import Framing

KINDS = {kind.name: kind for kind in NETWORKS}
SMALL = {"channels": "6-6-8-10", "units": 7}
BANDS = 24
LENGTHS = {1: [6000, 4000, 4001, 900, 401, 400, 120, 3, 1], BANDS: [60, 41, 40, 17, 2, 1]}
every_network = pytest.mark.parametrize("name", list(KINDS))
both_inputs = pytest.mark.parametrize("columns", list(LENGTHS))


def build(name: str, columns: int, **changes: Any) -> nn.Module:
    defaults = dict(KINDS[name].defaults)
    small = {k: v for k, v in SMALL.items() if k in defaults}
    torch.manual_seed(0)
    return KINDS[name].build([(None, columns)], 3, {**defaults, **small, **changes})


def batch(lengths: list[int], columns: int, beyond: float = 0.0, extra: int = 0, seed: int = 0) -> Padded:
    """The same utterances whatever lies beyond them."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(lengths), 8000 if columns == 1 else 80, columns, generator=generator)
    values = drawn[:, : max(lengths) + extra].clone()
    for row, length in zip(values, lengths, strict=True):
        row[length:] = beyond
    return Padded(values, torch.tensor(lengths))


def warmed(network: nn.Module, columns: int) -> nn.Module:
    """In evaluation, with the running statistics of a batch and logits that differ by about one."""
    for module in network.modules():
        if isinstance(module, MaskedBatchNorm):
            module.momentum = 1.0
    inputs = (batch(LENGTHS[columns][:4], columns, seed=3),)
    with torch.no_grad():
        network(inputs)
        logits = network.eval()(inputs)
        network.head.logits.weight /= logits.std(0).mean()
    return network


def test_there_are_four_and_they_read_four_seconds_of_samples():
    assert list(KINDS) == ["e2e_cnn", "e2e_cnn_bilstm", "e2e_bilstm_attention", "e2e_cnn_bilstm_attention"]
    for kind in NETWORKS:
        [spec] = kind.features
        assert features.get(spec)(np.zeros(100_000, np.float32)).shape == (64_000, 1)


@every_network
def test_defaults_and_space_are_plain_data_that_network_or_loop_know(name):
    kind = KINDS[name]
    assert json.loads(json.dumps([kind.defaults, kind.space])) == [dict(kind.defaults), dict(kind.space)]
    assert set(kind.space) <= set(kind.defaults) | {f.name for f in fields(LoopOptions)}
    for key, entry in kind.space.items():
        default = kind.defaults.get(key, getattr(LoopOptions, key, None))
        if entry["type"] == "choice":
            assert default in entry["choices"]
        else:
            assert entry["low"] <= default <= entry["high"]
    assert (kind.defaults["dropout"], all_settings(kind)["clip"], all_settings(kind)["lr"]) == (
        0.3,
        5.0,
        1e-3,
    )


@both_inputs
@every_network
def test_padding_changes_no_logit(name, columns):
    network, lengths = warmed(build(name, columns), columns), LENGTHS[columns]
    with torch.no_grad():
        together = network((batch(lengths, columns, beyond=1000.0, extra=7),))
        for row, length, logits in zip(batch(lengths, columns).values, lengths, together, strict=True):
            alone = network((Padded(row[None, :length], torch.tensor([length])),))
            assert torch.allclose(logits, alone[0], atol=1e-5)
    assert together.std(0).min() > 0.2  # utterances differ, so do their logits


@pytest.mark.parametrize("name", ["e2e_cnn", "e2e_cnn_bilstm"])
def test_every_pooling_that_a_network_may_be_tuned_to_is_blind_to_padding(name):
    for pooling in KINDS[name].space["pooling"]["choices"]:
        network = warmed(build(name, 1, pooling=pooling), 1)
        with torch.no_grad():
            together = network((batch([5000, 900], 1, beyond=1000.0, extra=3),))
            alone = network((Padded(batch([5000, 900], 1).values[1:, :900], torch.tensor([900])),))
        assert torch.allclose(together[1], alone[0], atol=1e-5), pooling


@every_network
def test_attention_and_bilstm_see_no_padding_while_training(name):
    network = build(name, 1, dropout=0.0)
    lengths = [5000, 900, 3000]
    first = network((batch(lengths, 1, beyond=1000.0, extra=70),))
    second = network((batch(lengths, 1),))
    assert torch.allclose(first, second, atol=1e-5)


def tensors(name: str, columns: int = 1) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in build(name, columns).state_dict().items()}


def part(names: dict[str, tuple[int, ...]], *prefixes: str) -> dict[str, tuple[int, ...]]:
    return {key: shape for key, shape in names.items() if key.startswith(prefixes)}


STEM, BILSTM, ATTENTION, LAST = "stem.", "head.recurrent.", "head.pooling.attention.", "head.logits."


@both_inputs
def test_the_four_differ_only_in_the_parts_that_they_are_named_after(columns):
    found = {name: tensors(name, columns) for name in KINDS}
    for name, names in found.items():
        assert part(names, STEM, BILSTM, ATTENTION, LAST) == names
        assert bool(part(names, STEM)) == ("cnn" in name)
        assert bool(part(names, BILSTM)) == ("bilstm" in name)
        assert bool(part(names, ATTENTION)) == ("attention" in name)
    full = found["e2e_cnn_bilstm_attention"]
    assert found["e2e_cnn_bilstm"] == part(full, STEM, BILSTM, LAST)
    assert part(found["e2e_cnn"], STEM) == part(full, STEM)
    without_cnn = found["e2e_bilstm_attention"]
    assert part(without_cnn, ATTENTION, LAST) == part(full, ATTENTION, LAST)
    wider = {key for key, shape in part(full, BILSTM).items() if without_cnn[key] != shape}
    assert wider == {f"head.recurrent.layer.weight_ih_l0{way}" for way in ("", "_reverse")}


CONVOLUTIONS = 64 * 80 + 3 * (64 * 64 + 64 * 128 + 128 * 256) + 2 * (64 + 64 + 128 + 256)
ATTENTIVE = 256 * 128 + 128 + 128


def bilstm(columns: int) -> int:
    return 2 * 4 * 128 * (columns + 128 + 2)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("e2e_cnn", CONVOLUTIONS + 257 * 7),
        ("e2e_cnn_bilstm", CONVOLUTIONS + bilstm(256) + 257 * 7),
        ("e2e_bilstm_attention", bilstm(400) + ATTENTIVE + 257 * 7),
        ("e2e_cnn_bilstm_attention", CONVOLUTIONS + bilstm(256) + ATTENTIVE + 257 * 7),
    ],
)
def test_networks_are_as_large_as_their_layers(name, count):
    network = KINDS[name].build([(None, 1)], 7, KINDS[name].defaults)
    assert sum(p.numel() for p in network.parameters()) == count


def test_four_seconds_become_frames_of_32_ms_by_convolution_and_of_10_ms_without():
    wave, length = torch.randn(1, 64_000, 1), torch.tensor([64_000])
    frames, counts = KINDS["e2e_cnn"].build([(None, 1)], 2, KINDS["e2e_cnn"].defaults).stem(wave, length)
    assert (frames.shape, counts.item()) == ((1, 125, 256), 125)
    raw = KINDS["e2e_bilstm_attention"]
    frames, counts = raw.build([(None, 1)], 2, raw.defaults).stem(wave, length)
    assert (frames.shape, counts.item()) == ((1, 399, 400), 399)
    assert torch.equal(frames[0, 3], wave[0, 480:880, 0])


@pytest.mark.parametrize("steps", [1, 4, 5, 9, 10, 11, 23])
def test_frames_cover_every_step_once_a_hop(steps):
    values = torch.arange(1.0, 61.0).reshape(1, 30, 2)
    frames, counts = Framing(2, window=5, hop=3)(values, torch.tensor([steps]))
    assert frames.shape == (1, counts.item(), 10)
    assert counts.item() == 1 + max(0, -(-(steps - 5) // 3))
    for number, frame in enumerate(frames[0]):
        expected = np.zeros((5, 2), np.float32)
        inside = values[0, number * 3 : min(number * 3 + 5, steps)].numpy()
        expected[: len(inside)] = inside
        np.testing.assert_array_equal(frame, expected.flatten())


def test_frames_of_a_spectrogram_are_left_as_they_are():
    network = build("e2e_bilstm_attention", BANDS)
    padded = batch([30, 12], BANDS)
    frames, counts = network.stem(*padded)
    assert torch.equal(frames, padded.values)
    assert counts.tolist() == [30, 12]


@both_inputs
@every_network
def test_a_few_utterances_are_learned_by_heart(name, columns):
    network = build(name, columns, dropout=0.0)
    lengths = [3000, 2500, 2000, 3000] if columns == 1 else [40, 30, 20, 40]
    inputs, targets = (batch(lengths, columns),), torch.tensor([0, 1, 2, 0])
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad.abs().max() > 0 for p in network.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.5
    assert losses[-1] < 0.2


@every_network
def test_a_saved_network_is_the_same_to_the_bit(name, tmp_path):
    small = {k: v for k, v in SMALL.items() if k in KINDS[name].defaults}
    rng = np.random.default_rng(0)
    X = np.empty(8, object)
    for row in range(8):
        X[row] = rng.normal(0, 0.1, (1000 + 100 * row, 1)).astype(np.float32)
    settings = {**all_settings(KINDS[name]), **small, "epochs": 1, "batch": 4}
    classifier = NetworkClassifier(KINDS[name], settings, 0).fit(X, np.arange(8) % 2)
    classifier.save(tmp_path)
    loaded = NetworkClassifier.load(KINDS[name], tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("e2e_cnn", {"channels": "64,64"}, "Write them like 512-256-128"),
        ("e2e_cnn", {"kernel": 0}, "kernel=0"),
        ("e2e_cnn", {"stride": 0}, "stride=0"),
        ("e2e_cnn", {"pooling": "first"}, "does not exist"),
        ("e2e_bilstm_attention", {"window": 0}, "window=0"),
        ("e2e_bilstm_attention", {"hop": 0}, "hop=0"),
        ("e2e_cnn_bilstm", {"units": 0}, "units=0"),
        ("e2e_cnn_bilstm_attention", {"dropout": 1.0}, "less than 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_what_to_set_instead(name, changes, message):
    with pytest.raises(UsageError, match=message):
        build(name, 1, **changes)


@pytest.mark.parametrize("shapes", [[(50,)], [(None, 224, 3)], [(None, 1), (None, 1)]])
def test_features_without_frames_of_columns_are_refused(shapes):
    with pytest.raises(UsageError, match=r"reads frames of columns.*one such feature"):
        KINDS["e2e_cnn"].build(shapes, 5, KINDS["e2e_cnn"].defaults)
