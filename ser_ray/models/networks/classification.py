"""Telling classes apart, as what a network learns by: weighted cross-entropy, and UA for the best epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ser_ray.models.mixup import Mixup
from ser_ray.models.networks import workers
from ser_ray.models.networks.loop import Batches, Forward, LoopOptions
from ser_ray.models.networks.network import Inputs, Padded, to_device
from ser_ray.models.specaugment import SpecAugment

Labelled = tuple[Inputs, Tensor]  # inputs of a batch and its class numbers [batch]


class LabelledBatches(Batches[Labelled], Protocol):
    """Training data with classes."""

    class_counts: np.ndarray  # utterances of each class, over all workers [classes]


class Classification:
    """The objective of a network that gives logits [batch, classes].

    Args:
        options: how its targets and inputs are changed, and its classes weighted.
        class_counts: utterances of each class, over all workers [classes].
        device: of the network.
    """

    def __init__(self, options: LoopOptions, class_counts: np.ndarray, device: torch.device) -> None:
        self.smooth, self.device = options.label_smoothing, device
        counts = np.maximum(class_counts, 1)
        weights = (
            counts.sum() / (len(counts) * counts) if options.balance == "weights" else np.ones(len(counts))
        )
        self.weights = torch.tensor(weights, dtype=torch.float32, device=device)
        self.mixup = Mixup(alpha=options.mixup) if options.mixup else None
        masks = {"frequency_masks": options.specaugment, "time_masks": options.specaugment}
        self.specaugment = SpecAugment(**masks) if options.specaugment else None

    def loss(self, forward: Forward, batch: Labelled, generator: torch.Generator) -> Tensor:
        """Cross-entropy; each target counts by the weight of its classes."""
        inputs, y = batch
        targets = nn.functional.one_hot(y, len(self.weights)).float()
        inputs, targets = self._augmented(inputs, targets, generator)
        logits, targets = forward(to_device(inputs, self.device)), targets.to(self.device)
        weight = targets @ self.weights
        targets = (1 - self.smooth) * targets + self.smooth / targets.shape[1]
        losses = -(targets * torch.log_softmax(logits, dim=1)).sum(dim=1)
        return (losses * weight).sum() / (workers.summed(weight.sum()) / workers.world())

    @torch.inference_mode()
    def measure(self, network: nn.Module, held: Iterable[Labelled]) -> tuple[float, dict[str, float]]:
        """UA; UA and mean cross-entropy."""
        counts = torch.zeros(
            3, len(self.weights), dtype=torch.float64
        )  # utterances, right ones, sum of losses
        for inputs, y in held:
            logits = network(to_device(inputs, self.device)).float().cpu()
            losses = nn.functional.cross_entropy(logits, y, reduction="none")
            right = logits.argmax(dim=1) == y
            counts.index_add_(1, y, torch.stack([torch.ones(len(y)), right, losses]).double())
        heard, right, loss = workers.summed(counts.to(self.device)).cpu()
        present = heard > 0
        ua = float((right[present] / heard[present]).mean())
        return ua, {"held_out_loss": float(loss.sum() / heard.sum()), "held_out_ua": ua}

    def _augmented(
        self, inputs: Inputs, targets: Tensor, generator: torch.Generator
    ) -> tuple[Inputs, Tensor]:
        if self.specaugment:
            masked = [
                padded._replace(values=self.specaugment(*padded, generator))
                if padded.values.ndim == 3 and padded.values.shape[2] > 1  # a wave has no bands to hide
                else padded
                for padded in inputs
            ]
            inputs = tuple(masked)
        if self.mixup:
            drawn, mixed = generator.get_state(), []
            for padded in inputs:  # the same pairs and weights for every input of an utterance
                generator.set_state(drawn)
                values, blended, lengths = self.mixup(padded.values, targets, padded.lengths, generator)
                assert lengths is not None
                mixed.append(Padded(values, lengths))
            inputs, targets = tuple(mixed), blended
        return inputs, targets
