"""Fully connected networks: `fcn` on a window of frames, `mlp` on one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ser_ray.models.networks.mfcc_window import FEATURES, WINDOW, window_of
from ser_ray.models.networks.network import Inputs, NetworkKind, Shape
from ser_ray.models.networks.parts import Pooling, Window, columns_of, dense, widths


class FullyConnected(nn.Module):
    """A window of frames pooled into one vector, hidden layers, and one linear layer.

    Args:
        window: what it looks at.
        columns: of the input.
        classes: number of logits.
        pooling: one of `parts.POOLINGS`.
        hidden: widths of the hidden layers.
        dropout: after each of them.
    """

    def __init__(
        self,
        window: Window,
        columns: int,
        classes: int,
        pooling: str,
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.window = window
        self.pooling = Pooling(pooling, columns, window.frames)
        self.hidden = dense(self.pooling.columns, hidden, dropout)
        self.logits = nn.Linear(hidden[-1], classes)

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, frames, columns] -> logits [batch, classes]."""
        logits: Tensor = self.logits(self.hidden(self.pooling(*self.window(*inputs[0]))))
        return logits


def _build_fcn(shapes: Sequence[Shape], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    return FullyConnected(
        window=window_of(settings),
        columns=columns_of(shapes),
        classes=classes,
        pooling=settings["pooling"],
        hidden=widths("hidden", settings["hidden"]),
        dropout=settings["dropout"],
    )


def _build_mlp(shapes: Sequence[Shape], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    return FullyConnected(
        window=Window(0, 0),
        columns=columns_of(shapes, vectors=True),
        classes=classes,
        pooling=settings["pooling"],
        hidden=widths("hidden", settings["hidden"]),
        dropout=settings["dropout"],
    )


_SPACE: Mapping[str, Mapping[str, Any]] = {
    "dropout": {"type": "float", "low": 0.0, "high": 0.7},
    "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
    "weight_decay": {"type": "log", "low": 1e-5, "high": 1e-1},
}

NETWORKS: tuple[NetworkKind, ...] = (
    NetworkKind(
        name="fcn",
        summary="fully connected network on 2.5 s of MFCC",
        features=FEATURES,
        defaults={**WINDOW, "pooling": "flatten", "hidden": "512-256-128", "dropout": 0.3},
        space={"hidden": {"type": "choice", "choices": ["256-128", "512-256-128", "1024-512-256"]}, **_SPACE},
        build=_build_fcn,
    ),
    NetworkKind(
        name="mlp",
        summary="hidden layers on a vector, or on what all frames give pooled",
        features=("mfcc_stats",),
        defaults={"pooling": "mean", "hidden": "256-128", "dropout": 0.5},
        space={"hidden": {"type": "choice", "choices": ["128", "256-128", "512-256"]}, **_SPACE},
        build=_build_mlp,
    ),
)
