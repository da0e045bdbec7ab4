"""Masked normalisation, convolution and pooling."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ser_ray.models.networks.parts import (
    ConvBlock,
    MaskedBatchNorm,
    MaskedMaxPool,
)
from tests.models.networks.batches import frames_last, in_a_row

# masked batch normalisation


@pytest.mark.parametrize("axes", [(4,), (4, 5)])
def test_masked_norm_is_torchs_own_on_the_valid_frames_and_remembers_no_padding(axes):
    ours = MaskedBatchNorm(4)
    theirs = nn.BatchNorm1d(4) if len(axes) == 1 else nn.BatchNorm2d(4)
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0, -1.0]))
            norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 3.0]))
    for seed in range(3):
        values, lengths = frames_last([7, 2, 5], *axes, seed=seed)
        values.requires_grad_()
        row = in_a_row(values, lengths).detach().requires_grad_()
        got, expected = in_a_row(ours(values, lengths), lengths), theirs(row)
        assert torch.allclose(got, expected, atol=1e-5)
        for norm in (ours, theirs):
            norm.zero_grad()
        got.pow(3).sum().backward()
        expected.pow(3).sum().backward()
        assert torch.allclose(in_a_row(values.grad, lengths), row.grad, atol=1e-4)
        assert torch.allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-4)
        assert torch.allclose(ours.bias.grad, theirs.bias.grad, rtol=1e-4)
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-5)
    values, lengths = frames_last([7, 2, 5], *axes, seed=9)
    single = in_a_row(ours.eval()(values, lengths), lengths)
    assert torch.allclose(single, theirs.eval()(in_a_row(values, lengths)), atol=1e-6)


def test_masked_norm_of_full_batches_takes_the_same_values_either_way():
    fast, slow = MaskedBatchNorm(4), MaskedBatchNorm(4)
    values = torch.randn(3, 4, 6) * 3 + 1
    lengths = torch.full((3,), 6)
    got = fast(values, lengths)
    assert torch.allclose(got, slow._over_valid(values, torch.ones(3, 1, 6, dtype=torch.bool)), atol=1e-5)
    assert torch.allclose(fast.running_mean, slow.running_mean, atol=1e-6)
    assert torch.allclose(fast.running_var, slow.running_var, atol=1e-6)


def test_masked_norm_of_a_single_value_gives_the_bias_and_keeps_the_variance():
    norm = MaskedBatchNorm(2)
    with torch.no_grad():
        norm.bias.fill_(0.25)
    got = norm(torch.tensor([[[5.0], [6.0]]]), torch.tensor([1]))
    assert torch.equal(got, torch.full((1, 2, 1), 0.25))
    assert torch.equal(norm.running_var, torch.ones(2))
    assert torch.allclose(norm.running_mean, torch.tensor([0.5, 0.6]))


def test_masked_norm_takes_its_moments_in_full_precision():
    values = (torch.randn(2, 1, 4000) + 200).bfloat16()  # sums far beyond the precision of bfloat16
    lengths = torch.tensor([4000, 3000])
    norm = MaskedBatchNorm(1)
    got = norm(values, lengths)
    assert got.dtype == torch.bfloat16
    row = in_a_row(values.double(), lengths)
    assert norm.running_mean.item() == pytest.approx(0.1 * row.mean().item(), rel=1e-4)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * row.var().item(), rel=1e-3)


# convolution and pooling


def trained_block(*arguments, **settings) -> ConvBlock:
    """A block in evaluation whose running statistics are not those of the start."""
    torch.manual_seed(1)
    block = ConvBlock(*arguments, **settings)
    with torch.no_grad():
        block.normalisation.running_mean.uniform_(-0.5, 0.5)
        block.normalisation.running_var.uniform_(0.5, 2.0)
        block.normalisation.bias.uniform_(0.5, 1.0)  # padding would turn out positive
    return block.eval()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 4),
    st.booleans(),
)
def test_conv_block_gives_each_utterance_what_it_gives_it_alone(lengths, kernel, stride, pool, image):
    block = trained_block(2, 3, (3, kernel) if image else kernel, stride=stride, pool=pool)
    values, count = frames_last(lengths, 2, 5) if image else frames_last(lengths, 2)
    together, after = block(values, count)
    assert after.tolist() == [math.ceil(math.ceil(n / stride) / pool) for n in lengths]
    for row, length, left, own in zip(values, lengths, after, together, strict=True):
        alone, _ = block(row[None, ..., :length], torch.tensor([length]))
        assert alone.shape[-1] == left
        assert torch.allclose(own[..., :left], alone[0], atol=1e-5)
        assert torch.count_nonzero(own[..., left:]) == 0


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [1, 4, 5, 10])
def test_conv_block_is_conv_norm_relu_and_pooling_of_torch(kernel):
    block = trained_block(2, 3, kernel, pool=2)
    values = torch.randn(2, 2, 16)
    got, _ = block(values, torch.tensor([16, 16]))
    convolved = nn.functional.conv1d(values, block.convolution.weight, padding="same")
    norm = block.normalisation
    normed = nn.functional.batch_norm(
        convolved, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5
    )
    assert torch.allclose(got, nn.functional.max_pool1d(normed.relu(), 2), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_conv_block_over_columns_is_that_of_torch():
    block = trained_block(2, 3, (4, 10), pool=2)
    values = torch.randn(2, 2, 6, 16)
    got, _ = block(values, torch.tensor([16, 16]))
    convolved = nn.functional.conv2d(values, block.convolution.weight, padding="same")
    norm = block.normalisation
    normed = nn.functional.batch_norm(
        convolved, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5
    )
    assert torch.allclose(got, nn.functional.max_pool2d(normed.relu(), 2), atol=1e-6)


def test_strided_convolution_is_centred_on_its_stride():
    block = ConvBlock(1, 1, 8, stride=4).eval()
    wave = torch.zeros(1, 1, 40)
    wave[..., 21] = 1.0  # in the stride 20..23, the sixth
    with torch.no_grad():
        block.convolution.weight.copy_(torch.tensor([0.0, 0, 1, 1, 1, 1, 0, 0]))  # its own four samples
    got, _ = block(wave, torch.tensor([40]))
    assert torch.nonzero(got[0, 0]).flatten().tolist() == [5]


def test_max_pool_never_takes_padding_and_keeps_the_last_part_of_a_window():
    values = torch.tensor([[[-5.0, -4.0, -3.0, 0.0, 0.0]], [[-1.0, 9.0, 9.0, 9.0, 9.0]]])
    pooled, lengths = MaskedMaxPool(2)(values, torch.tensor([3, 1]))
    assert pooled.tolist() == [[[-4.0, -3.0, 0.0]], [[-1.0, 0.0, 0.0]]]
    assert lengths.tolist() == [2, 1]


def test_max_pool_shrinks_columns_alike_and_never_to_none():
    values = torch.arange(6.0).reshape(1, 1, 3, 2)
    pooled, lengths = MaskedMaxPool(4)(values, torch.tensor([1]))
    assert pooled.tolist() == [[[[4.0]]]]
    assert lengths.tolist() == [1]
