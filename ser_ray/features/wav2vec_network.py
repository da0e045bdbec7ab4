"""wav2vec (Schneider et al., 2019): the network, with the parameter names of its public checkpoint."""

from __future__ import annotations

import math

from torch import Tensor, nn

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
