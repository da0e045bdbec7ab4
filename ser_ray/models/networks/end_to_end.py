"""Networks that learn from samples: `e2e_cnn`, `e2e_cnn_bilstm`, `e2e_bilstm_attention`,
`e2e_cnn_bilstm_attention`.

One factory makes all four, so that they differ only in what their names say: whether convolutions or plain
frames of samples lead the way, whether a BiLSTM reads what they give, and whether attention pools it. Given
a log-mel spectrogram in place of the wave, the convolutions have two dimensions, and frames are its own.

The first convolution (80 samples, stride 4) and those behind it are after the M networks of Dai et al.
(2017), "Very deep convolutional neural networks for raw waveforms", ICASSP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from ser_ray.models.networks.network import Inputs, NetworkKind, Shape
from ser_ray.models.networks.parts import (
    ConvBlock,
    ConvStack,
    Recurrent,
    SequenceHead,
    Window,
    columns_of,
    widths,
)
from ser_ray.models.networks.parts.framing import Framing

KERNEL = 3  # of all convolutions but the first over samples
POOL, LAST_POOL = 4, 2  # of the blocks over samples
MEL_POOL = 2  # of the blocks over bands and frames


class WaveStem(nn.Module):
    """Blocks of convolutions over samples.

    Args:
        channels: of each block.
        kernel: samples that the first convolution sees at once.
        stride: of the first convolution in samples.

    Attributes:
        columns: of the output.
    """

    def __init__(self, channels: Sequence[int], kernel: int, stride: int) -> None:
        super().__init__()
        pools = [POOL] * (len(channels) - 1) + [LAST_POOL]
        first = ConvBlock(1, channels[0], kernel, stride, pools[0])
        others = [
            ConvBlock(a, b, KERNEL, pool=pool)
            for a, b, pool in zip(channels, channels[1:], pools[1:], strict=False)
        ]
        self.blocks, self.columns = ConvStack(first, *others), channels[-1]

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, samples, 1] -> [batch, frames, self.columns], and the lengths in frames."""
        values, lengths = self.blocks(values.transpose(1, 2), lengths)
        return values.transpose(1, 2), lengths


class MelStem(nn.Module):
    """Blocks of convolutions over bands and frames.

    Args:
        bands: of the spectrogram.
        channels: of each block.

    Attributes:
        columns: of the output, channels and what is left of the bands side by side.
    """

    def __init__(self, bands: int, channels: Sequence[int]) -> None:
        super().__init__()
        blocks = [
            ConvBlock(a, b, (KERNEL, KERNEL), pool=MEL_POOL)
            for a, b in zip((1, *channels), channels, strict=False)
        ]
        self.blocks = ConvStack(*blocks)
        self.columns = channels[-1] * -(-bands // MEL_POOL ** len(blocks))

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, frames, bands] -> [batch, fewer frames, self.columns], and the lengths."""
        values, lengths = self.blocks(values.transpose(1, 2).unsqueeze(1), lengths)
        return values.flatten(1, 2).transpose(1, 2), lengths


class EndToEnd(nn.Module):
    """A window of the input, a stem that makes frames of it, and a head.

    Args:
        window: what it looks at.
        stem: convolutions, or frames of samples as they are.
        head: reads what the stem gives.
    """

    def __init__(self, window: Window, stem: nn.Module, head: SequenceHead) -> None:
        super().__init__()
        self.window, self.stem, self.head = window, stem, head

    def forward(self, inputs: Inputs) -> Tensor:
        """One input, [batch, samples, 1] or [batch, frames, bands] -> logits [batch, classes]."""
        logits: Tensor = self.head(*self.stem(*self.window(*inputs[0])))
        return logits


def _build(
    shapes: Sequence[Shape],
    classes: int,
    settings: Mapping[str, Any],
    convolutions: bool,
    recurrent: bool,
    attention: bool,
) -> nn.Module:
    stem = (_convolutions if convolutions else _frames)(columns_of(shapes), settings)
    dropout = settings["dropout"]
    layer = None
    if recurrent:
        layer = Recurrent(stem.columns, settings["units"], "lstm", True, settings["layers"], dropout)
    pooling = "attention" if attention else settings["pooling"]
    head = SequenceHead(stem.columns, classes, pooling, layer, dropout=dropout)
    return EndToEnd(Window(settings["start"], settings["frames"]), stem, head)


def _convolutions(columns: int, settings: Mapping[str, Any]) -> WaveStem | MelStem:
    channels = widths("channels", settings["channels"])
    if columns == 1:
        return WaveStem(channels, settings["kernel"], settings["stride"])
    return MelStem(columns, channels)


def _frames(columns: int, settings: Mapping[str, Any]) -> Framing:
    """Of samples; those of a spectrogram are left as they are."""
    return Framing(1, settings["window"], settings["hop"]) if columns == 1 else Framing(columns, 1, 1)


_DEFAULTS: Mapping[str, Any] = {
    "start": 0,
    "frames": 0,
    "dropout": 0.3,
    "weight_decay": 0.0,  # AdamW without it is Adam
}
_SPACE = {
    "dropout": {"type": "float", "low": 0.0, "high": 0.7},
    "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
}
_PART_DEFAULTS: dict[str, Mapping[str, Any]] = {
    "cnn": {"channels": "64-64-128-256", "kernel": 80, "stride": 4},
    "framing": {"window": 400, "hop": 160},  # 25 ms every 10 ms, in samples at 16 kHz
    "bilstm": {"units": 128, "layers": 1},
}
_PART_SPACES: dict[str, Mapping[str, Any]] = {
    "cnn": {
        "channels": {"type": "choice", "choices": ["32-32-64-128", "64-64-128-256", "64-128-256-512"]},
        "kernel": {"type": "choice", "choices": [40, 80, 160]},
    },
    "framing": {},
    "bilstm": {
        "units": {"type": "choice", "choices": [64, 128, 256]},
        "layers": {"type": "int", "low": 1, "high": 3},
    },
}
_NAMED = {"cnn": "convolutions", "bilstm": "a BiLSTM", "attention": "attention"}


def _kind(*parts: str, pooling: str = "", poolings: tuple[str, ...] = ()) -> NetworkKind:
    """The network with these of the parts "cnn", "bilstm" and "attention"."""
    configured = [part for part in parts if part in _PART_DEFAULTS]
    if "cnn" not in parts:
        configured.insert(0, "framing")
    defaults = {**_DEFAULTS, **{k: v for part in configured for k, v in _PART_DEFAULTS[part].items()}}
    space = {**_SPACE, **{k: v for part in configured for k, v in _PART_SPACES[part].items()}}
    if pooling:
        defaults["pooling"] = pooling
        space["pooling"] = {"type": "choice", "choices": list(poolings)}
    return NetworkKind(
        name="_".join(("e2e", *parts)),
        summary=f"{' and '.join(_NAMED[part] for part in parts)} on 4 s of the wave, or on log-mel",
        features=("waveform(seconds=4)",),
        defaults=defaults,
        space=space,
        build=partial(
            _build,
            convolutions="cnn" in parts,
            recurrent="bilstm" in parts,
            attention="attention" in parts,
        ),
    )


NETWORKS: tuple[NetworkKind, ...] = (
    _kind("cnn", pooling="mean", poolings=("mean", "max", "mean_std")),
    _kind("cnn", "bilstm", pooling="last", poolings=("last", "mean", "mean_std")),
    _kind("bilstm", "attention"),
    _kind("cnn", "bilstm", "attention"),
)
