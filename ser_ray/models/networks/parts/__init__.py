"""What networks are built from. Every part knows how long each utterance is.

Recurrent layers and poolings take [batch, frames, columns], convolutions [batch, channels, frames] or
[batch, channels, columns, frames]; beside the values go the lengths, int64 [batch], at least 1. What lies
beyond an utterance's length never reaches what lies within. Lengths may be on any device; on the CPU,
where `Window` puts them, no part has to wait for an accelerator to know them.
"""

from ser_ray.models.networks.parts.convolution import ConvBlock, ConvStack, MaskedBatchNorm, MaskedMaxPool
from ser_ray.models.networks.parts.head import SequenceHead, dense
from ser_ray.models.networks.parts.masking import shortened, silenced, silenced_frames
from ser_ray.models.networks.parts.pooling import (
    POOLINGS,
    Attention,
    Pooling,
    last_valid,
    masked_max,
    masked_mean,
    masked_mean_std,
)
from ser_ray.models.networks.parts.recurrence import CELLS, Recurrent
from ser_ray.models.networks.parts.settings import columns_of, one_of, positive, share, widths
from ser_ray.models.networks.parts.window import FrameStack, Window

__all__ = [
    "CELLS",
    "POOLINGS",
    "Attention",
    "ConvBlock",
    "ConvStack",
    "FrameStack",
    "MaskedBatchNorm",
    "MaskedMaxPool",
    "Pooling",
    "Recurrent",
    "SequenceHead",
    "Window",
    "columns_of",
    "dense",
    "last_valid",
    "masked_max",
    "masked_mean",
    "masked_mean_std",
    "one_of",
    "positive",
    "share",
    "shortened",
    "silenced",
    "silenced_frames",
    "widths",
]
