"""The training loop: resumed equals undisturbed, stops by UA, balances, fails loudly."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ser_ray.errors import RunFailed, UsageError
from ser_ray.models.networks.classification import Classification
from ser_ray.models.networks.data import InMemory, by_length, gather, in_order
from ser_ray.models.networks.loop import LoopOptions, train_network


class Mean(nn.Module):
    """Linear on the mean of the valid frames, with dropout, so that draws matter."""

    def __init__(self, columns=4, classes=3):
        super().__init__()
        self.dropout, self.out = nn.Dropout(0.3), nn.Linear(columns, classes)

    def forward(self, inputs):
        ((values, lengths),) = inputs
        return self.out(self.dropout(values.sum(dim=1) / lengths[:, None]))


def examples(rows=60, classes=3, seed=0):
    """Sequences of 5 to 12 frames whose mean tells the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    centres = np.eye(classes, 4) * 2
    arrays = [rng.normal(centres[k], 1, (rng.integers(5, 13), 4)).astype(np.float32) for k in y]
    return [(a,) for a in arrays], y


def network(seed=0):
    torch.manual_seed(seed)
    return Mean()


def train(net, options, state=None, report=None, seed=1, **data):
    found, y = examples()
    batches = InMemory(found, y, 3, options.batch, seed, **data)
    return train_on(net, batches, in_order(found, y), options, seed, state, report)


def train_on(net, batches, held, options, *given):
    objective = Classification(options, batches.class_counts, torch.device("cpu"))
    return train_network(net, objective, batches, held, options, *given)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


@pytest.mark.parametrize("options", [LoopOptions(epochs=6), LoopOptions(epochs=6, mixup=0.4, specaugment=1)])
def test_resumed_after_any_epoch_the_weights_are_those_of_an_undisturbed_run(options):
    states = []
    undisturbed = train(network(), options, report=lambda _, state: states.append(copy.deepcopy(state)))
    assert undisturbed.epoch == 6
    for state in states[:-1]:
        resumed = train(network(seed=9), options, copy.deepcopy(state))
        assert equal(resumed.network, undisturbed.network)
        assert resumed.curve == undisturbed.curve


def test_the_seed_decides_the_weights():
    first, again, other = (train(network(), LoopOptions(epochs=2), seed=s) for s in (1, 1, 2))
    assert equal(first.network, again.network)
    assert not equal(first.network, other.network)


def test_it_learns_and_keeps_the_weights_of_the_best_epoch():
    net = network()
    state = train(net, LoopOptions(epochs=30, lr=0.02, patience=30))
    assert state.best_merit > 0.9
    assert state.best_merit == max(row["held_out_ua"] for row in state.curve)
    assert state.curve[state.best_epoch - 1]["held_out_ua"] == state.best_merit
    assert equal(net.state_dict(), state.best)
    assert not net.training


def test_it_stops_when_patience_is_at_its_end():
    state = train(network(), LoopOptions(epochs=50, lr=1e-12, patience=3))
    assert state.epoch == state.best_epoch + 3 < 50


def test_a_loss_that_is_not_finite_ends_it_with_the_epoch():
    with pytest.raises(RunFailed, match=r"in epoch [12]\. Lower lr"):
        train(network(), LoopOptions(lr=1e30, clip=0.0, epochs=3))


def test_the_rate_rises_through_the_warm_up_and_falls_to_nothing():
    state = train(network(), LoopOptions(epochs=10, warmup=3, lr=0.01, patience=99))
    rates = [row["lr"] for row in state.curve]
    assert rates[0] < rates[1] < rates[2] < 0.01
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] < 0.001


def test_clipping_bounds_a_step():
    """AdamW divides by the gradient's size, so the bound shows in its first moment: (1 - beta1) x clip."""
    net = network()
    state = train(net, LoopOptions(epochs=1, clip=1e-3, batch=60))
    moments = [v["exp_avg"] for v in state.optimiser["state"].values()]
    assert torch.cat([m.flatten() for m in moments]).norm() == pytest.approx(0.1 * 1e-3, rel=1e-4)


def test_every_utterance_comes_once_an_epoch_in_an_order_of_its_own():
    found, y = examples(53)
    batches = InMemory(
        [(np.full((len(a), 1), k, np.float32),) for k, (a,) in enumerate(found)], y, 3, 8, seed=0
    )
    orders = []
    for epoch in (0, 1):
        rows = [int(v) for ((values, _),), _ in batches.epoch(epoch) for v in values[:, 0, 0]]
        assert sorted(rows) == list(range(53))
        orders.append(rows)
    assert orders[0] != orders[1]
    assert batches.steps == 7


def test_workers_share_every_batch_without_loss_or_repeat():
    found, y = examples(40)
    numbered = [(np.full((len(a), 1), k, np.float32),) for k, (a,) in enumerate(found)]
    shares = [InMemory(numbered, y, 3, 10, 0, rank=rank, world=2) for rank in (0, 1)]
    assert {s.steps for s in shares} == {4}
    rows = [int(v) for share in shares for ((values, _),), _ in share.epoch(0) for v in values[:, 0, 0]]
    assert sorted(rows) == list(range(40))


def test_sampling_draws_rare_classes_as_often_as_others():
    y = np.array([0] * 270 + [1] * 30)
    batches = InMemory([(np.zeros((3, 1), np.float32),)] * 300, y, 2, 30, 0, sampling=True)
    drawn = np.concatenate([wanted.numpy() for epoch in range(5) for _, wanted in batches.epoch(epoch)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.05)


def test_weights_make_a_rare_class_count_alike():
    """All inputs alike: the best constant answer is the share of each class in the loss."""
    y = np.array([0] * 45 + [1] * 15)
    constant = [(np.ones((2, 4), np.float32),)] * 60
    for balance, wanted in (("weights", 0.5), ("none", 0.75)):
        net = Mean(classes=2)
        net.dropout.p = 0.0
        batches = InMemory(constant, y, 2, 60, 0)
        options = LoopOptions(epochs=80, lr=0.1, balance=balance, patience=99, weight_decay=0.0)
        state = train_on(net, batches, None, options, 0)
        net.load_state_dict(state.network)
        with torch.inference_mode():
            p = torch.softmax(net(gather(constant[:1])), dim=1)[0, 0]
        assert float(p) == pytest.approx(wanted, abs=0.02)


def test_rows_are_batched_by_length():
    found = [(np.zeros((n, 2), np.float32),) for n in (9, 1, 5, 7, 3)]
    assert [part.tolist() for part in by_length(found, 2)] == [[1, 4], [2, 3], [0]]


def test_without_a_held_out_slice_every_epoch_is_trained_and_the_last_one_kept():
    found, y = examples()
    net, options = network(), LoopOptions(epochs=5, patience=1, batch=20)
    state = train_on(net, InMemory(found, y, 3, 20, 0), None, options, 0)
    assert (state.epoch, state.best_epoch) == (5, 5)
    assert equal(net.state_dict(), state.network)
    assert all(set(row) == {"epoch", "loss", "lr"} for row in state.curve)


def test_the_held_out_slice_is_measured_by_class():
    """Of 6 held-out utterances of two classes the network takes all for the first: UA 1/2, not 5/6."""
    net = Mean(classes=2)
    torch.nn.init.zeros_(net.out.weight)
    with torch.no_grad():
        net.out.bias[:] = torch.tensor([2.0, 0.0])
    found, y = [(np.ones((2, 4), np.float32),)] * 6, np.array([0, 0, 0, 0, 0, 1])
    options = LoopOptions(epochs=1, lr=1e-12, weight_decay=0.0)
    state = train_on(net, InMemory(found, y, 2, 6, 0), in_order(found, y), options, 0)
    assert state.best_merit == pytest.approx(0.5)
    loss = (5 * np.log(1 + np.exp(-2)) + np.log(1 + np.exp(2))) / 6
    assert state.curve[0]["held_out_loss"] == pytest.approx(loss, rel=1e-5)


def test_the_held_out_slice_is_shared_among_workers_without_loss():
    found, y = examples(13)
    parts = [in_order(found, y, rank=rank, world=3) for rank in range(3)]
    labels = [int(label) for part in parts for _, wanted in part() for label in wanted]
    assert sorted(labels) == sorted(y.tolist())
    assert [sum(len(wanted) for _, wanted in part()) for part in parts] == [5, 4, 4]
    assert list(in_order(found[:1], y[:1], rank=1, world=2)()) == []


def test_half_precision_learns_nearly_the_same():
    full, half = (
        train(network(), LoopOptions(epochs=3, precision=precision)) for precision in ("fp32", "bf16")
    )
    assert half.curve[-1]["loss"] == pytest.approx(full.curve[-1]["loss"], rel=0.02)
    assert half.curve[-1]["loss"] != full.curve[-1]["loss"]


@pytest.mark.parametrize("given", [{"precision": "fp16"}, {"balance": "no"}, {"schedule": "linear"}])
def test_an_unknown_choice_is_refused_with_those_that_there_are(given):
    (name,) = given
    with pytest.raises(UsageError, match=f"{name}=.* is none of"):
        LoopOptions(**given)
