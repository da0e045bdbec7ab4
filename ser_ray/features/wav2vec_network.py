"""wav2vec (Schneider et al., 2019): the network, with the parameter names of its public checkpoint."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.features.inference import receptive_field

SIZES = {"large": 512, "tiny": 64}  # channels of every layer
ENCODER = ((10, 5), (8, 4), (4, 2), (4, 2), (4, 2), (1, 1), (1, 1))  # (kernel, stride)
CONTEXT = tuple(range(2, 14))  # kernels of the aggregator
STEPS = 12  # frames ahead that are predicted
NEGATIVES = 10
HOP = math.prod(stride for _, stride in ENCODER)  # samples between frames: 10 ms
RECEPTIVE_FIELD = receptive_field(ENCODER)  # samples that a frame of the encoder sees
OFFSET = math.ceil(RECEPTIVE_FIELD / HOP)  # frames to the first one that shares no sample with the present


class Wav2Vec(nn.Module):
    """wav2vec of one size; `large` is the public `wav2vec_large`.

    Args:
        size: `large` (512 channels) or `tiny` (64).
    """

    def __init__(self, size: str = "large") -> None:
        super().__init__()
        self.dim = SIZES[size]
        self.feature_extractor = Encoder(self.dim)
        self.feature_aggregator = Aggregator(self.dim)
        self.wav2vec_predictions = Predictor(self.dim)

    def forward(self, waves: Tensor) -> Tensor:
        """Context [waves, dim, frames] of waves [waves, samples] of one length.

        Group normalisation runs over all frames, so padding a wave would change each of them.
        """
        context: Tensor = self.feature_aggregator(self.feature_extractor(waves))
        return context


class Encoder(nn.Module):
    """Waves [waves, samples] -> latent frames [waves, dim, frames]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        sources = [1] + [dim] * (len(ENCODER) - 1)
        self.conv_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(source, dim, kernel, stride, bias=False),
                nn.Dropout(0.0),
                nn.GroupNorm(1, dim),
                nn.ReLU(),
            )
            for source, (kernel, stride) in zip(sources, ENCODER, strict=True)
        )

    def forward(self, waves: Tensor) -> Tensor:
        x = waves[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x.abs().add(1).log()


class Aggregator(nn.Module):
    """Latent frames -> context frames, both [waves, dim, frames]; a frame sees only the past."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.ReplicationPad1d((kernel - 1, 0)),
                    nn.Conv1d(dim, dim, kernel),
                    nn.Dropout(0.0),
                    nn.GroupNorm(1, dim),
                    nn.ReLU(),
                )
                for kernel in CONTEXT
            )
        )

    def forward(self, latent: Tensor) -> Tensor:
        x = latent
        for layer in self.conv_layers:
            x = (layer(x) + x) * math.sqrt(0.5)
        return x


class Predictor(nn.Module):
    """Context [waves, dim, frames] -> predicted latent frames [waves, dim, frames, STEPS]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project_to_steps = nn.ConvTranspose2d(dim, dim, (1, STEPS))

    def forward(self, context: Tensor) -> Tensor:
        predicted: Tensor = self.project_to_steps(context[..., None])
        return predicted


def contrastive_loss(
    network: Wav2Vec, waves: Tensor, negatives: int = NEGATIVES, generator: torch.Generator | None = None
) -> Tensor:
    """The loss that wav2vec is trained with, nats for each frame to predict.

    From the context of frame t, the latent frame t + OFFSET + step is to be told by a dot product from
    `negatives` other frames of the same wave; binary cross-entropy, summed over the frame and its
    negatives. Logits of zero give (1 + negatives) ln 2.

    Args:
        network: in training mode.
        waves: float [waves, samples] at 16 kHz, of one length: crop, do not pad.
        negatives: frames that each is to be told from.
        generator: draws the negatives, on the CPU.

    Raises:
        ValueError: the waves are too short for a frame to predict.
    """
    latent = network.feature_extractor(waves)
    predicted = network.wav2vec_predictions(network.feature_aggregator(latent))
    frames = latent.shape[2]
    steps = min(STEPS, frames - OFFSET)
    if steps < 1:
        raise ValueError(f"waves of {frames} frames hold none to predict; take {OFFSET + 1} frames or more")
    others = draw_negatives(latent, negatives, generator)
    total, targets = latent.new_zeros(()), 0
    for step in range(steps):
        ahead = OFFSET + step
        guess = predicted[..., : frames - ahead, step]
        true = torch.einsum("bct,bct->bt", guess, latent[..., ahead:])
        false = torch.einsum("bct,bnct->bnt", guess, others[..., ahead:])
        total = total + functional.softplus(-true).sum() + functional.softplus(false).sum()
        targets += true.numel()
    loss: Tensor = total / targets
    return loss


def draw_negatives(latent: Tensor, negatives: int, generator: torch.Generator | None = None) -> Tensor:
    """For each frame others of the same wave, never itself: [waves, negatives, dim, frames]."""
    waves, dim, frames = latent.shape
    places = torch.randint(frames - 1, (waves, negatives, frames), generator=generator)
    places += places >= torch.arange(frames)
    index = places.to(latent.device).view(waves, 1, -1).expand(-1, dim, -1)
    drawn: Tensor = latent.gather(2, index).view(waves, dim, negatives, frames)
    return drawn.transpose(1, 2)
