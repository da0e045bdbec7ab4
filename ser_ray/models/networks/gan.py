"""A generative adversarial network (Goodfellow et al., 2014) that makes sequences of features.

The generator grows a sequence from noise, the discriminator tells real ones from made ones, and each learns
from the other. Utterances differ in length: what is made takes the lengths of real ones, so that neither
side can tell, or has to learn, where an utterance ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ser_ray.errors import RunFailed, UsageError
from ser_ray.features.inference import device
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.parts import one_of, positive, share, silenced_frames

HEADS = ("full", "shared")
SLOPE = 0.2  # of LeakyReLU below zero
TOGETHER = 256  # sequences made at once
SETTLING = 10  # batches from which normalisation takes its statistics when training has ended


@dataclass(frozen=True)
class GanOptions:
    """What a GAN is, and how it is trained.

    Attributes:
        head: the generator's end. "full": one linear layer to all frames and columns, and tanh. "shared":
            the last hidden layer has one unit a frame, and one linear layer, the same for every frame, makes
            its columns of it; a sequence h w' + 1 b' has rank 2 at most.
        latent: columns of the noise.
        generator: widths of its hidden layers; with a shared head the last is the number of frames.
        discriminator: widths of its hidden layers.
        epochs: how often each real sequence is seen.
        batch: sequences a step, 2 or more.
        lr: learning rate of Adam, of both sides.
        beta1: of Adam.
    """

    head: str = "full"
    latent: int = 100
    generator: Sequence[int] = (256, 512, 1024, 512)
    discriminator: Sequence[int] = (512, 256)
    epochs: int = 60
    batch: int = 32
    lr: float = 2e-4
    beta1: float = 0.5

    def __post_init__(self) -> None:
        one_of("generator", self.head, HEADS)
        positive("latent", self.latent)
        share("gan_beta1", self.beta1)
        if self.epochs < 0 or self.batch < 2 or self.lr <= 0:
            given = f"gan_epochs={self.epochs}, gan_batch={self.batch}, gan_lr={self.lr}"
            raise UsageError(f"{given} will not do. Set them to 0, to 2 and above 0, or more.")


class Generator(nn.Module):
    """Noise to sequences of features.

    Args:
        frames: of a sequence.
        columns: of a frame.
        options: see `GanOptions`.
    """

    def __init__(self, frames: int, columns: int, options: GanOptions) -> None:
        super().__init__()
        self.frames, self.columns, self.latent = frames, columns, options.latent
        self.shared = options.head == "shared"
        hidden = [*options.generator[:-1], frames] if self.shared else options.generator
        layers: list[nn.Module] = []
        for a, b in zip((options.latent, *hidden), hidden, strict=False):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.LeakyReLU(SLOPE)]
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(1, columns) if self.shared else nn.Linear(hidden[-1], frames * columns)

    def forward(self, noise: Tensor) -> Tensor:
        """[batch, latent] -> [batch, frames, columns], within -1 and 1 where the head is "full"."""
        hidden = self.hidden(noise)
        if self.shared:  # no tanh: it would hide the rank without adding anything to tell
            sequences: Tensor = self.head(hidden.unsqueeze(-1))
            return sequences
        return torch.tanh(self.head(hidden)).reshape(-1, self.frames, self.columns)


class Discriminator(nn.Module):
    """Sequences to the logit of being real: all frames in a row, hidden layers, one unit.

    Args:
        frames: of a sequence.
        columns: of a frame.
        hidden: widths.
    """

    def __init__(self, frames: int, columns: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((frames * columns, *hidden), hidden, strict=False):
            layers += [nn.Linear(a, b), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(hidden[-1], 1))

    def forward(self, sequences: Tensor) -> Tensor:
        """[batch, frames, columns], zeros beyond each length -> [batch]."""
        logits: Tensor = self.layers(sequences).squeeze(1)
        return logits


class Gan:
    """A generator and a discriminator that have learned from real sequences, or are about to.

    Args:
        real: [sequences, frames, columns], about within -1 and 1, zeros beyond each length.
        options: see `GanOptions`.
        seed: fixes weights, order and noise.
    """

    def __init__(self, real: Padded, options: GanOptions, seed: int) -> None:
        self.real, self.options = real, options
        self.draws = torch.Generator().manual_seed(seed)
        frames, columns = real.values.shape[1:]
        torch.manual_seed(seed)
        self.generator = Generator(frames, columns, options).to(device())
        self.discriminator = Discriminator(frames, columns, options.discriminator).to(device())

    def train(self) -> Gan:
        """Let both sides learn from each other for all epochs.

        Raises:
            RunFailed: a loss is not finite.
        """
        rate, betas = self.options.lr, (self.options.beta1, 0.999)
        judge = torch.optim.Adam(self.discriminator.parameters(), rate, betas, fused=True)
        maker = torch.optim.Adam(self.generator.parameters(), rate, betas, fused=True)
        self.generator.train()
        for epoch in range(self.options.epochs):
            order = torch.randperm(len(self.real.values), generator=self.draws)
            losses = [self._step(rows, judge, maker) for rows in torch.split(order, self.options.batch)]
            if not math.isfinite(float(torch.stack(losses).sum())):
                raise RunFailed(f"the GAN failed: a loss is not finite in epoch {epoch + 1}. Lower gan_lr.")
        return self

    @torch.no_grad()
    def sample(self, count: int) -> Padded:
        """So many sequences that the generator makes, of lengths drawn from the real ones, on the CPU."""
        self._settle()
        lengths = self._lengths(count)
        made = [self._made(part).cpu() for part in torch.split(lengths, TOGETHER)]
        return Padded(torch.cat(made), lengths)

    @torch.no_grad()
    def says_real(self, sequences: Padded) -> Tensor:
        """Which sequences the discriminator takes for real: bool [sequences]."""
        parts = torch.split(sequences.values, TOGETHER)
        return torch.cat([self.discriminator(part.to(device())).cpu() > 0 for part in parts])

    def _step(self, rows: Tensor, judge: torch.optim.Optimizer, maker: torch.optim.Optimizer) -> Tensor:
        real = self.discriminator(self.real.values[rows].to(device()))
        made = self._made(self._lengths(self.options.batch))
        found = self.discriminator(made.detach())
        loss = _loss(real, 1.0) + _loss(found, 0.0)
        judge.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        judge.step()
        self.discriminator.requires_grad_(False)  # half of the work of the step backwards
        deceived = _loss(self.discriminator(made), 1.0)
        maker.zero_grad(set_to_none=True)
        deceived.backward()  # type: ignore[no-untyped-call]
        maker.step()
        self.discriminator.requires_grad_(True)
        return torch.stack([loss.detach(), deceived.detach()])

    def _made(self, lengths: Tensor) -> Tensor:
        """Sequences of these lengths [batch, frames, columns], zeros beyond."""
        return silenced_frames(self.generator(self._noise(len(lengths))), lengths)

    def _noise(self, count: int) -> Tensor:
        return torch.randn(count, self.options.latent, generator=self.draws).to(device())

    def _lengths(self, count: int) -> Tensor:
        rows = torch.randint(len(self.real.lengths), (count,), generator=self.draws)
        return self.real.lengths[rows]

    def _settle(self) -> None:
        """Give the normalisation statistics of the weights as they are now, not of those on the way."""
        for module in self.generator.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.reset_running_stats()
                module.momentum = None  # the mean over all batches from here
        self.generator.train()
        for _ in range(SETTLING):
            self.generator.hidden(self._noise(TOGETHER))
        self.generator.eval()


def _loss(logits: Tensor, target: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
