"""The task of wav2vec: to tell frames ahead from others of the same utterance.

From the context of frame t, the latent frame t + OFFSET + step is told by a dot product from NEGATIVES frames
of the same utterance, for STEPS steps; binary cross-entropy, summed over the frame and its negatives. Logits
of zero cost (1 + NEGATIVES) ln 2 = 7.625 nats a target. Schneider, Baevski, Collobert and Auli: wav2vec:
Unsupervised Pre-training for Speech Recognition, Interspeech 2019, section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.features.wav2vec_network import OFFSET, STEPS, Wav2Vec
from ser_ray.models.networks import workers
from ser_ray.models.networks.loop import Forward
from ser_ray.models.pretraining.crops import Crops


class Contrastive(nn.Module):
    """wav2vec with its task: crops -> logits [waves, targets, 1 + NEGATIVES], the true frame's first.

    Args:
        wav2vec: the network.
        encoder_rate: learning rate of its encoder, as a share of that of the rest. While nothing can be
            predicted yet, the loss is least where all latent frames are alike; an encoder that learns as fast
            as the rest gets there first, and stays.
    """

    def __init__(self, wav2vec: Wav2Vec, encoder_rate: float = 1.0) -> None:
        super().__init__()
        self.wav2vec, self.encoder_rate = wav2vec, encoder_rate

    def forward(self, crops: Crops) -> Tensor:
        latent = self.wav2vec.feature_extractor(crops.waves)
        predicted = self.wav2vec.wav2vec_predictions(self.wav2vec.feature_aggregator(latent))
        frames, logits = latent.shape[2], []
        for step in range(STEPS):
            ahead = OFFSET + step
            scores = predicted[..., : frames - ahead, step].transpose(1, 2) @ latent  # of every frame
            logits.append(scores.gather(2, crops.candidates[:, ahead:]))
        return torch.cat(logits, dim=1)

    def rate_scales(self) -> dict[str, float]:
        """Share of the learning rate for each parameter of the encoder."""
        names = (name for name, _ in self.wav2vec.feature_extractor.named_parameters())
        return {f"wav2vec.feature_extractor.{name}": self.encoder_rate for name in names}


def target_losses(logits: Tensor) -> Tensor:
    """Nats for each frame that is to be told [waves, targets]; see the head of this module."""
    true, false = logits[..., 0], logits[..., 1:]
    return functional.softplus(-true) + functional.softplus(false).sum(dim=2)


class Contrast:
    """The objective of `Contrastive`; the epoch of the lowest held-out loss is the best.

    Args:
        device: of the network.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def loss(self, forward: Forward, batch: Crops, generator: torch.Generator) -> Tensor:
        """Mean over all targets, of which every crop has the same number."""
        losses = target_losses(forward(batch.to(self.device))).mean(dim=1)
        count = torch.tensor(float(len(losses)), device=self.device)
        return losses.sum() / (workers.summed(count) / workers.world())

    @torch.inference_mode()
    def measure(self, network: nn.Module, held: Iterable[Crops]) -> tuple[float, dict[str, float]]:
        """Loss with its sign turned; loss, and how often the true frame scores above all others."""
        totals = torch.zeros(3, dtype=torch.float64, device=self.device)  # waves, their losses, their hits
        for crops in held:
            logits = network(crops.to(self.device)).float()
            hits = (logits[..., :1] > logits[..., 1:]).all(dim=2).double().mean(dim=1)
            losses = target_losses(logits).double().mean(dim=1)
            totals += torch.stack([torch.ones_like(losses), losses, hits]).sum(dim=1)
        waves, loss, hits = workers.summed(totals).tolist()
        return -loss / waves, {"held_out_loss": loss / waves, "held_out_accuracy": hits / waves}
