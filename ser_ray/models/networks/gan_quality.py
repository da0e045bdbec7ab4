"""How good the sequences are that a GAN makes: figures to stand beside what is learned from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ser_ray.models.networks.gan import Gan
from ser_ray.models.networks.network import Padded, valid

COLLAPSED = 0.2  # diversity ratio below which a generator makes much the same sequence over and over
COMPARED = 64  # sequences of a kind that are compared with each other


def quality(gan: Gan, made: Padded, unit: float = 1.0) -> dict[str, float]:
    """What there is to say of sequences that a GAN made.

    Args:
        gan: who made them, and what it learned from.
        made: [sequences, frames, columns].
        unit: what a value of 1 stands for.

    Returns:
        `gan_mean_gap`, `gan_deviation_gap`: mean over the columns of how far means and deviations of all
            frames lie from those of the real sequences, in `unit`.
        `gan_real_accuracy`, `gan_made_accuracy`: of the discriminator on real and on made sequences. 1 and
            1: it tells them all apart; 0.5 and 0.5: it cannot.
        `gan_diversity`: mean distance between made sequences over that of real ones; near 0: collapse.
        `gan_rank`: median numerical rank of a made sequence.
        `gan_sequences`: how many were made.
    """
    real = gan.real
    (mean, deviation), (own_mean, own_deviation) = _moments(real), _moments(made)
    return {
        "gan_mean_gap": unit * float((mean - own_mean).abs().mean()),
        "gan_deviation_gap": unit * float((deviation - own_deviation).abs().mean()),
        "gan_real_accuracy": float(gan.says_real(real).double().mean()),
        "gan_made_accuracy": 1.0 - float(gan.says_real(made).double().mean()),
        "gan_diversity": diversity(made) / max(diversity(real), 1e-12),
        "gan_rank": float(np.median(ranks(made))),
        "gan_sequences": float(len(made.values)),
    }


def together(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """The figures of several GANs as one: all sequences, the least diversity, the mean of all else."""
    found = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    found["gan_diversity"] = min(part["gan_diversity"] for part in parts)
    found["gan_sequences"] = sum(part["gan_sequences"] for part in parts)
    return found


def diversity(sequences: Padded) -> float:
    """Mean distance between two sequences: the root of the mean square over the frames that both have.

    At most `COMPARED` of them are compared. A single one has no other: 0.
    """
    values, lengths = sequences.values[:COMPARED], sequences.lengths[:COMPARED]
    if len(values) < 2:
        return 0.0
    distances = []
    for row in range(1, len(values)):
        both = valid(torch.minimum(lengths[:row], lengths[row]), values.shape[1])
        squares = (values[:row] - values[row]).square().mean(dim=2) * both
        distances.append((squares.sum(dim=1) / both.sum(dim=1)).sqrt())
    return float(torch.cat(distances).mean())


def ranks(sequences: Padded) -> list[int]:
    """Numerical rank of the frames of each of at most `COMPARED` sequences."""
    rows = zip(sequences.values[:COMPARED], sequences.lengths[:COMPARED].tolist(), strict=True)
    return [int(np.linalg.matrix_rank(values[:length].numpy())) for values, length in rows]


def _moments(sequences: Padded) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the valid frames of all sequences [columns]."""
    frames = sequences.values[valid(sequences.lengths, sequences.values.shape[1])].double()
    return frames.mean(dim=0), frames.std(dim=0, correction=0)
