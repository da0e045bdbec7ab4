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
    which none counts repeats the last values of its stretch.

    Args:
        wave: [samples].
        f0: Hz, 0 where unvoiced [frames]; frame k takes the samples from hop * (k + 1) on.
        rate: Hz.
        hop: Samples between frames.

    Returns:
        float32 [frames, 3]; zeros where unvoiced.
    """
    voiced = f0[f0 > 0]
    if not voiced.size:
        return np.zeros((len(f0), 3), dtype=np.float32)
    beyond = 4 * (int((1 + _AROUND) * rate / voiced.min()) + 2) + hop * (len(f0) + 1)
    samples = np.zeros(max(len(wave), hop * (len(f0) + 1)) + beyond - hop * len(f0))
    samples[: len(wave)] = wave
    return _follow(samples, np.where(f0 > 0, rate / np.maximum(f0, 1.0), 0.0), hop)


@compiled
def _follow(samples: Row, expected: Row, hop: int) -> Array:
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
def _measure(
    samples: Row, place: int, until: int, expected: float, last: Row, found: Array
) -> int:
    """Values of one frame into `found`; where the next period begins."""
    reach = 2 * (int((1 + _AROUND) * expected) + 2)
    until = max(until, place + reach)
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
def _period(samples: Row, place: int, expected: float) -> tuple[int, float, float]:
    """Lag, refined length and correlation of the highest peak; a lag of 0 where there is none."""
    shortest, longest = int((1 - _AROUND) * expected), int((1 + _AROUND) * expected)
    best, length, height = 0, 0.0, 0.0
    left, middle, highest = 0.0, 0.0, -2.0
    sums = _sums(samples, place, shortest)
    for lag in range(shortest, longest + 1):
        right = _correlation(samples, place, lag, sums)
        if lag >= shortest + 2 and middle > left and middle > right and middle > highest:
            curve = left - 2 * middle + right
            shift = 0.5 * (left - right) / curve
            best, length, height = lag - 1, lag - 1 + shift, middle - 0.25 * (left - right) * shift
            highest = middle
        left, middle = middle, right
        _lengthen(sums, samples, place, lag)
    return best, length, height


@compiled
def _sums(samples: Row, place: int, lag: int) -> Row:
    """Of `lag` samples and of as many that follow the sums, then those of their squares [4]."""
    sums = np.zeros(4)
    for i in range(place, place + lag):
        sums[0] += samples[i]
        sums[1] += samples[i + lag]
        sums[2] += samples[i] * samples[i]
        sums[3] += samples[i + lag] * samples[i + lag]
    return sums


@compiled
def _lengthen(sums: Row, samples: Row, place: int, lag: int) -> None:
    """Make of a lag's sums those of the next: a sample goes over, and two come in."""
    over, one, two = samples[place + lag], samples[place + 2 * lag], samples[place + 2 * lag + 1]
    sums[0] += over
    sums[1] += one + two - over
    sums[2] += over * over
    sums[3] += one * one + two * two - over * over


@compiled
def _correlation(samples: Row, place: int, lag: int, sums: Row) -> float:
    """Correlation of `lag` samples with as many that follow."""
    this, following = samples[place : place + lag], samples[place + lag : place + 2 * lag]
    product = 0.0
    for i in range(lag):
        product += this[i] * following[i]
    first, second, energy, other = sums
    energy, other = energy - first * first / lag, other - second * second / lag
    found: float = (product - first * second / lag) / np.sqrt(max(energy, 0.0) * max(other, 0.0) + 1e-30)
    return found


@compiled
def _range(samples: Row, place: int, lag: int) -> float:
    """Highest less lowest sample of a period, its first and last left out."""
    highest = lowest = samples[place + 1]
    for i in range(place + 2, place + lag - 1):
        highest, lowest = max(highest, samples[i]), min(lowest, samples[i])
    return float(highest - lowest)
