from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

from ser_ray import features
from ser_ray.errors import UsageError
from ser_ray.models.networks import cnn1d, cnn2d, fully_connected, recurrent
from ser_ray.models.networks.loop import LoopOptions
from ser_ray.models.networks.network import NetworkKind, Padded
from ser_ray.models.networks.parts import POOLINGS, MaskedBatchNorm

KINDS = {k.name: k for m in (fully_connected, recurrent, cnn1d, cnn2d) for k in m.NETWORKS}
NINE = [name for name in KINDS if name not in ("mlp", "simple_rnn")]
COLUMNS = 12
every_network = pytest.mark.parametrize("name", list(KINDS))
LENGTHS = [60, 43, 40, 25, 9, 2, 1]


def build(name: str, columns: int = COLUMNS, classes: int = 3, **changes: Any) -> nn.Module:
    """The network on windows of 40 frames, so that tests are quick."""
    defaults = {**KINDS[name].defaults}
    window = {"start": 5, "frames": 40} if "frames" in defaults else {}
    assert not set(changes) - set(defaults)
    torch.manual_seed(0)
    return KINDS[name].build([(None, columns)], classes, {**defaults, **window, **changes})


def batch(lengths: list[int], beyond: float = 0.0, extra: int = 0, seed: int = 0) -> Padded:
    """The same utterances whatever lies beyond them."""
    drawn = torch.randn(len(lengths), 80, COLUMNS, generator=torch.Generator().manual_seed(seed))
    values = drawn[:, : max(lengths) + extra].clone()
    for row, length in zip(values, lengths, strict=True):
        row[length:] = beyond
    return Padded(values, torch.tensor(lengths))


def warmed(network: nn.Module) -> nn.Module:
    """In evaluation, with the running statistics of a batch and logits that differ by about one."""
    for module in network.modules():
        if isinstance(module, MaskedBatchNorm):
            module.momentum = 1.0
    inputs = (batch([50, 30, 44, 45], seed=3),)
    with torch.no_grad():
        network(inputs)
        logits = network.eval()(inputs)
        for module in network.modules():
            if isinstance(module, nn.Linear) and module.out_features == 3:
                module.weight /= logits.std(0).mean()
    return network


def test_the_nine_and_their_relatives_are_there():
    assert [
        *("fcn", "lstm", "bilstm"),
        *("cnn1d", "cnn1d_lstm", "cnn1d_bilstm"),
        *("cnn2d", "cnn2d_lstm", "cnn2d_bilstm"),
    ] == NINE
    assert set(KINDS) - set(NINE) == {"mlp", "simple_rnn"}
    for name in NINE:
        assert KINDS[name].features == ("mfcc(rate=44100,n=50,window=2048,hop=512)",)
        assert KINDS[name].defaults["start"] == 43  # 0.5 s * 44,100 / 512 = 43.07
        assert KINDS[name].defaults["frames"] == 216  # 1 + 2.5 s * 44,100 / 512 = 216.3


@every_network
def test_defaults_and_space_are_plain_data_that_network_or_loop_know(name):
    kind = KINDS[name]
    assert json.loads(json.dumps([kind.defaults, kind.space])) == [dict(kind.defaults), dict(kind.space)]
    known = set(kind.defaults) | {f.name for f in fields(LoopOptions)}
    assert set(kind.space) <= known
    for key, entry in kind.space.items():
        default = kind.defaults.get(key, getattr(LoopOptions, key, None))
        if entry["type"] == "choice":
            assert default in entry["choices"]
        else:
            assert entry["low"] <= default <= entry["high"]


@every_network
def test_network_reads_its_own_feature(name):
    shape = features.get(KINDS[name].features[0]).shape
    network = KINDS[name].build([shape], 5, KINDS[name].defaults).eval()
    frames = 1 if len(shape) == 1 else 30
    logits = network((Padded(torch.randn(2, frames, shape[-1]), torch.tensor([frames, 1])),))
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("whole", [False, True])
@every_network
def test_padding_changes_no_logit(name, whole):
    changes: dict[str, Any] = {"frames": 0} if whole and "frames" in KINDS[name].defaults else {}
    if whole and KINDS[name].defaults["pooling"] == "flatten":
        changes["pooling"] = "mean_std"
    network = warmed(build(name, **changes))
    together = network((batch(LENGTHS, beyond=1000.0, extra=7),))
    values = batch(LENGTHS).values
    for row, length, logits in zip(values, LENGTHS, together, strict=True):
        alone = network((Padded(row[None, :length], torch.tensor([length])),))
        assert torch.allclose(logits, alone[0], atol=1e-5)
    assert together.std(0).min() > 0.2  # utterances differ, so do their logits


@every_network
def test_every_pooling_that_a_network_may_be_tuned_to_is_blind_to_padding(name):
    for pooling in KINDS[name].space.get("pooling", {"choices": POOLINGS})["choices"]:
        if name == "mlp" and pooling == "flatten":
            continue
        network = warmed(build(name, pooling=pooling))
        together = network((batch([50, 9], beyond=1000.0, extra=3),))
        alone = network((Padded(batch([50, 9]).values[1:, :9], torch.tensor([9])),))
        assert torch.allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "mlp"])
def test_only_the_window_counts(name):
    network = warmed(build(name))
    heard = batch([60])
    before = network((heard,))
    heard.values[:, :5] = 7.0
    heard.values[:, 45:] = -7.0
    assert torch.equal(network((heard,)), before)
    heard.values[:, 44] = 7.0
    assert not torch.allclose(network((heard,)), before, atol=1e-3)


@every_network
def test_gradient_reaches_every_parameter(name):
    network = build(name, dropout=0.0)
    network((batch([50, 44, 9, 30]),)).square().sum().backward()
    for parameter, values in network.named_parameters():
        assert values.grad is not None, parameter
        assert values.grad.abs().max() > 0, parameter


@every_network
def test_a_few_utterances_are_learned_by_heart(name):
    changes = {k: 0.0 for k in ("dropout", "block_dropout") if k in KINDS[name].defaults}
    network = build(name, **changes)
    inputs, targets = (batch([45, 30, 50, 20, 45, 45]),), torch.tensor([0, 1, 2, 0, 1, 2])
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.5
    assert losses[-1] < 0.05
    assert network.eval()(inputs).argmax(1).tolist() == targets.tolist()


@every_network
def test_the_same_seed_builds_and_trains_the_same_network(name):
    def trained(seed: int) -> torch.Tensor:
        network = build(name)
        torch.manual_seed(seed)  # of dropout
        network((batch([50, 30]),)).sum().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.01 * parameter.grad
        return network.eval()((batch([45, 12]),))

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


OTHERWISE = {
    **{"start": 2, "frames": 33, "frame_stack": 2, "kernel": 3, "kernel_columns": 3, "kernel_frames": 4},
    **{"units": 16, "layers": 2, "cell": "gru", "channels": "8-16", "hidden": "16-8", "pooling": "max"},
    **{"dropout": 0.6, "block_dropout": 0.6},
}


@every_network
def test_no_setting_is_without_effect(name):
    def signature(**changes: Any) -> torch.Tensor:
        network = build(name, **changes)
        torch.manual_seed(1)  # of dropout, which acts in training only
        return network((batch([60, 44, 50]),))

    same = signature()
    assert torch.equal(signature(), same)
    for setting in set(KINDS[name].defaults) - {field.name for field in fields(LoopOptions)}:
        assert not torch.equal(signature(**{setting: OTHERWISE[setting]}), same), setting


LSTM = 4 * 128 * (50 + 128 + 2)
CONV1D = 5 * (50 * 64 + 64 * 128 + 128 * 256) + 2 * (64 + 128 + 256)
CONV2D = 40 * (32 + 3 * 32 * 32) + 4 * 2 * 32


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("fcn", (216 * 50 + 1) * 512 + 513 * 256 + 257 * 128 + 129 * 5),
        ("mlp", 51 * 256 + 257 * 128 + 129 * 5),
        ("lstm", LSTM + 129 * 5),
        ("bilstm", 2 * LSTM + 257 * 5),
        ("simple_rnn", 128 * (4 * 50 + 128 + 2) + 129 * 5),
        ("cnn1d", CONV1D + 257 * 5),
        ("cnn1d_lstm", CONV1D + 4 * 128 * (256 + 128 + 2) + 129 * 5),
        ("cnn1d_bilstm", CONV1D + 2 * 4 * 128 * (256 + 128 + 2) + 257 * 5),
        ("cnn2d", CONV2D + (32 * 4 * 14 + 1) * 64 + 2 * 64 + 65 * 5),  # 50 x 216 halved four times: 4 x 14
        ("cnn2d_lstm", CONV2D + 4 * 128 * (32 * 4 + 128 + 2) + 129 * 64 + 2 * 64 + 65 * 5),
        ("cnn2d_bilstm", CONV2D + 2 * 4 * 128 * (32 * 4 + 128 + 2) + 257 * 64 + 2 * 64 + 65 * 5),
    ],
)
def test_networks_are_as_large_as_their_layers(name, count):
    network = KINDS[name].build([(None, 50)], 5, KINDS[name].defaults)
    assert sum(p.numel() for p in network.parameters()) == count


def tensors(name: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in build(name).state_dict().items()}


@pytest.mark.parametrize("one", ["lstm", "cnn1d_lstm", "cnn2d_lstm"])
def test_a_bilstm_differs_from_its_lstm_by_the_direction_only(one):
    both = one.replace("lstm", "bilstm")
    there, here = tensors(both), tensors(one)
    assert {k for k in there if k not in here} == {
        f"head.recurrent.layer.{k}_l0_reverse" for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    wider = {k for k in here if there[k] != here[k]}
    assert wider == ({"head.hidden.0.weight"} if one == "cnn2d_lstm" else {"head.logits.weight"})
    assert KINDS[one].defaults == KINDS[both].defaults
    assert KINDS[one].space == KINDS[both].space


@pytest.mark.parametrize("cnn", ["cnn1d", "cnn2d"])
def test_an_lstm_behind_convolutions_leaves_all_else_as_it_is(cnn):
    plain, hybrid = tensors(cnn), tensors(f"{cnn}_lstm")
    assert {k for k in hybrid if k not in plain} == {
        f"head.recurrent.layer.{k}_l0" for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    first = "head.hidden.0.weight" if cnn == "cnn2d" else "head.logits.weight"
    assert {k for k in plain if plain[k] != hybrid[k]} <= {first}
    defaults = {**KINDS[f"{cnn}_lstm"].defaults}
    assert defaults.pop("units") == 128
    assert {**defaults, "pooling": 0} == {**KINDS[cnn].defaults, "pooling": 0}


def test_the_recurrent_networks_of_one_name_share_their_cell():
    for name, cell in [("lstm", nn.LSTM), ("simple_rnn", nn.RNN), ("cnn2d_bilstm", nn.LSTM)]:
        layer = build(name).head.recurrent.layer
        assert type(layer) is cell
        assert layer.bidirectional == ("bilstm" in name)
    assert build("simple_rnn").head.recurrent.layer.nonlinearity == "tanh"
    assert type(build("simple_rnn", cell="gru").head.recurrent.layer) is nn.GRU


def test_mlp_reads_vectors_and_what_frames_give_on_average():
    torch.manual_seed(0)
    network = KINDS["mlp"].build([(COLUMNS,)], 3, KINDS["mlp"].defaults).eval()
    frames = batch([7])
    vector = Padded(frames.values.mean(1, keepdim=True), torch.tensor([1]))
    assert torch.allclose(network((frames,)), network((vector,)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("fcn", {"frames": 0}, "pooling='flatten' needs a fixed number of frames"),
        ("cnn1d", {"frames": 0, "pooling": "flatten"}, "Set frames, or pooling to another"),
        ("cnn2d", {"hidden": "64,32"}, "Write them like 512-256-128"),
        ("cnn1d", {"channels": "many"}, "channels='many'"),
        ("cnn1d", {"kernel": 0}, "kernel=0"),
        ("cnn2d", {"block_dropout": 1.0}, "less than 1"),
        ("lstm", {"pooling": "first"}, "pooling='first' does not exist"),
        ("lstm", {"start": -1}, "start=-1"),
        ("simple_rnn", {"cell": "transformer"}, "cell='transformer' does not exist"),
        ("mlp", {"pooling": "flatten"}, "fixed number of frames"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_what_to_set_instead(name, changes, message):
    with pytest.raises(UsageError, match=message):
        build(name, **changes)


@pytest.mark.parametrize("shapes", [[(50,)], [(3, 224, 224)], [(None, 50), (None, 40)]])
def test_features_without_frames_of_columns_are_refused(shapes):
    kind: NetworkKind = KINDS["cnn1d"]
    with pytest.raises(UsageError, match=r"reads frames of columns.*one such feature"):
        kind.build(shapes, 5, kind.defaults)
