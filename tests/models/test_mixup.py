from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.errors import UsageError
from ser_ray.models.mixup import Mixup


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights_of(alpha: float, pairs: int) -> np.ndarray:
    """The weights that were drawn, read off a batch in which every example is a class of its own."""
    targets = torch.eye(pairs, dtype=torch.float64)
    return Mixup(alpha=alpha)(targets, targets, None, seeded())[1].diagonal().numpy()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.floats(0.05, 5), st.integers(0, 2**31))
def test_examples_and_targets_are_mixed_in_the_same_pairs_with_the_same_weights(rows, alpha, seed):
    batch = torch.rand((rows, 5), generator=seeded(1))
    identity = torch.eye(rows)
    mixed, shares, lengths = Mixup(alpha=alpha)(batch, identity, None, seeded(seed))
    assert lengths is None
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(rows))
    assert (shares >= 0).all()
    assert ((shares > 0).sum(dim=1) <= 2).all()
    torch.testing.assert_close(mixed, shares @ batch)


def test_every_example_is_the_partner_of_one():
    _, shares, _ = Mixup(alpha=1.0)(torch.eye(50), torch.eye(50), None, seeded())
    partners = shares.clone()
    partners.fill_diagonal_(0)
    assert ((partners > 0).sum(dim=0) <= 1).all()
    assert (partners > 0).sum() >= 45  # an example may meet itself


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_drawn_from_the_beta_distribution(alpha):
    weights = weights_of(alpha, 2000)
    weights = weights[weights < 1]  # but for those that met themselves
    assert weights.mean() == pytest.approx(0.5, abs=0.04)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_a_mixed_sequence_is_as_long_as_the_longer_and_padding_counts_as_nothing():
    lengths = torch.tensor([4, 2, 3, 1])
    batch = torch.ones((4, 5, 2))
    batch[torch.arange(5) >= lengths[:, None]] = float("nan")
    mixed, shares, longer = Mixup(alpha=1.0)(batch, torch.eye(4), lengths, seeded(2))
    assert torch.isfinite(mixed).all()
    valid = (torch.arange(5) < lengths[:, None]).float()
    torch.testing.assert_close(mixed, (shares @ valid)[:, :, None].expand(4, 5, 2))
    assert longer.tolist() == [int(lengths[row > 0].max()) for row in shares]
    assert longer.tolist() != lengths.tolist()
    assert longer.dtype == lengths.dtype


def test_the_same_generator_state_mixes_alike_and_nothing_is_changed_in_place():
    batch, targets = torch.rand((6, 3), generator=seeded(5)), torch.eye(6)
    kept = batch.clone()
    generator = seeded(1)
    first, second = (Mixup()(batch, targets, None, generator)[0] for _ in range(2))
    assert torch.equal(batch, kept)
    assert torch.equal(first, Mixup()(batch, targets, None, seeded(1))[0])
    assert not torch.equal(first, second)
    assert first.dtype == batch.dtype


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match=r"alpha=0\.0 will not do"):
        Mixup(alpha=0.0)
