"""Pitch by sub-harmonic summation (Hermes, 1988)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_ray.features.compiled import compiled
from ser_ray.features.feature import Array

LOWEST_HZ, HIGHEST_HZ = 52.0, 620.0
HARMONICS, COMPRESSION = 15, 0.85  # each harmonic weighs 0.85 of the one below
SCALE_HZ = 25.0  # where the octave scale begins
CANDIDATES = 3
_LANES = 64  # frames that are worked on side by side

Indices = npt.NDArray[np.integer]
Row = npt.NDArray[np.float64]


class OctaveScale(NamedTuple):
    """A natural cubic spline through the bins of a spectrum over the logarithm of their frequency.

    Attributes:
        curve: [bins, 3]: what curvature a bin has by its right neighbour, itself and the left one.
        links: [bins, 2]: how it follows from the curvature to the left, and to the right.
        below: bin below each point of the scale [points].
        weights: [points, 4]: of the bins below and above a point, and of their curvatures.
        shifts: points between the fundamental and its harmonics [HARMONICS].
        shares: weights of the harmonics [HARMONICS].
        octave: points in an octave.
    """

    curve: Array
    links: Array
    below: Indices
    weights: Array
    shifts: Indices
    shares: Array
    octave: float


@lru_cache(maxsize=8)
def octave_scale(rate: int, n_fft: int) -> OctaveScale:
    """As many points as a spectrum has bins, evenly spaced in octaves from 25 Hz to half the rate.

    The bin of direct current stands an octave below the first.
    """
    bins = n_fft // 2 + 1
    places = np.log2(np.maximum(np.arange(bins), 0.5) * rate / n_fft)
    step = np.diff(places)
    curve, links = np.zeros((bins, 3)), np.zeros((bins, 2))
    for k in range(1, bins - 1):
        pivot = 1.0 / (2 * (step[k - 1] + step[k]) - step[k - 1] * links[k - 1, 1])
        links[k] = step[k - 1] * pivot, step[k] * pivot
        right, left = 6 * pivot / step[k], 6 * pivot / step[k - 1]
        curve[k] = right, -right - left, left
    octaves = np.log2(rate / 2 / SCALE_HZ)
    points = np.log2(SCALE_HZ) + np.linspace(0.0, octaves, bins)
    below = np.clip(np.searchsorted(places, points, side="right") - 1, 0, bins - 2)
    size = step[below]
    lower, upper = (places[below + 1] - points) / size, (points - places[below]) / size
    bends = [(share**3 - share) * size**2 / 6 for share in (lower, upper)]
    order = np.arange(1, HARMONICS + 1)
    return OctaveScale(
        curve.astype(np.float32),
        links.astype(np.float32),
        below.astype(np.int64),
        np.stack([lower, upper, *bends], axis=1).astype(np.float32),
        (np.log2(order) * bins / octaves).astype(np.int64),
        (COMPRESSION ** (order - 1) / HARMONICS).astype(np.float32),
        float((bins - 1) / octaves),
    )


def strongest_pitch(magnitudes: Array, scale: OctaveScale) -> Array:
    """F0 in Hz and voicing of each frame by itself; zeros where no candidate lies from 52 to 620 Hz.

    Candidates are the peaks of the summed spectrum, from 25 Hz up, that are higher than all before; the
    last three are kept, and of those within the range the one with the highest parabola is taken. Voicing
    is one less the mean of the summed spectrum over the peak.

    Args:
        magnitudes: float32 [frames, bins] of spectra.
        scale: of their rate and length.

    Returns:
        float32 [frames, 2].
    """
    found = np.zeros((len(magnitudes), 2), dtype=np.float32)
    lanes = np.zeros((magnitudes.shape[1], _LANES), dtype=np.float32)
    for first in range(0, len(magnitudes), _LANES):
        part = magnitudes[first : first + _LANES]
        lanes[:, : len(part)] = part.T
        summed = _sum_harmonics(_resample(lanes, *scale[:4]), scale.shifts, scale.shares)
        _pick(summed, *_peaks(summed), scale.octave, found[first : first + _LANES])
    return found


@compiled
def _resample(spectra: Array, curve: Array, links: Array, below: Indices, weights: Array) -> Array:
    """Spectra [bins, lanes] at the points of the scale."""
    bins = len(spectra)
    bend = np.zeros((bins, _LANES), dtype=np.float32)
    for k in range(1, bins - 1):
        right, own, left, link = curve[k, 0], curve[k, 1], curve[k, 2], links[k, 0]
        for lane in range(_LANES):
            curved = right * spectra[k + 1, lane] + own * spectra[k, lane] + left * spectra[k - 1, lane]
            bend[k, lane] = curved - link * bend[k - 1, lane]
    for k in range(bins - 2, 0, -1):
        for lane in range(_LANES):
            bend[k, lane] -= links[k, 1] * bend[k + 1, lane]
    found = np.empty((len(below), _LANES), dtype=np.float32)
    for k in range(len(below)):
        low, lower, upper = below[k], weights[k, 0], weights[k, 1]
        for lane in range(_LANES):
            line = lower * spectra[low, lane] + upper * spectra[low + 1, lane]
            found[k, lane] = line + weights[k, 2] * bend[low, lane] + weights[k, 3] * bend[low + 1, lane]
    return found


@compiled
def _sum_harmonics(spectra: Array, shifts: Indices, shares: Array) -> Array:
    """Weighted sums of the spectra [points, lanes] over the harmonics of each point, not below zero."""
    found = np.zeros(spectra.shape, dtype=np.float32)
    summed, flat = found.ravel(), spectra.ravel()
    for k in range(len(shifts)):
        share, harmonic = shares[k], flat[shifts[k] * _LANES :]
        for i in range(len(harmonic)):
            summed[i] += share * harmonic[i]
    for i in range(len(summed)):
        summed[i] = max(summed[i], np.float32(0.0))
    return found


@compiled
def _peaks(summed: Array) -> tuple[Indices, Row]:
    """Last peaks that are higher than all before, latest first [CANDIDATES, lanes], and means [lanes].

    Args:
        summed: [points, lanes]. Where a lane has fewer peaks, 0 stands for them.
    """
    peaks, highest = np.zeros((CANDIDATES, _LANES), dtype=np.int32), np.zeros(_LANES, dtype=np.float32)
    total = (summed[0] + summed[-1]).astype(np.float64)
    for k in range(1, len(summed) - 1):
        for lane in range(_LANES):  # without branches, for the lanes to go together
            left, height, right = summed[k - 1, lane], summed[k, lane], summed[k + 1, lane]
            higher, at = (height > highest[lane]) & (height > left) & (height > right), np.int32(k)
            total[lane] += height
            highest[lane] = height if higher else highest[lane]
            for slot in range(CANDIDATES):
                before = peaks[slot, lane]
                peaks[slot, lane] = at if higher else before
                at = before
    return peaks, total / len(summed)


@compiled
def _pick(summed: Array, peaks: Indices, means: Row, octave: float, found: Array) -> None:
    """Pitch and voicing of each lane of [points, lanes] into [lanes, 2]."""
    for lane in range(len(found)):
        best = 0.0
        for peak in peaks[:, lane]:
            left, height, right = summed[peak - 1, lane], summed[peak, lane], summed[peak + 1, lane]
            if peak:
                shift = 0.5 * (left - right) / (left - 2 * height + right)
                hz, top = SCALE_HZ * 2.0 ** ((peak + shift) / octave), height - 0.25 * (left - right) * shift
                if LOWEST_HZ <= hz <= HIGHEST_HZ and top > best:
                    best = top
                    found[lane, 0], found[lane, 1] = hz, max(0.0, 1.0 - means[lane] / top)
