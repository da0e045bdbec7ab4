"""Convolutions over time, and over columns and time, that padding does not reach."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.models.networks import workers
from ser_ray.models.networks.parts.masking import shortened, silenced, within
from ser_ray.models.networks.parts.settings import positive, share


class MaskedBatchNorm(nn.Module):
    """Batch normalisation of each channel (Ioffe and Szegedy, 2015), over valid frames only.

    Equal to `torch.nn.BatchNorm1d` and `BatchNorm2d` on the valid frames put in a row, running statistics
    included; of several workers, on the frames of all their shares. A batch with one value a channel, which
    torch refuses, leaves the running variance as it is.

    Args:
        channels: second axis of the input.
        eps: added to the variance.
        momentum: share of a new batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """[batch, channels, ..., frames] -> the same; what lies beyond a length is not zero."""
        if not self.training:
            mean, variance = self.running_mean, self.running_var
            return functional.batch_norm(values, mean, variance, self.weight, self.bias, eps=self.eps)
        alone = workers.world() == 1
        if alone and int(lengths.min()) >= values.shape[-1] and values.numel() > values.shape[1]:
            mean, variance = self.running_mean, self.running_var
            return functional.batch_norm(
                values, mean, variance, self.weight, self.bias, True, self.momentum, self.eps
            )  # the same, faster
        return self._over_valid(values, within(lengths, values))

    def _over_valid(self, values: Tensor, mask: Tensor) -> Tensor:
        wide = values.float()  # under autocast too, moments are taken in full precision
        axes = [0, *range(2, values.ndim)]
        count = workers.summed(mask.sum() * (values[0, 0].numel() // values.shape[-1]))
        mean = workers.summed(torch.where(mask, wide, 0.0).sum(axes, keepdim=True)) / count
        centred = wide - mean
        squares = torch.where(mask, centred, 0.0).square().sum(axes, keepdim=True)
        variance = workers.summed(squares) / count
        self._remember(mean.detach().flatten(), variance.detach().flatten(), count)
        scaled = centred * torch.rsqrt(variance + self.eps) * self.weight.reshape(mean.shape)
        return (scaled + self.bias.reshape(mean.shape)).to(values.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        unbiased = torch.where(count > 1, variance * count / (count - 1).clamp(min=1), self.running_var)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)


class MaskedMaxPool(nn.Module):
    """Maximum over `size` x `size` columns and frames, or `size` frames; never over padding.

    A part of a window at the end counts as a window, so that nothing ever shrinks to no frames at all.

    Args:
        size: of the window, and its step.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = positive("pool", size)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, channels, ..., frames] -> the same with fewer of the last axes, and its lengths."""
        if self.size == 1:
            return silenced(values, lengths), lengths
        pool = functional.max_pool1d if values.ndim == 3 else functional.max_pool2d
        lowest = torch.finfo(values.dtype).min
        pooled = pool(silenced(values, lengths, lowest), self.size, ceil_mode=True)
        after = shortened(lengths, self.size)
        return silenced(pooled, after), after


class ConvBlock(nn.Module):
    """Convolution, masked batch normalisation, ReLU, max pooling, dropout; zeros beyond each length.

    Output i of the convolution is centred on the i-th stride; frames beyond either end count as zeros.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: frames; or (columns, frames) for two dimensions.
        stride: of the convolution in frames.
        pool: size of the pooling; 1 for none.
        dropout: share of values set to zero while training.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        pool: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        positive("kernel", kernel if isinstance(kernel, int) else min(kernel))
        self.kernel = kernel
        self.stride = positive("stride", stride)
        self.convolution: nn.Module  # without a bias, which the normalisation would take away again
        if isinstance(kernel, int):
            self.convolution = nn.Conv1d(inputs, outputs, kernel, stride, bias=False)
        else:
            self.convolution = nn.Conv2d(inputs, outputs, kernel, (1, stride), bias=False)
            # Channels beside one another in memory: a third less time on CPUs, and what GPUs like in bfloat16
            weight = self.convolution.weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.normalisation = MaskedBatchNorm(outputs)
        self.pooling = MaskedMaxPool(pool)
        self.dropout = nn.Dropout(share("dropout", dropout))

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, inputs, ..., frames] -> [batch, outputs, ..., fewer frames], and its lengths."""
        lengths_after = shortened(lengths, self.stride)
        values = self.convolution(self._surrounded(silenced(values, lengths)))
        values = torch.relu(self.normalisation(values, lengths_after))
        values, lengths_after = self.pooling(values, lengths_after)
        return self.dropout(values), lengths_after

    def _surrounded(self, values: Tensor) -> Tensor:
        """With so many zeros around that there is one output for each started stride."""
        if isinstance(self.kernel, int):
            return functional.pad(values, _around(values.shape[-1], self.kernel, self.stride))
        columns, frames = self.kernel
        sides = _around(values.shape[-1], frames, self.stride) + _around(values.shape[-2], columns, 1)
        return functional.pad(values, sides)


def _around(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis; those before depend on no length, so that padding moves nothing."""
    before = max(kernel - stride, 0) // 2
    return before, max((-(-size // stride) - 1) * stride + kernel - before - size, 0)


class ConvStack(nn.Module):
    """Convolution blocks one after the other.

    Args:
        blocks: in order.
    """

    def __init__(self, *blocks: ConvBlock) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `ConvBlock`."""
        for block in self.blocks:
            values, lengths = block(values, lengths)
        return values, lengths
