"""The training loop: plain PyTorch, the same in this process, in a Ray task and under Ray Train.

All randomness of an epoch comes from the seed and the epoch's number, so a loop that is resumed after
an epoch ends with the weights of one that was never disturbed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ser_ray.errors import RunFailed, UsageError
from ser_ray.models.mixup import Mixup
from ser_ray.models.networks import workers
from ser_ray.models.networks.network import Inputs, Padded
from ser_ray.models.specaugment import SpecAugment

CHOICES = {
    "schedule": ("cosine", "constant"),
    "balance": ("weights", "sampling", "none"),
    "precision": ("auto", "bf16", "fp32"),
}


@dataclass(frozen=True)
class LoopOptions:
    """How a network is trained.

    Attributes:
        epochs: at most.
        batch: utterances a step, over all workers.
        lr: learning rate of AdamW, at its highest.
        weight_decay: of AdamW.
        schedule: `cosine` (to zero over all epochs) or `constant`.
        warmup: epochs of linearly rising rate.
        clip: largest norm of the gradient; 0 for no limit.
        label_smoothing: share of each target spread over all classes.
        balance: `weights` (classes count alike in the loss), `sampling` (they are drawn alike) or `none`.
        mixup: alpha of mixup; 0 for none.
        specaugment: masks of time and of frequency for each utterance; 0 for none.
        patience: epochs without a better UA on the held-out slice, after which training stops.
        precision: `auto` (bfloat16 autocast where there is a GPU), `bf16` (on a CPU too) or `fp32`.
    """

    epochs: int = 100
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup: int = 0
    clip: float = 5.0
    label_smoothing: float = 0.0
    balance: str = "weights"
    mixup: float = 0.0
    specaugment: int = 0
    patience: int = 15
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)} is none of {', '.join(known)}.")


class Batches(Protocol):
    """Where the loop gets its training data from."""

    steps: int  # of an epoch, the same on every worker
    class_counts: np.ndarray  # utterances of each class, over all workers [classes]

    def epoch(self, number: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and class numbers [batch], in an order that the number alone decides."""
        ...


@dataclass
class LoopState:
    """Where a training stands, after whole epochs.

    Attributes:
        epoch: epochs done.
        network: weights now.
        optimiser: its state.
        best: weights of the best epoch so far.
        best_ua: its UA on the held-out slice.
        best_epoch: its number, from 1.
        curve: figures of each epoch.
    """

    epoch: int = 0
    network: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_ua: float = -1.0
    best_epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


Held = Callable[[], Iterable[tuple[Inputs, Tensor]]]  # this worker's share of the held-out slice, in batches
Report = Callable[[dict[str, float], LoopState], None]


def train_network(
    network: nn.Module,
    batches: Batches,
    held: Held | None,
    options: LoopOptions,
    seed: int,
    state: LoopState | None = None,
    report: Report | None = None,
    plain: nn.Module | None = None,
    until: int | None = None,
) -> LoopState:
    """Train until the patience or the epochs end.

    Several workers (see `workers`) take the steps that one alone would take, but for dropout and other
    draws: losses and batch normalisation are those of the whole batch.

    Args:
        network: on its device; wrapped for several workers, where there are.
        batches: training data of this worker.
        held: the held-out slice; None: every epoch is trained, and the last one's weights are kept.
        options: how.
        seed: fixes all draws.
        state: to go on from; None begins.
        report: told the figures and the state after every epoch.
        plain: the network without its wrapping.
        until: epoch after which to pause; None: train to the end.

    Returns:
        The last state; its `best` are the weights to keep, loaded into the network already.

    Raises:
        RunFailed: the loss is not finite; the message says in which epoch.
    """
    bare = plain or network
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(_groups(bare, options), lr=options.lr, weight_decay=options.weight_decay)
    state = state or LoopState()
    if state.epoch:
        bare.load_state_dict(state.network)
        optimiser.load_state_dict(state.optimiser)
    step = _Step(network, parameters, optimiser, options, batches.class_counts)
    last = options.epochs if until is None else min(until, options.epochs)
    while state.epoch < last and state.epoch - state.best_epoch < options.patience:
        drawn = _mix(seed, state.epoch, workers.rank())
        torch.manual_seed(drawn)
        network.train()
        generator = torch.Generator().manual_seed(drawn + 1)
        losses = []
        for number, (inputs, y) in enumerate(batches.epoch(state.epoch)):
            rate = _rate(state.epoch + number / batches.steps, options)
            losses.append(step(inputs, y, rate, generator))
        loss = float(workers.summed(torch.stack(losses).mean())) / workers.world()
        if not math.isfinite(loss):
            raise RunFailed(
                f"training failed: the loss is {loss} in epoch {state.epoch + 1}. Lower lr or clip."
            )
        _finish_epoch(bare, optimiser, held, len(batches.class_counts), state, loss)
        if report:
            report(state.curve[-1], state)
    if state.best:
        bare.load_state_dict(state.best)
    bare.eval()
    return state


class _Step:
    """One step of the optimiser."""

    def __init__(
        self,
        network: nn.Module,
        parameters: list[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        options: LoopOptions,
        class_counts: np.ndarray,
    ) -> None:
        self.network, self.parameters, self.optimiser, self.options = network, parameters, optimiser, options
        self.device = parameters[0].device
        self.half = options.precision == "bf16" or (
            options.precision == "auto" and self.device.type == "cuda"
        )
        counts = np.maximum(class_counts, 1)
        weights = (
            counts.sum() / (len(counts) * counts) if options.balance == "weights" else np.ones(len(counts))
        )
        self.weights = torch.tensor(weights, dtype=torch.float32, device=self.device)
        self.mixup = Mixup(alpha=options.mixup) if options.mixup else None
        masks = {"frequency_masks": options.specaugment, "time_masks": options.specaugment}
        self.specaugment = SpecAugment(**masks) if options.specaugment else None

    def __call__(self, inputs: Inputs, y: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        targets = torch.nn.functional.one_hot(y, len(self.weights)).float()
        inputs, targets = self._augmented(inputs, targets, generator)
        inputs = to_device(inputs, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = self.network(inputs)
        loss = self._loss(logits.float(), targets.to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimiser.step()
        return loss.detach()

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

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; each target counts by the weight of its classes."""
        weight = targets @ self.weights
        smooth = self.options.label_smoothing
        targets = (1 - smooth) * targets + smooth / targets.shape[1]
        losses = -(targets * torch.log_softmax(logits, dim=1)).sum(dim=1)
        return (losses * weight).sum() / (workers.summed(weight.sum()) / workers.world())


def to_device(inputs: Inputs, device: torch.device) -> Inputs:
    """Inputs on a device."""
    return tuple(
        Padded(p.values.to(device, non_blocking=True), p.lengths.to(device, non_blocking=True))
        for p in inputs
    )


def _finish_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    held: Held | None,
    classes: int,
    state: LoopState,
    loss: float,
) -> None:
    state.epoch += 1
    state.network = _copy(network)
    state.optimiser = copy.deepcopy(optimiser.state_dict())
    figures = {"epoch": state.epoch, "loss": loss, "lr": float(optimiser.param_groups[0]["lr"])}
    if held:
        ua, held_out_loss = _measure(network.eval(), held(), classes)
        figures |= {"held_out_loss": held_out_loss, "held_out_ua": ua}
    if not held or ua > state.best_ua:
        state.best, state.best_epoch = state.network, state.epoch
        state.best_ua = ua if held else state.best_ua
    state.curve.append(figures)


@torch.inference_mode()
def _measure(network: nn.Module, held: Iterable[tuple[Inputs, Tensor]], classes: int) -> tuple[float, float]:
    """UA and mean cross-entropy of a network in evaluation, over the shares of all workers."""
    where = next(network.parameters()).device
    counts = torch.zeros(3, classes, dtype=torch.float64)  # utterances, right ones, sum of losses
    for inputs, y in held:
        logits = network(to_device(inputs, where)).float().cpu()
        losses = nn.functional.cross_entropy(logits, y, reduction="none")
        right = logits.argmax(dim=1) == y
        counts.index_add_(1, y, torch.stack([torch.ones(len(y)), right, losses]).double())
    heard, right, loss = workers.summed(counts.to(where)).cpu()
    present = heard > 0
    return float((right[present] / heard[present]).mean()), float(loss.sum() / heard.sum())


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _groups(network: nn.Module, options: LoopOptions) -> list[dict[str, Any]]:
    """Parameters by the scale of their rate: a network may say `rate_scales()` -> {parameter name: scale}."""
    scales: Mapping[str, float] = getattr(network, "rate_scales", dict)()
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(scales.get(name, 1.0), []).append(parameter)
    return [{"params": parameters, "scale": scale} for scale, parameters in groups.items()]


def _rate(epoch: float, options: LoopOptions) -> float:
    """The learning rate at a (fractional) epoch."""
    if epoch < options.warmup:
        return options.lr * (epoch + 1e-3) / options.warmup
    if options.schedule == "constant":
        return options.lr
    done = (epoch - options.warmup) / max(options.epochs - options.warmup, 1)
    return options.lr * 0.5 * (1 + math.cos(math.pi * done))


def _mix(seed: int, epoch: int, rank: int) -> int:
    return ((seed * 1_000_003 + epoch) * 7919 + 104_729 * rank) % (1 << 62)
