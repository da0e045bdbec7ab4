"""Jitter and shimmer: how the periods of a voice differ from one to the next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ser_ray.features.compiled import compiled
from ser_ray.features.feature import Array

_AROUND = 0.25  # a period is searched for this share of the expected one below and above it

Row = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


def jitter_shimmer(wave: Array, f0: Array, rate: int, hop: int) -> Array:
    """Local jitter, jitter of successive differences (DDP) and local shimmer, as openSMILE 3 has them.

    The voiced frames of a stretch take up the wave period by period, each where the last one ended. Its
    length is the lag of the highest peak of the correlation between what follows and what follows that
    (Medan, Yair and Chazan, 1991), within 25 % of the frame's F0, refined by a parabola. Of the periods of
    a frame, jitter is the mean change of length over the mean length, DDP the mean change of that change,
    and shimmer the mean change of the range of samples over the mean range, at most 1.

    As in openSMILE's configuration, a period counts only if its correlation is higher than the lowest of
    the frame so far in single precision. So of the first period of a frame rounding decides. A frame in
    which none counts repeats the last values of its stretch. Periods that reach beyond the wave do not count.

    Args:
        wave: [samples].
        f0: Hz, 0 where unvoiced [frames]; frame k takes the samples from hop * (k + 1) on.
        rate: Hz.
        hop: Samples between frames.

    Returns:
        float32 [frames, 3]; zeros where unvoiced.
    """
    return _follow(wave, np.where(f0 > 0, rate / np.maximum(f0, 1.0), 0.0), hop)


@compiled
def _follow(samples: Array, expected: Row, hop: int) -> Array:
    """Values of frames whose periods have the expected length in samples, 0 where unvoiced."""
    found = np.zeros((len(expected), 3), dtype=np.float32)
    last = np.full(2, -1.0)  # the last period that counts, and its change; below 0 where there is none
    place, voiced = 0, False
    for k in range(len(expected)):
        if expected[k] == 0.0:
            voiced = False
            continue
        start = hop * (k + 1)
        if not voiced:
            place, voiced = start, True
            last[:] = -1.0
        else:
            found[k] = found[k - 1]
        if place <= start:
            place = _measure(samples, place, start + hop, expected[k], last, found[k])
    return found


@compiled
def _measure(samples: Array, place: int, until: int, expected: float, last: Row, found: Array) -> int:
    """Values of one frame into `found`; where the next period begins."""
    reach = 2 * (int((1 + _AROUND) * expected) + 2)
    until = min(max(until, place + reach), len(samples))
    lowest = np.float32(2.0)
    tally = np.zeros(8)
    while place + reach <= until:
        lag, length, height = _period(samples, place, expected)
        if not lag:
            place += int(np.round(expected))
            continue
        lowest = min(lowest, np.float32(height))
        if height > lowest:
            _count(tally, last, length, _range(samples, place, lag), _range(samples, place + lag, lag))
        place += lag
    periods, period_sum, changes, change_sum, turns, turn_sum, range_sum, range_change = tally
    if periods:
        mean = period_sum / periods
        found[0] = change_sum / max(changes, 1.0) / mean
        found[1] = turn_sum / max(turns, 1.0) / mean
        found[2] = min(1.0, range_change / max(range_sum, 1e-300))
    return place


@compiled
def _count(tally: Row, last: Row, length: float, this: float, following: float) -> None:
    """Add a period, its change, the change of that, and the ranges of it and its follower; remember it."""
    tally[0] += 1
    tally[1] += length
    if last[0] >= 0.0:
        change = abs(length - last[0])
        tally[2] += 1
        tally[3] += change
        if last[1] >= 0.0:
            tally[4] += 1
            tally[5] += abs(change - last[1])
        last[1] = change
    last[0] = length
    tally[6] += (this + following) / 2
    tally[7] += abs(this - following)


@compiled
def _period(samples: Array, place: int, expected: float) -> tuple[int, float, float]:
    """Lag, refined length and correlation of the highest peak; a lag of 0 where there is none."""
    shortest, longest = int((1 - _AROUND) * expected), int((1 + _AROUND) * expected)
    alike = _correlations(samples[place : place + 2 * longest + 2], shortest, longest)
    best, highest = 0, -2.0
    for k in range(1, len(alike) - 1):
        if alike[k] > alike[k - 1] and alike[k] > alike[k + 1] and alike[k] > highest:
            best, highest = k, alike[k]
    if not best:
        return 0, 0.0, 0.0
    left, right, lag = alike[best - 1], alike[best + 1], shortest + best
    shift = 0.5 * (left - right) / (left - 2 * highest + right)
    return lag, lag + shift, highest - 0.25 * (left - right) * shift


@compiled
def _correlations(samples: Array, shortest: int, longest: int) -> Row:
    """Correlation of the first samples with as many that follow, for each lag [longest - shortest + 1]."""
    around = samples.astype(np.float64)
    shared = np.empty(longest + 1 - shortest)
    energies = np.empty((2, len(shared)))
    first, second = around[:shortest].sum(), around[shortest : 2 * shortest].sum()
    square, following = np.square(around[:shortest]).sum(), np.square(around[shortest : 2 * shortest]).sum()
    for lag in range(shortest, longest + 1):
        k, later, product = lag - shortest, around[lag:], 0.0
        for i in range(lag):
            product += around[i] * later[i]
        shared[k] = product - first * second / lag
        energies[0, k], energies[1, k] = square - first * first / lag, following - second * second / lag
        over, one, two = around[lag], around[2 * lag], around[2 * lag + 1]
        first, second = first + over, second + one + two - over
        square, following = square + over * over, following + one * one + two * two - over * over
    found: Row = shared / np.sqrt(np.maximum(energies[0], 0.0) * np.maximum(energies[1], 0.0) + 1e-30)
    return found


@compiled
def _range(samples: Array, place: int, lag: int) -> float:
    """Highest less lowest sample of a period, its first and last left out."""
    highest = lowest = samples[place + 1]
    for i in range(place + 2, place + lag - 1):
        highest, lowest = max(highest, samples[i]), min(lowest, samples[i])
    return float(np.float64(highest) - np.float64(lowest))
