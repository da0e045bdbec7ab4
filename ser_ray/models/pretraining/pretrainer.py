"""Pre-training of wav2vec by its contrastive task: the settings, and the network that learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn

from ser_ray.errors import UsageError
from ser_ray.features.inference import RATE, device
from ser_ray.features.wav2vec_checkpoint import read_wav2vec
from ser_ray.features.wav2vec_network import SIZES, Wav2Vec
from ser_ray.models.family import Tunable
from ser_ray.models.networks.loop import (
    Batches,
    Held,
    LoopState,
    OptimiserOptions,
    Report,
    train_network,
)
from ser_ray.models.pretraining.contrastive import Contrast, Contrastive
from ser_ray.models.pretraining.crops import SHORTEST, Crops


@dataclass(frozen=True)
class PretrainOptions(OptimiserOptions):
    """How wav2vec is pre-trained.

    Attributes:
        size: `large` (512 channels, that of the public checkpoint) or `tiny` (64).
        start: checkpoint to go on from, which then says the size; none: random weights.
        encoder_rate: learning rate of the encoder, as a share of that of the rest; see `Contrastive`.
        crop_s: length of what is heard of an utterance in an epoch, in seconds; shorter ones are left out.
        held_out: share of the recordings by which the best epoch is found.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {**OptimiserOptions.CHOICES, "size": tuple(SIZES)}

    lr: float = 2e-3
    warmup: int = 1
    patience: int = 100
    size: str = "large"
    start: str = ""
    encoder_rate: float = 0.02
    crop_s: float = 1.5
    held_out: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < SHORTEST:
            shortest = -(-SHORTEST * 1000 // RATE) / 1000
            raise UsageError(f"crop_s={self.crop_s:g} will not do: a crop takes {shortest} s or more.")
        if not 0 < self.held_out < 1:
            raise UsageError(f"held_out={self.held_out:g} will not do: give a share between 0 and 1.")
        if self.encoder_rate < 0:
            raise UsageError(f"encoder_rate={self.encoder_rate:g} will not do: give 0 or more.")
        for name in ("epochs", "batch", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} will not do: give 1 or more.")

    @property
    def samples(self) -> int:
        """Of a crop."""
        return round(self.crop_s * RATE)


SETTINGS = Tunable(name="pretrain", defaults=asdict(PretrainOptions()), space={})


def pretrain_options(given: Mapping[str, Any]) -> PretrainOptions:
    """The defaults with `given` in their place.

    Raises:
        UsageError: a setting that there is not, or a value that will not do.
    """
    return PretrainOptions(**SETTINGS.settings(given))


def _alone(network: nn.Module) -> nn.Module:
    return network


class Pretrainer:
    """A wav2vec that learns from utterances without labels.

    Args:
        options: how.
        seed: fixes weights, order, crops and negatives.

    Attributes:
        network: wav2vec with its task.
        curve: figures of each epoch.
    """

    network: nn.Module

    def __init__(self, options: PretrainOptions, seed: int) -> None:
        self.options, self.seed = options, seed
        self.curve: list[dict[str, float]] = []

    def learn(
        self,
        batches: Batches[Crops],
        held: Held[Crops],
        report: Report | None = None,
        state: LoopState | None = None,
        wrap: Callable[[nn.Module], nn.Module] = _alone,
    ) -> Self:
        """Learn from crops; see `train_network`."""
        self.network = self.built().to(device())
        given = (Contrast(device()), batches, held, self.options, self.seed, state, report, self.network)
        self.curve = train_network(wrap(self.network), *given).curve
        return self

    def restore(self, state: LoopState) -> None:
        """Take the best weights and the curve of a training that ended elsewhere."""
        self.network, self.curve = self.built(), state.curve
        self.network.load_state_dict(state.best)

    def built(self) -> Contrastive:
        """The network, its weights as the seed draws them or as the checkpoint to start from has them."""
        torch.manual_seed(self.seed)
        start = self.options.start
        wav2vec = read_wav2vec(start) if start else Wav2Vec(self.options.size)
        return Contrastive(wav2vec, self.options.encoder_rate)

    @property
    def wav2vec(self) -> Wav2Vec:
        """The network without its task."""
        assert isinstance(self.network, Contrastive)
        return self.network.wav2vec

    @property
    def best(self) -> dict[str, float]:
        """Figures of the epoch whose weights are kept."""
        return min(self.curve, key=lambda figures: figures["held_out_loss"])
