"""The GAN by itself: what it makes, what it learns, and how that is measured."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ser_ray.errors import RunFailed, UsageError
from ser_ray.models.networks.gan import Discriminator, Gan, GanOptions, Generator
from ser_ray.models.networks.gan_quality import COLLAPSED, diversity, quality, ranks, together
from ser_ray.models.networks.network import Padded

SMALL: dict[str, Any] = {
    "latent": 4,
    "generator": (16, 32),
    "discriminator": (16, 8),
    "batch": 16,
    "lr": 2e-3,
}
FRAMES, MEANS = 12, torch.tensor([0.6, -0.5, 0.2, 0.0])


def options(**changes: Any) -> GanOptions:
    return GanOptions(**{**SMALL, **changes})


def real(rows: int = 48, seed: int = 0, spread: float = 0.15) -> Padded:
    """Sequences of 6 to 12 frames whose columns have means of their own."""
    draws = torch.Generator().manual_seed(seed)
    lengths = torch.randint(6, FRAMES + 1, (rows,), generator=draws)
    values = MEANS + spread * torch.randn(rows, FRAMES, len(MEANS), generator=draws)
    return Padded(values * (torch.arange(FRAMES) < lengths[:, None])[..., None], lengths)


@pytest.fixture(scope="module")
def trained() -> Gan:
    return Gan(real(), options(epochs=60), seed=1).train()


def test_it_is_as_large_as_the_papers():
    generator = Generator(512, 32, GanOptions())
    widths = (100, 256, 512, 1024, 512)
    hidden = sum(a * b + b + 2 * b for a, b in pairwise(widths))
    assert sum(p.numel() for p in generator.parameters()) == hidden + 513 * 512 * 32
    shared = Generator(512, 32, GanOptions(head="shared"))
    assert sum(p.numel() for p in shared.parameters()) == hidden + 2 * 32
    judge = Discriminator(512, 32, GanOptions().discriminator)
    assert sum(p.numel() for p in judge.parameters()) == 16385 * 512 + 513 * 256 + 257
    assert {m.negative_slope for m in generator.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


def test_a_shared_head_makes_sequences_of_rank_two_and_a_full_one_of_more():
    for epochs in (0, 5):
        shared = Gan(real(), options(head="shared", epochs=epochs), seed=0).train().sample(20)
        full = Gan(real(), options(epochs=epochs), seed=0).train().sample(20)
        assert max(ranks(shared)) <= 2
        assert min(ranks(full)) == len(MEANS)
        assert full.values.abs().max() <= 1


def test_what_is_made_has_lengths_of_real_sequences_and_zeros_beyond(trained):
    made = trained.sample(300)
    assert made.values.shape == (300, FRAMES, len(MEANS))
    assert set(made.lengths.tolist()) == set(real().lengths.tolist())
    for values, length in zip(*made, strict=True):
        assert torch.count_nonzero(values[length:]) == 0
        assert torch.count_nonzero(values[:length]) == length * len(MEANS)


def test_it_learns_where_the_real_sequences_lie(trained):
    untrained = Gan(real(), options(epochs=0), seed=1).train()
    before, after = (quality(gan, gan.sample(200)) for gan in (untrained, trained))
    assert after["gan_mean_gap"] < 0.15
    assert before["gan_mean_gap"] > 0.25
    assert after["gan_deviation_gap"] < 0.2
    assert after["gan_diversity"] > COLLAPSED


def test_the_seed_fixes_what_is_made(trained):
    again = Gan(real(), options(epochs=60), seed=1).train()
    for name, weights in trained.generator.state_dict().items():
        if "running" not in name and "num_batches" not in name:  # of samples taken since
            assert torch.equal(weights, again.generator.state_dict()[name]), name
    one, other = (Gan(real(), options(epochs=2), seed).train().sample(5).values for seed in (1, 2))
    assert not torch.allclose(one, other)


def test_a_sequence_does_not_depend_on_those_made_beside_it(trained):
    trained.sample(1)  # normalisation has settled
    noise = torch.randn(6, 4)
    with torch.no_grad():
        together_ = trained.generator(noise)
        alone = torch.cat([trained.generator(row[None]) for row in noise])
    torch.testing.assert_close(together_, alone, atol=1e-5, rtol=0)


def test_the_same_sequence_over_and_over_is_no_diversity():
    lengths = torch.tensor([6, 9, 12, 8])
    same = torch.randn(1, FRAMES, 4).expand(4, -1, -1)
    cut = same * (torch.arange(FRAMES) < lengths[:, None])[..., None]
    assert diversity(Padded(cut, lengths)) == 0.0
    assert diversity(Padded(cut[:1], lengths[:1])) == 0.0


def test_diversity_is_the_mean_distance_over_the_frames_that_two_have():
    sequences = real(rows=5)
    expected = []
    for i in range(5):
        for j in range(i):
            n = int(min(sequences.lengths[i], sequences.lengths[j]))
            gap = (sequences.values[i, :n] - sequences.values[j, :n]).numpy()
            expected.append(np.sqrt(np.square(gap).mean()))
    assert diversity(sequences) == pytest.approx(np.mean(expected), rel=1e-5)


def test_gaps_are_those_of_the_columns_in_their_unit(trained):
    made = trained.sample(30)
    found = quality(trained, made, unit=3.0)
    frames = [
        np.concatenate([v[:n].numpy() for v, n in zip(*sequences, strict=True)])
        for sequences in (trained.real, made)
    ]
    mean_gap = np.abs(frames[0].mean(0) - frames[1].mean(0)).mean()
    assert found["gan_mean_gap"] == pytest.approx(3 * mean_gap, rel=1e-4)
    gap = np.abs(frames[0].std(0) - frames[1].std(0)).mean()
    assert found["gan_deviation_gap"] == pytest.approx(3 * gap, rel=1e-4)
    assert found["gan_sequences"] == 30
    assert all(type(value) is float for value in found.values())


def test_the_discriminators_accuracy_is_told_of_either_side(trained):
    with torch.no_grad():
        right = (trained.discriminator(trained.real.values) > 0).double().mean()
        made = trained.sample(40)
        wrong = (trained.discriminator(made.values) > 0).double().mean()
    found = quality(trained, made)
    assert found["gan_real_accuracy"] == pytest.approx(float(right))
    assert found["gan_made_accuracy"] == pytest.approx(1 - float(wrong))


def test_figures_of_several_are_means_but_the_least_diversity_and_all_sequences():
    one = {"gan_mean_gap": 0.2, "gan_diversity": 0.9, "gan_sequences": 10.0}
    two = {"gan_mean_gap": 0.4, "gan_diversity": 0.1, "gan_sequences": 5.0}
    found = together([one, two])
    assert found == pytest.approx({"gan_mean_gap": 0.3, "gan_diversity": 0.1, "gan_sequences": 15.0})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"head": "literal"}, "generator='literal' does not exist.*full, shared"),
        ({"latent": 0}, "latent=0"),
        ({"epochs": -1}, "gan_epochs=-1"),
        ({"batch": 1}, "gan_batch=1"),
        ({"lr": 0.0}, r"gan_lr=0\.0"),
        ({"beta1": 1.0}, r"gan_beta1=1\.0"),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        options(**wrong)


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(RunFailed, match="Lower gan_lr"):
        Gan(real(), options(epochs=40, lr=1e30), seed=0).train()
