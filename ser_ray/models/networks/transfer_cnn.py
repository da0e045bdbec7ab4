"""`transfer_cnn`: convolutions over log-mel spectrograms that may start from a model of general sounds.

System 1. Every layer before the classification layer comes from a source, a model of this very family that
learned other labels; it stays as it is (`frozen`), so that the classification layer alone learns, or it is
tuned with a lower rate than the classification layer (`fine_tune`). Without a source it is `scratch`.

What comes from a source reads its inputs as the source did: standardised by the source's means and
deviations, whatever `standardise` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ser_ray.errors import UsageError
from ser_ray.models.model import Model, load_model
from ser_ray.models.networks.classifier import NetworkClassifier
from ser_ray.models.networks.network import Inputs, NetworkKind, Shape
from ser_ray.models.networks.parts import (
    ConvBlock,
    ConvStack,
    Window,
    columns_of,
    masked_mean,
    one_of,
    positive,
    share,
    widths,
)
from ser_ray.models.networks.parts.freezing import PartlyFrozen

NAME = "transfer_cnn"
SCRATCH, FROZEN, FINE_TUNE = TRANSFERS = ("scratch", "frozen", "fine_tune")
SHAPING = ("channels", "hidden")  # settings that a source must share: they shape its weights
WITHIN = "source_within"  # setting of a saved network, whose weights come with it
KERNEL, POOL = (3, 3), 2
EXAMPLE = "ser-ray train transfer_cnn sounds.parquet --label raw_label --store STORE -o MODEL"


class SoundBody(nn.Module):
    """Every layer before the classification layer.

    Args:
        window: the stretch of a sound that is looked at.
        blocks: from one channel to `channels`.
        channels: of the last block.
        hidden: width of the dense layer.
    """

    def __init__(self, window: Window, blocks: ConvStack, channels: int, hidden: int) -> None:
        super().__init__()
        self.window, self.blocks = window, blocks
        self.dense = nn.Linear(channels, positive("hidden", hidden))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """[batch, frames, bands] -> [batch, hidden]."""
        values, lengths = self.window(values, lengths)
        values, lengths = self.blocks(values.transpose(1, 2).unsqueeze(1), lengths)
        return torch.relu(self.dense(masked_mean(values.mean(2).transpose(1, 2), lengths)))


class TransferCnn(PartlyFrozen):
    """A body and a classification layer.

    The dropout before the classification layer belongs to it: it drops while that layer learns, also where
    the body is frozen.

    Args:
        body: all other layers.
        classes: number of logits.
        dropout: between the two.
        transfer: one of `TRANSFERS`.
        body_rate: learning rate of the body in `fine_tune`, as a share of that of the classification layer.

    Attributes:
        rebuilt_with: settings under which the same network is built without the source.
    """

    def __init__(
        self, body: SoundBody, classes: int, dropout: float, transfer: str, body_rate: float
    ) -> None:
        super().__init__()
        self.body, self.dropout = body, nn.Dropout(share("dropout", dropout))
        self.logits = nn.Linear(body.dense.out_features, classes)
        self.body_rate = body_rate if transfer == FINE_TUNE else 1.0
        self.rebuilt_with: Mapping[str, Any] = {} if transfer == SCRATCH else {WITHIN: True}
        if transfer == FROZEN:
            self.freeze(body)

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, frames, bands] -> logits [batch, classes]."""
        logits: Tensor = self.logits(self.dropout(self.body(*inputs[0])))
        return logits

    def rate_scales(self) -> dict[str, float]:
        """Share of the learning rate for each parameter of the body."""
        return {name: self.body_rate for name, _ in self.named_parameters() if name.startswith("body.")}


def source_model(settings: Mapping[str, Any]) -> Model | None:
    """The saved model whose body and standardisation a network starts from.

    Args:
        settings: all hyperparameters of the network.

    Returns:
        The model; None from scratch, and for a saved network, which holds what it took from its source.

    Raises:
        UsageError: `transfer` and `source` do not go together, or the source is no such network.
        MissingInput: there is nothing at the source.
        BadModel: it is corrupt.
    """
    transfer, source = one_of("transfer", settings["transfer"], TRANSFERS), str(settings["source"])
    if settings.get(WITHIN):
        return None
    if transfer == SCRATCH:
        if source:
            raise UsageError(
                f"transfer={SCRATCH} starts from no source. Set transfer to {FROZEN} or {FINE_TUNE}, or "
                f"leave out source={source}."
            )
        return None
    if not source:
        raise UsageError(
            f"transfer={transfer} starts from a model of general sounds. Name its directory: source=MODEL. "
            f"It is made by: {EXAMPLE}."
        )
    with torch.random.fork_rng(devices=[]):  # what is drawn next depends on the seed alone
        model = load_model(source)
    _check_fit(model, source, settings)
    return model


def _check_fit(model: Model, source: str, settings: Mapping[str, Any]) -> None:
    """Refuse a source that is no network of the same shape."""
    if model.family != NAME:
        raise UsageError(f"the source {source} is a {model.family}. Give a {NAME}: {EXAMPLE}.")
    for name in SHAPING:
        theirs, ours = model.settings.get(name), settings[name]
        if str(theirs) != str(ours):
            raise UsageError(
                f"the source {source} has {name}={theirs}, this network {name}={ours}. Set {name}={theirs}, "
                "or train the source anew."
            )


def _build(shapes: Sequence[Shape], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    columns_of(shapes)
    channels = widths("channels", settings["channels"])
    blocks = [ConvBlock(a, b, KERNEL, pool=POOL) for a, b in zip((1, *channels), channels, strict=False)]
    window = Window(settings["start"], settings["frames"])
    body = SoundBody(window, ConvStack(*blocks), channels[-1], settings["hidden"])
    network = TransferCnn(body, classes, settings["dropout"], settings["transfer"], settings["body_rate"])
    source = source_model(settings)
    if source is not None:
        _start_from(source, body, shapes)
    return network


def _start_from(source: Model, body: SoundBody, shapes: Sequence[Shape]) -> None:
    assert isinstance(source.classifier, NetworkClassifier)
    if tuple(source.classifier.shapes) != tuple(shapes):
        raise UsageError(
            f"the source reads inputs of {list(source.classifier.shapes)}, not {list(shapes)}. Give both the "
            "same feature."
        )
    theirs = source.classifier.network
    assert isinstance(theirs, TransferCnn)
    body.load_state_dict(theirs.body.state_dict())


NETWORKS: tuple[NetworkKind, ...] = (
    NetworkKind(
        name=NAME,
        summary="four convolutions over 3 s of log-mel, from scratch or from a model of general sounds",
        features=("logmel",),
        defaults={
            "source": "",
            "transfer": SCRATCH,
            "body_rate": 0.1,  # of 1e-3
            "start": 0,
            "frames": 300,
            "channels": "32-64-128-256",
            "hidden": 128,
            "dropout": 0.5,
            "batch": 64,
            "weight_decay": 0.0,  # AdamW without it is Adam
        },
        space={
            "body_rate": {"type": "log", "low": 1e-2, "high": 1.0},
            "dropout": {"type": "float", "low": 0.0, "high": 0.7},
            "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
        },
        build=_build,
        source=source_model,
    ),
)
