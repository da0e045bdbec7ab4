"""Another speaking rate at the same pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.audio.augmentation.augmentation import Varied, Wave
from ser_ray.parameters import parameter

HOP_S = 0.015  # half a window: a window holds two periods of the lowest voice
REACH_S = 0.010  # to either side; both together hold the longest period, 50 Hz


@dataclass(frozen=True, kw_only=True)
class Speed(Varied):
    """Faster or slower speech, pitch and formants kept.

    Of n samples come round(n / factor), at least one; what happens at t happens at t / factor, give or
    take 10 ms.

    Attributes:
        factor: Speaking rate against the recording's: above 1 is faster.
    """

    name: ClassVar[str] = "speed"
    strength: ClassVar[str] = "factor"

    factor: float = parameter(0.9, low=0.25, high=4.0)

    def _alter(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        return paced(wave, rate, self._drawn(rng))


def paced(wave: Wave, rate: int, factor: float) -> Wave:
    """A wave at another pace, by waveform-similarity overlap-add (WSOLA).

    After Verhelst and Roelands (1993), "An overlap-add technique based on waveform similarity (WSOLA)
    for high quality time-scale modification of speech", ICASSP: Hann windows half overlapped, each taken
    within 10 ms of its due place where it best resembles what would have followed the window before.

    Args:
        wave: float32 [samples].
        rate: Hz.
        factor: above 1 is faster.

    Returns:
        float32 [max(1, round(samples / factor))].
    """
    samples, hop = max(1, round(len(wave) / factor)), max(1, round(HOP_S * rate))
    due = np.rint(np.arange(-(-samples // hop) + 1) * (hop * factor)).astype(np.int64)
    reach = max(1, round(REACH_S * rate))
    after = max(0, int(due[-1]) - len(wave)) + 2 * hop + reach
    padded = np.pad(wave, (hop + reach, after))
    starts = _aligned(padded, due.tolist(), hop, reach)
    window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[starts] * window
    joined: Wave = (frames[:-1, hop:] + frames[1:, :hop]).ravel()[:samples]
    return joined


def _aligned(padded: Wave, due: list[int], hop: int, reach: int) -> list[int]:
    """Where each window [2 * hop] starts; `due` counts from the first place that can be searched."""
    width = 2 * hop
    power = np.concatenate([[0.0], np.cumsum(padded.astype(np.float64) ** 2)])
    # A floor, for where rounding of the sums leaves nothing or less of a silent stretch.
    loudness = np.sqrt(np.maximum(power[width:] - power[:-width], 1e-12 * power[-1]) + math.ulp(0.0))
    starts = [due[0] + reach]
    for place in due[1:]:
        follows = starts[-1] + hop
        if place <= follows <= place + 2 * reach:  # nothing resembles what follows more than itself
            starts.append(follows)
            continue
        region = padded[place : place + width + 2 * reach]
        likeness = np.correlate(region, padded[follows : follows + width], "valid")
        likeness = likeness / loudness[place : place + 2 * reach + 1]
        best = int(likeness.argmax())
        starts.append(place + (best if likeness[best] > 0 else reach))
    return starts
