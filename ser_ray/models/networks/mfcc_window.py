"""What the nine networks on MFCC see: 2.5 s from 0.5 s on, as 216 frames of 50 coefficients.

System 11: JICCE 19(3), 2021. 44.1 kHz, Hann windows of 2048 samples every 512 (11.6 ms).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from ser_ray.models.networks.network import NetworkKind
from ser_ray.models.networks.parts import Window

FEATURES = ("mfcc(rate=44100,n=50,window=2048,hop=512)",)
POOLINGS = ["flatten", "mean", "max", "mean_std", "attention"]  # of frames
STATES = ["last", "mean", "mean_std", "attention"]  # of what a recurrent layer makes of them
WINDOW: Mapping[str, int] = {"start": 43, "frames": 216}  # defaults of every network that reads it


def window_of(settings: Mapping[str, int]) -> Window:
    """The window that the settings `start` and `frames` ask for."""
    return Window(settings["start"], settings["frames"])


def convolutional(
    name: str,
    what: str,
    pooling: str,
    build: Callable[..., nn.Module],
    defaults: Mapping[str, Any],
    space: Mapping[str, Mapping[str, Any]],
) -> tuple[NetworkKind, ...]:
    """Convolutions alone, and with an LSTM or a bidirectional LSTM on their time axis.

    Args:
        name: of the convolutions alone; the others add `_lstm` and `_bilstm`.
        what: the convolutions, for the summary.
        pooling: of the convolutions alone.
        build: as `NetworkKind.build`, with `recurrent` and `bidirectional` besides.
        defaults: what the three have in common.
        space: the same of the search space.
    """
    units = {"type": "choice", "choices": [64, 128, 256]}
    alone = NetworkKind(
        name=name,
        summary=f"{what} on 2.5 s of MFCC",
        features=FEATURES,
        defaults={**defaults, "pooling": pooling},
        space={**space, "pooling": {"type": "choice", "choices": POOLINGS}},
        build=build,
    )
    hybrids = (
        NetworkKind(
            name=f"{name}_{layer}",
            summary=f"{what} and {article} on 2.5 s of MFCC",
            features=FEATURES,
            defaults={**defaults, "units": 128, "pooling": "last"},
            space={**space, "units": units, "pooling": {"type": "choice", "choices": STATES}},
            build=partial(build, recurrent=True, bidirectional=layer == "bilstm"),
        )
        for layer, article in (("lstm", "an LSTM"), ("bilstm", "a bidirectional LSTM"))
    )
    return (alone, *hybrids)
