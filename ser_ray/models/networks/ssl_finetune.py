"""`ssl_finetune`: a self-supervised speech encoder, tuned to emotions with a pooling head.

wav2vec 2.0, HuBERT, WavLM, data2vec or the encoder of Whisper; see `features.ssl`. The convolutions at its
bottom stay as they are, as is usual (Baevski et al., 2020); the blocks below a chosen one can, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.errors import UsageError
from ser_ray.features.extras import require_extra
from ser_ray.models.networks.network import Inputs, NetworkKind, Shape
from ser_ray.models.networks.parts import SequenceHead, columns_of, widths
from ser_ray.models.networks.parts.freezing import PartlyFrozen
from ser_ray.models.networks.parts.grouping import in_groups
from ser_ray.models.networks.speech_encoder import EncoderPlan, SpeechEncoder, pretrained_encoder

NAME, EXAMPLE = "ssl_finetune", "microsoft/wavlm-base-plus"
PLAN = "encoder_plan"  # setting of a saved network, whose weights come with it
POOLINGS = ("mean", "mean_std", "attention")


class TunedEncoder(PartlyFrozen):
    """A speech encoder and a pooling head.

    Where padding would change its frames (a group norm over time), only waves of one length pass through
    the encoder together.

    Args:
        encoder: turns waves into frames.
        head: pools the frames of each wave.
        frozen_below: the number of the lowest block that is tuned, from 1: all before it keeps its weights.
            0 tunes what lies between the convolutions and the blocks, too; one above the last block tunes
            nothing but the head.
        encoder_rate: learning rate of the encoder, as a share of that of the head.
        plan: of the encoder.

    Attributes:
        rebuilt_with: settings under which the same network is built without the checkpoint.
    """

    def __init__(
        self,
        encoder: SpeechEncoder,
        head: SequenceHead,
        frozen_below: int,
        encoder_rate: float,
        plan: EncoderPlan,
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.encoder_rate = encoder, head, encoder_rate
        stages = encoder.stages()
        blocks = len(stages) - 3
        if not 0 <= frozen_below <= blocks + 1:
            raise UsageError(
                f"frozen_below={frozen_below} will not do. The encoder has blocks 1 to {blocks}; set it to "
                f"0 (all but the convolutions is tuned) to {blocks + 1} (nothing is)."
            )
        if frozen_below > blocks:
            self.freeze(encoder)
        else:
            self.freeze(*(part for stage in stages[: frozen_below + 1] for part in stage))
        self.rebuilt_with: Mapping[str, Any] = {PLAN: plan.to_json()}

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, samples, 1] -> logits [batch, classes]."""
        waves, lengths = inputs[0].values.squeeze(2), inputs[0].lengths.cpu()
        waves = self.encoder.prepared(waves, lengths)
        lengths = self.encoder.least(lengths)
        waves = functional.pad(waves, (0, max(0, int(lengths.max()) - waves.shape[1])))

        def logits(waves: Tensor, lengths: Tensor) -> Tensor:
            found: Tensor = self.head(*self.encoder(waves, lengths))
            return found

        return in_groups(logits, waves, lengths, self.encoder.room, self.encoder.padded)

    def rate_scales(self) -> dict[str, float]:
        """Share of the learning rate for each parameter of the encoder."""
        return {name: self.encoder_rate for name, _ in self.named_parameters() if name.startswith("encoder.")}


def _build(shapes: Sequence[Shape], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    if columns_of(shapes) != 1:
        raise UsageError(f"{NAME} reads samples, not {list(shapes[0])}. Give it the feature waveform_16k.")
    require_extra("ssl", "transformers", NAME)
    with torch.random.fork_rng(devices=[]):  # the head's weights depend on the seed alone
        encoder, plan = _encoder(settings)
    head = SequenceHead(
        encoder.columns,
        classes,
        settings["pooling"],
        dropout=settings["dropout"],
        hidden=widths("hidden", settings["hidden"]),
    )
    return TunedEncoder(encoder, head, settings["frozen_below"], settings["encoder_rate"], plan)


def _encoder(settings: Mapping[str, Any]) -> tuple[SpeechEncoder, EncoderPlan]:
    if PLAN in settings:
        plan = EncoderPlan.from_json(settings[PLAN])
        return plan.build(), plan
    if not settings["checkpoint"]:
        raise UsageError(f"{NAME} needs the weights of a network. Name them: checkpoint={EXAMPLE}.")
    return pretrained_encoder(settings["checkpoint"], settings["revision"])


NETWORKS: tuple[NetworkKind, ...] = (
    NetworkKind(
        name=NAME,
        summary="a self-supervised speech encoder tuned to emotions, on 8 s of the wave (extra ssl)",
        features=("waveform_16k(seconds=8)",),
        defaults={
            "checkpoint": "",
            "revision": "",
            "frozen_below": 0,
            "encoder_rate": 0.02,  # of 1e-3
            "pooling": "mean",
            "hidden": "256",
            "dropout": 0.2,
            "standardise": False,
            "epochs": 20,
            "patience": 5,
            "warmup": 1,
            "batch": 16,
        },
        space={
            "frozen_below": {"type": "choice", "choices": [0, 1, 5, 9]},
            "encoder_rate": {"type": "log", "low": 1e-3, "high": 0.1},
            "pooling": {"type": "choice", "choices": list(POOLINGS)},
            "dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "lr": {"type": "log", "low": 3e-4, "high": 3e-3},
        },
        build=_build,
    ),
)
