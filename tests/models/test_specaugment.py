from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.errors import UsageError
from ser_ray.models.specaugment import SpecAugment


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padded(lengths: list[int], frames: int, bands: int, padding: float = 0.0) -> torch.Tensor:
    """Random features, no two alike, with `padding` behind each utterance."""
    batch = torch.rand((len(lengths), frames, bands), generator=seeded(9)) + 5
    for row, length in zip(batch, lengths, strict=True):
        row[length:] = padding
    return batch


def hidden(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return before != after


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.integers(1, 20),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2**31),
)
def test_only_valid_frames_are_hidden_and_every_value_is_the_utterances_own_or_its_mean(
    lengths, bands, time_masks, frequency_masks, seed
):
    masking = SpecAugment(time_masks=time_masks, frequency_masks=frequency_masks, frequency_width=4)
    batch = padded(lengths, 60, bands, padding=-7.0)
    kept = batch.clone()
    masked = masking(batch, torch.tensor(lengths), seeded(seed))
    assert torch.equal(batch, kept)
    assert masked.shape == batch.shape
    assert masked.dtype == batch.dtype
    for before, after, length in zip(batch, masked, lengths, strict=True):
        assert torch.equal(after[length:], before[length:])
        changed = after[hidden(before, after)]
        if len(changed):
            torch.testing.assert_close(changed, before[:length].mean().expand(len(changed)))


def runs(flags: torch.Tensor) -> list[int]:
    """Lengths of the stretches that are true."""
    text = "".join("x" if flag else " " for flag in flags.tolist())
    return [len(run) for run in text.split()]


def test_one_time_mask_hides_all_bands_of_a_stretch_and_widths_are_drawn_evenly():
    masking = SpecAugment(frequency_masks=0, time_masks=1, time_width=9, time_share=1.0)
    batch = padded([100] * 3000, 100, 2)
    flags = hidden(batch, masking(batch, torch.full((3000,), 100), seeded()))
    assert torch.equal(flags.any(dim=2), flags.all(dim=2))
    found = [runs(row) for row in flags.all(dim=2)]
    widths = torch.tensor([sum(lengths) for lengths in found])
    assert max(len(lengths) for lengths in found) == 1
    # 0 to 9, each with probability 1/10: 300 of 3000, standard deviation 16.
    assert torch.bincount(widths, minlength=10).tolist() == pytest.approx([300] * 10, abs=65)
    share = flags.all(dim=2).float().mean(dim=0)
    assert share[40:60].mean() == pytest.approx(4.5 / 95.5, abs=0.01)  # mean width over mean number of places
    assert share[0] > 0
    assert share[99] > 0


def test_one_frequency_mask_hides_a_band_in_all_valid_frames():
    masking = SpecAugment(frequency_masks=1, time_masks=0, frequency_width=3)
    lengths = torch.tensor([30, 50] * 200)
    batch = padded(lengths.tolist(), 50, 8)
    flags = hidden(batch, masking(batch, lengths, seeded()))
    for row, length in zip(flags, lengths.tolist(), strict=True):
        assert torch.equal(row[:length].any(dim=0), row[:length].all(dim=0))
        assert not row[length:].any()
    widths = flags[:, 0].sum(dim=1)
    assert widths.unique().tolist() == [0, 1, 2, 3]


def test_a_time_mask_is_no_longer_than_its_share_of_the_utterance():
    masking = SpecAugment(frequency_masks=0, time_masks=1, time_width=50, time_share=0.2)
    lengths = torch.tensor([10, 40, 400] * 300)
    batch = padded(lengths.tolist(), 400, 1)
    widths = hidden(batch, masking(batch, lengths, seeded()))[:, :, 0].sum(dim=1)
    assert [int(widths[k::3].max()) for k in range(3)] == [2, 8, 50]


def test_the_same_generator_state_hides_the_same_and_the_next_call_other_things():
    batch, lengths = padded([80] * 4, 80, 20), torch.full((4,), 80)
    generator = seeded(3)
    first, second = (SpecAugment()(batch, lengths, generator) for _ in range(2))
    assert torch.equal(first, SpecAugment()(batch, lengths, seeded(3)))
    assert not torch.equal(first, second)
    assert not torch.equal(hidden(batch, first)[0], hidden(batch, first)[1])


def test_without_masks_nothing_is_hidden():
    batch = padded([20, 5], 20, 4)
    lengths = torch.tensor([20, 5])
    for parameters in ({"time_masks": 0, "frequency_masks": 0}, {"time_width": 0, "frequency_width": 0}):
        assert torch.equal(SpecAugment(**parameters)(batch, lengths, seeded()), batch)


def test_padding_that_is_not_finite_reaches_no_mean():
    batch = padded([30, 20], 30, 6, padding=float("nan"))
    masked = SpecAugment()(batch, torch.tensor([30, 20]), seeded())
    assert torch.isfinite(masked[1, :20]).all()


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match=r"time_share=2\.0 will not do"):
        SpecAugment(time_share=2.0)
