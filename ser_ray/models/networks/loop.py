"""The training loop: plain PyTorch, the same in this process, in a Ray task and under Ray Train.

All randomness of an epoch comes from the seed and the epoch's number, so a loop that is resumed after
an epoch ends with the weights of one that was never disturbed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ser_ray.errors import RunFailed, UsageError
from ser_ray.models.networks import workers

Batch = TypeVar("Batch")
Given = TypeVar("Given", covariant=True)
Taken = TypeVar("Taken", contravariant=True)
Forward = Callable[[Any], Tensor]  # the network's answer in float32, in whatever precision it is computed


@dataclass(frozen=True)
class OptimiserOptions:
    """How any network is trained.

    Attributes:
        epochs: at most.
        batch: utterances a step, over all workers.
        lr: learning rate of AdamW, at its highest.
        weight_decay: of AdamW.
        schedule: `cosine` (to zero over all epochs) or `constant`.
        warmup: epochs of linearly rising rate.
        clip: largest norm of the gradient; 0 for no limit.
        patience: epochs without a better one on the held-out slice, after which training stops.
        precision: `auto` (bfloat16 autocast where there is a GPU), `bf16` (on a CPU too) or `fp32`.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "schedule": ("cosine", "constant"),
        "precision": ("auto", "bf16", "fp32"),
    }

    epochs: int = 100
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup: int = 0
    clip: float = 5.0
    patience: int = 15
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name, known in self.CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)} is none of {', '.join(known)}.")


@dataclass(frozen=True)
class LoopOptions(OptimiserOptions):
    """How a network that tells classes apart is trained; its best epoch is that of the highest UA.

    Attributes:
        label_smoothing: share of each target spread over all classes.
        balance: `weights` (classes count alike in the loss), `sampling` (they are drawn alike) or `none`.
        mixup: alpha of mixup; 0 for none.
        specaugment: masks of time and of frequency for each utterance; 0 for none.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **OptimiserOptions.CHOICES,
        "balance": ("weights", "sampling", "none"),
    }

    label_smoothing: float = 0.0
    balance: str = "weights"
    mixup: float = 0.0
    specaugment: int = 0


class Batches(Protocol[Given]):
    """Where the loop gets its training data from."""

    steps: int  # of an epoch, the same on every worker

    def epoch(self, number: int) -> Iterator[Given]:
        """This worker's share of each batch, in an order that the number alone decides."""
        ...


class Objective(Protocol[Taken]):
    """What a network learns by, and what tells a good epoch from a bad one."""

    def loss(self, forward: Forward, batch: Taken, generator: torch.Generator) -> Tensor:
        """The loss of this worker's share of a batch; its mean over the workers is that of the batch.

        Args:
            forward: the network.
            batch: what `Batches` gives, on the CPU.
            generator: for all that is drawn.
        """

    def measure(self, network: nn.Module, held: Iterable[Taken]) -> tuple[float, dict[str, float]]:
        """Of a network in evaluation, over the shares of all workers: its merit, of which more is better,
        and figures for the curve."""


@dataclass
class LoopState:
    """Where a training stands, after whole epochs.

    Attributes:
        epoch: epochs done.
        network: weights now.
        optimiser: its state.
        best: weights of the best epoch so far.
        best_merit: what its objective makes of it on the held-out slice.
        best_epoch: its number, from 1.
        curve: figures of each epoch.
    """

    epoch: int = 0
    network: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_merit: float = -math.inf
    best_epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


Held = Callable[[], Iterable[Batch]]  # this worker's share of the held-out slice
Report = Callable[[dict[str, float], LoopState], None]


def train_network(
    network: nn.Module,
    objective: Objective[Batch],
    batches: Batches[Batch],
    held: Held[Batch] | None,
    options: OptimiserOptions,
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
        objective: what it learns by.
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
    step = _Step(network, objective, parameters, optimiser, options)
    last = options.epochs if until is None else min(until, options.epochs)
    while state.epoch < last and state.epoch - state.best_epoch < options.patience:
        drawn = _mix(seed, state.epoch, workers.rank())
        torch.manual_seed(drawn)
        network.train()
        generator = torch.Generator().manual_seed(drawn + 1)
        losses = []
        for number, batch in enumerate(batches.epoch(state.epoch)):
            rate = _rate(state.epoch + number / batches.steps, options)
            losses.append(step(batch, rate, generator))
        loss = float(workers.summed(torch.stack(losses).mean())) / workers.world()
        if not math.isfinite(loss):
            raise RunFailed(
                f"training failed: the loss is {loss} in epoch {state.epoch + 1}. Lower lr or clip."
            )
        _finish_epoch(bare, optimiser, objective, held, state, loss)
        if report:
            report(state.curve[-1], state)
    if state.best:
        bare.load_state_dict(state.best)
    bare.eval()
    return state


class _Step(Generic[Batch]):
    """One step of the optimiser."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective[Batch],
        parameters: list[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        options: OptimiserOptions,
    ) -> None:
        self.network, self.objective, self.optimiser = network, objective, optimiser
        self.parameters, self.options, self.device = parameters, options, parameters[0].device
        self.half = options.precision == "bf16" or (
            options.precision == "auto" and self.device.type == "cuda"
        )

    def __call__(self, batch: Batch, rate: float, generator: torch.Generator) -> Tensor:
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        loss = self.objective.loss(self._forward, batch, generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimiser.step()
        return loss.detach()

    def _forward(self, inputs: Any) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            answer: Tensor = self.network(inputs)
        return answer.float()


def _finish_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    objective: Objective[Batch],
    held: Held[Batch] | None,
    state: LoopState,
    loss: float,
) -> None:
    state.epoch += 1
    state.network = _copy(network)
    state.optimiser = copy.deepcopy(optimiser.state_dict())
    figures = {"epoch": state.epoch, "loss": loss, "lr": float(optimiser.param_groups[0]["lr"])}
    if held:
        merit, measured = objective.measure(network.eval(), held())
        figures |= measured
    if not held or merit > state.best_merit:
        state.best, state.best_epoch = state.network, state.epoch
        state.best_merit = merit if held else state.best_merit
    state.curve.append(figures)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _groups(network: nn.Module, options: OptimiserOptions) -> list[dict[str, Any]]:
    """Parameters by the scale of their rate: a network may say `rate_scales()` -> {parameter name: scale}."""
    scales: Mapping[str, float] = getattr(network, "rate_scales", dict)()
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(scales.get(name, 1.0), []).append(parameter)
    return [{"params": parameters, "scale": scale} for scale, parameters in groups.items()]


def _rate(epoch: float, options: OptimiserOptions) -> float:
    """The learning rate at a (fractional) epoch."""
    if epoch < options.warmup:
        return options.lr * (epoch + 1e-3) / options.warmup
    if options.schedule == "constant":
        return options.lr
    done = (epoch - options.warmup) / max(options.epochs - options.warmup, 1)
    return options.lr * 0.5 * (1 + math.cos(math.pi * done))


def _mix(seed: int, epoch: int, rank: int) -> int:
    return ((seed * 1_000_003 + epoch) * 7919 + 104_729 * rank) % (1 << 62)
