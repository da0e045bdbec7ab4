"""Windows, recurrent layers, poolings and heads, and the settings that they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.errors import UsageError
from ser_ray.models.networks.parts import (
    POOLINGS,
    Attention,
    ConvBlock,
    FrameStack,
    Pooling,
    Recurrent,
    SequenceHead,
    Window,
    columns_of,
    last_valid,
    masked_max,
    masked_mean,
    masked_mean_std,
    one_of,
    share,
    silenced,
    widths,
)
from tests.models.networks.batches import JUNK, frames_first, frames_last

# windows


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(0, 12),
    st.integers(0, 20),
)
def test_window_is_a_slice_that_moves_back_where_the_utterance_ends_early(lengths, start, frames):
    values, count = frames_first(lengths)
    got, after = Window(start, frames)(values, count)
    for row, length, own, left in zip(values, lengths, got, after.tolist(), strict=True):
        first = min(start, max(length - frames, 0)) if frames else 0
        expected = row[first:length][: frames or None]
        assert left == len(expected)
        assert torch.equal(own[:left], expected)
        assert torch.count_nonzero(own[left:]) == 0
    assert got.shape[1] == max(after)


def test_frame_stack_puts_frames_side_by_side_and_fills_the_last_step_with_zeros():
    values = torch.tensor([[[1.0], [2.0], [3.0], [JUNK]], [[4.0], [JUNK], [JUNK], [JUNK]]])
    steps, lengths = FrameStack(2)(values, torch.tensor([3, 1]))
    assert steps.tolist() == [[[1.0, 2.0], [3.0, 0.0]], [[4.0, 0.0], [0.0, 0.0]]]
    assert lengths.tolist() == [2, 1]


def test_silenced_keeps_what_is_within_and_fills_the_rest():
    values, lengths = frames_last([2, 4], 3)
    got = silenced(values, lengths, -1.0)
    assert torch.equal(got[0, :, :2], values[0, :, :2])
    assert torch.equal(got[1, :, :4], values[1, :, :4])
    assert (got[0, :, 2:] == -1.0).all()
    assert (got[1, :, 4:] == -1.0).all()


# recurrent layers


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_reads_valid_frames_only_and_its_last_state_is_the_last_valid_one(
    cell, bidirectional, layers
):
    torch.manual_seed(0)
    layer = Recurrent(3, 4, cell, bidirectional, layers)
    values, lengths = frames_first([5, 9, 1])
    states, last = layer(values, lengths)
    assert states.shape == (3, 12, layer.columns)
    assert last.shape == (3, layer.columns)
    for row, length, own, end in zip(values, lengths, states, last, strict=True):
        alone, _ = layer.layer(row[None, :length])
        assert torch.allclose(own[:length], alone[0], atol=1e-6)
        assert torch.count_nonzero(own[length:]) == 0
        assert torch.allclose(end[:4], alone[0, -1, :4], atol=1e-6)
        assert torch.allclose(end[4:], alone[0, 0, 4:], atol=1e-6)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_learns_from_padded_sequences_what_it_learns_from_packed_ones(cell):
    torch.manual_seed(0)
    layer = Recurrent(3, 4, cell, bidirectional=True, layers=2)
    values, lengths = frames_first([5, 9, 1])
    values = torch.where(values == JUNK, 0.0, values).requires_grad_()
    weight = torch.randn(3, 12, 8)
    wanted, found = (
        torch.autograd.grad((run(values, lengths) * weight).sum(), [values, *layer.parameters()])
        for run in (layer._packed, layer._turned)
    )
    for one, other in zip(wanted, found, strict=True):
        assert torch.count_nonzero(one)
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_recurrent_starts_orthogonal_with_open_forget_gates(cell, gates):
    layer = Recurrent(6, 5, cell, bidirectional=True).layer
    for name in ("weight_hh_l0", "weight_hh_l0_reverse"):
        for gate in getattr(layer, name).chunk(gates):
            assert torch.allclose(gate @ gate.T, torch.eye(5), atol=1e-5)
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    forget = [0.0] * 5 + [1.0] * 5 + [0.0] * 10
    assert bias.tolist() == (forget if cell == "lstm" else [0.0] * 5 * gates)


# poolings


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (last_valid, lambda x: x[-1]),
        (masked_mean, lambda x: x.mean(0)),
        (masked_max, lambda x: x.max(0)),
        (masked_mean_std, lambda x: np.concatenate([x.mean(0), np.sqrt(x.var(0) + 1e-5)])),
    ],
)
def test_poolings_are_those_of_the_valid_frames(pool, expected):
    values, lengths = frames_first([4, 1, 7])
    values[0, :4] -= 50  # below zero, where a maximum over filled frames would be wrong
    for got, row, length in zip(pool(values, lengths), values.numpy(), lengths, strict=True):
        assert got.numpy() == pytest.approx(expected(row[:length].astype(np.float64)), abs=1e-4)


def test_deviation_of_a_constant_column_has_a_finite_gradient():
    values = torch.ones(1, 5, 2, requires_grad=True)
    masked_mean_std(values, torch.tensor([3])).sum().backward()
    assert torch.isfinite(values.grad).all()


def test_attention_weighs_padding_by_zero_and_sums_to_one():
    torch.manual_seed(0)
    attention = Attention(3, units=8)
    values, lengths = frames_first([4, 1, 7])
    weights = attention.weights(values, lengths)
    got = attention(values, lengths)
    assert torch.allclose(weights.sum(1), torch.ones(3), atol=1e-6)
    for row, length, own, context in zip(values, lengths, weights, got, strict=True):
        assert torch.count_nonzero(own[length:]) == 0
        assert (own[:length] > 0).all()
        assert torch.allclose(context, own[:length] @ row[:length], atol=1e-5)
    assert weights[0, :4].std() > 0.01  # frames differ, so do their weights


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_head_gives_each_utterance_what_it_gives_it_alone(kind, recurrent):
    torch.manual_seed(0)
    layer = Recurrent(3, 4, bidirectional=True) if recurrent else None
    head = SequenceHead(3, 2, kind, layer, frames=12, dropout=0.5, hidden=(6,)).eval()
    assert head.logits.weight.shape == (2, 6)
    values, lengths = frames_first([4, 1, 9])
    together = head(values, lengths)
    for row, length, own in zip(values, lengths, together, strict=True):
        alone = head(row[None, :length], torch.tensor([length]))
        assert torch.allclose(own, alone[0], atol=1e-6)


def test_head_reads_the_last_state_of_both_directions():
    torch.manual_seed(0)
    layer = Recurrent(3, 4, bidirectional=True)
    head = SequenceHead(3, 2, "last", layer).eval()
    values, lengths = frames_first([4, 6])
    assert torch.allclose(head(values, lengths), head.logits(layer(values, lengths)[1]), atol=1e-6)


def test_flatten_puts_frames_in_a_row_and_fills_up_to_the_fixed_number():
    values = torch.tensor([[[1.0, 2.0], [JUNK, JUNK]], [[3.0, 4.0], [5.0, 6.0]]])
    got = Pooling("flatten", 2, frames=3)(values, torch.tensor([1, 2]))
    assert got.tolist() == [[1.0, 2.0, 0, 0, 0, 0], [3.0, 4.0, 5.0, 6.0, 0, 0]]


# what is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Pooling("flatten", 3), "fixed number of frames"),
        (lambda: Pooling("median", 3), "pooling='median'.*last, mean, max, mean_std, attention, flatten"),
        (lambda: Recurrent(3, 4, cell="transformer"), "cell='transformer'.*rnn, gru, lstm"),
        (lambda: Recurrent(3, 0), "units=0"),
        (lambda: Recurrent(3, 4, layers=0), "layers=0"),
        (lambda: ConvBlock(1, 2, 0), "kernel=0"),
        (lambda: ConvBlock(1, 2, (4, 0)), "kernel=0"),
        (lambda: ConvBlock(1, 2, 3, dropout=1.5), "dropout=1.5"),
        (lambda: Window(-1, 5), "start=-1"),
        (lambda: FrameStack(0), "frame_stack=0"),
        (lambda: widths("hidden", "512,256"), "hidden='512,256'.*512-256-128"),
        (lambda: widths("hidden", "512--256"), "hidden='512--256'"),
        (lambda: widths("hidden", ""), "hidden=''"),
        (lambda: widths("hidden", "64-0"), "hidden=0"),
        (lambda: share("dropout", 1.0), "dropout=1.0"),
        (lambda: one_of("cell", "x", ("a", "b")), "one of: a, b"),
        (lambda: columns_of([(5,)]), "frames of columns"),
        (lambda: columns_of([(None, 5), (None, 5)]), "one such feature"),
        (lambda: columns_of([(3, 224, 224)], vectors=True), "a vector or frames"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_what_to_set_instead(wrong, message):
    with pytest.raises(UsageError, match=message):
        wrong()


def test_widths_of_one_layer_may_be_a_number():
    assert widths("hidden", 64) == (64,)
    assert widths("hidden", "512-256") == (512, 256)
