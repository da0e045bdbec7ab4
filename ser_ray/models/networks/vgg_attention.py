"""`vgg_attention`: two VGG-19, one for mel spectrograms and one for MFCC, weighted by attention.

System 8. Each branch says what it takes a picture for, e = Linear(512 -> classes). A latent H of both
branches, of as many columns, is compared with what each says, and the softmax of the two similarities
tells how much each of them counts: logits = a_mel e_mel + a_mfcc e_mfcc. What it is compared with: the mean
of what both say (`weighting=mean`), and a linear layer on it (`regression`).

The first blocks of each branch keep what they learned on ImageNet, the others are tuned with a lower
learning rate than the linear layers. The picture of the MFCC brings each coefficient to 0..1 by itself,
because beside the zeroth the others would hardly show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ser_ray.errors import UsageError
from ser_ray.models.networks.network import Inputs, NetworkKind, Padded, Shape
from ser_ray.models.networks.parts import one_of
from ser_ray.models.networks.parts.freezing import PartlyFrozen
from ser_ray.models.networks.parts.grouping import in_groups
from ser_ray.models.networks.parts.pictures import COLOUR, check_pictures, pictures
from ser_ray.models.networks.vgg import (
    BLOCK_ENDS,
    COLUMNS,
    LEAST,
    VggBranch,
    imagenet_weights,
    vgg19_layers,
)

LATENTS, SIMILARITIES = ("concatenation", "sum"), ("dot", "scaled", "cosine")
WEIGHTINGS = ("attention", "mean", "regression")
ROOM = 16 * 224  # rows of pictures that pass through a branch at once
FROZEN = "frozen_layers"  # setting of a saved network, whose weights come with it


class VggAttention(PartlyFrozen):
    """Two branches over pictures, and attention between what they say.

    Args:
        mel: layers of the branch over mel spectrograms.
        mfcc: layers of the branch over MFCC.
        columns: channels of their last layers.
        classes: number of logits.
        latent: H is a linear layer of both vectors side by side, "concatenation", or of their "sum".
        similarity: of H and what a branch says: "dot", "scaled" (by the root of the columns) or "cosine".
        frozen: layers of each branch that keep their weights.
        vgg_rate: learning rate of the other layers, as a share of that of the linear layers.
        weighting: how what the branches say is joined: by "attention", their "mean", or a "regression".

    Attributes:
        rebuilt_with: settings under which the same network is built without any weights from outside.
    """

    def __init__(
        self,
        mel: nn.Sequential,
        mfcc: nn.Sequential,
        columns: int,
        classes: int,
        latent: str,
        similarity: str,
        frozen: int,
        vgg_rate: float,
        weighting: str = "attention",
    ) -> None:
        super().__init__()
        self.mel, self.mfcc = VggBranch(mel), VggBranch(mfcc)
        self.mel_says, self.mfcc_says = nn.Linear(columns, classes), nn.Linear(columns, classes)
        self.side_by_side = one_of("latent", latent, LATENTS) == "concatenation"
        self.weighting = one_of("weighting", weighting, WEIGHTINGS)
        if weighting == "attention":
            self.latent = nn.Linear(columns * (2 if self.side_by_side else 1), classes)
        elif weighting == "regression":
            self.regression = nn.Linear(2 * classes, classes)
        self.similarity, self.vgg_rate = one_of("similarity", similarity, SIMILARITIES), vgg_rate
        self.freeze(*[*mel][:frozen], *[*mfcc][:frozen])
        self.rebuilt_with: Mapping[str, Any] = {FROZEN: frozen}

    def forward(self, inputs: Inputs) -> Tensor:
        """Two inputs [batch, rows, columns, 3] -> logits [batch, classes]."""
        says, attention = self._said(inputs)
        if self.weighting == "regression":
            joined: Tensor = self.regression(says.flatten(1))
            return joined
        return (attention.unsqueeze(2) * says).sum(1)

    def attention(self, inputs: Inputs) -> Tensor:
        """How much each branch counts, mel and MFCC: [batch, 2], one in sum; by half without attention."""
        return self._said(inputs)[1]

    def rate_scales(self) -> dict[str, float]:
        """Share of the learning rate for each parameter of the two VGG."""
        return {name: self.vgg_rate for name, _ in self.named_parameters() if ".features." in name}

    def _said(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """What each branch says [batch, 2, classes], and the attention [batch, 2]."""
        mel, mfcc = _seen(self.mel, inputs[0]), _seen(self.mfcc, inputs[1])
        says = torch.stack([self.mel_says(mel), self.mfcc_says(mfcc)], dim=1)
        if self.weighting != "attention":
            return says, says.new_full((len(says), 2), 0.5)
        latent: Tensor = self.latent(torch.cat([mel, mfcc], dim=1) if self.side_by_side else mel + mfcc)
        return says, torch.softmax(self._similarity(latent, says).float(), dim=1)

    def _similarity(self, latent: Tensor, says: Tensor) -> Tensor:
        """Of H [batch, classes] and what each branch says: [batch, 2]."""
        if self.similarity == "cosine":
            return torch.cosine_similarity(latent.unsqueeze(1), says, dim=2)
        dots = torch.einsum("bc,bkc->bk", latent, says)
        return dots / latent.shape[1] ** 0.5 if self.similarity == "scaled" else dots


def _seen(branch: VggBranch, padded: Padded) -> Tensor:
    return in_groups(branch, *pictures(padded, COLOUR), ROOM)


def _build(shapes: Sequence[Shape], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    check_pictures(shapes, 2, COLOUR, LEAST)
    blocks = settings["frozen_blocks"]
    if not 0 <= blocks < len(BLOCK_ENDS):
        raise UsageError(f"frozen_blocks={blocks} will not do. VGG-19 has blocks 1 to 5; set it to 0 to 5.")
    weights = None if FROZEN in settings else imagenet_weights(settings["weights"])
    mel, mfcc = vgg19_layers(), vgg19_layers()
    if weights:
        mel.load_state_dict(weights)
        mfcc.load_state_dict(weights)
    return VggAttention(
        mel,
        mfcc,
        COLUMNS,
        classes,
        latent=settings["latent"],
        similarity=settings["similarity"],
        frozen=settings.get(FROZEN, BLOCK_ENDS[blocks] if weights else 0),
        vgg_rate=settings["vgg_rate"],
        weighting=settings["weighting"],
    )


NETWORKS: tuple[NetworkKind, ...] = (
    NetworkKind(
        name="vgg_attention",
        summary="two VGG-19 of ImageNet on mel and MFCC pictures, weighted by attention",
        features=("colour_image", "colour_image(of=mfcc,per_row=true)"),
        defaults={
            "weights": "",
            "frozen_blocks": 3,
            "latent": "concatenation",
            "similarity": "dot",
            "weighting": "attention",
            "vgg_rate": 0.01,  # of 1e-3
            "standardise": False,
            "weight_decay": 0.0,  # AdamW without it is Adam
            "batch": 16,
            "epochs": 50,
        },
        space={
            "frozen_blocks": {"type": "int", "low": 0, "high": 5},
            "latent": {"type": "choice", "choices": list(LATENTS)},
            "similarity": {"type": "choice", "choices": list(SIMILARITIES)},
            "vgg_rate": {"type": "log", "low": 1e-3, "high": 1.0},
            "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
        },
        build=_build,
    ),
)
