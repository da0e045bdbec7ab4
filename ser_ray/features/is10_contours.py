"""The 38 contours of the INTERSPEECH 2010 set, from waves."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft

from ser_ray.features.compiled import compiled
from ser_ray.features.feature import Array
from ser_ray.features.frames import Frames, overlapping
from ser_ray.features.jitter import jitter_shimmer
from ser_ray.features.line_spectrum import line_spectra
from ser_ray.features.mel import mel_edges
from ser_ray.features.mfcc import cosines, delta
from ser_ray.features.spectrum import emphasise, power_of_two, split
from ser_ray.features.subharmonic import octave_scale, strongest_pitch

WINDOW_S, PITCH_WINDOW_S, HOP_S = 0.025, 0.060, 0.010
PREEMPHASIS = 0.97
CEPSTRA, MEL_BANDS, LIFTER, LOG_BANDS = 15, 26, 22, 8
LOWEST_HZ, HIGHEST_HZ, HIGHEST_LOG_HZ = 20.0, 8000.0, 6500.0  # of the mel bands
PREDICTED_HZ = 11_000  # rate of the samples that linear prediction sees
VOICED = 0.75  # voicing above which a frame has a pitch
SPIKE = 1.5  # a frame whose F0 is so many times that of both neighbours, or they its, is an octave error
_FLOOR, _LOG_FLOOR = np.float32(1e-8), np.float32(1e-12)  # of mel bands, power
_QUIETEST, _LOUDNESS = 1e-6, 0.3


class Contours(NamedTuple):
    """What the functionals are of.

    Attributes:
        columns: 34 descriptors, then 4 of pitch, of 60 ms every 10 ms, smoothed over 3 frames [frames, 38].
        onsets: How often a voiced stretch begins.
    """

    columns: Array
    onsets: int


def contours(waves: list[Array], rate: int, low: float, high: float) -> list[Contours]:
    """The contours of each wave.

    Args:
        waves: float32 [samples], at least 60 ms, each a multiple of 1 / 32767.
        rate: Hz.
        low: no mel band goes below this, Hz.
        high: nor above this, Hz.
    """
    hop, long = round(HOP_S * rate), round(PITCH_WINDOW_S * rate)
    found = []
    parts = zip(waves, _spectral(waves, rate, low, high), _pitches(waves, rate), strict=True)
    for wave, spectral, pitch in parts:
        frames = 1 + (len(wave) - long) // hop
        of_pitch = _pitch_contours(wave, pitch, rate)
        onsets = int(np.count_nonzero((of_pitch[1:, 2] > 0) & (of_pitch[:-1, 2] == 0)))
        found.append(Contours(_smoothed(spectral[: frames + 1], of_pitch), onsets))
    return found


def _smoothed(spectral: Array, of_pitch: Array) -> Array:
    """Mean over three frames, the first repeated, of 32 and 6 columns [frames, 38].

    Args:
        spectral: [frames + 1, 32].
        of_pitch: [frames - 1, 6]; as in openSMILE its last row is repeated to the end.
    """
    last, columns = len(of_pitch), np.empty((len(spectral) + 1, 38), dtype=np.float32)
    columns[1:, :32], columns[1 : last + 1, 32:] = spectral, of_pitch
    columns[last + 1 :, 32:] = of_pitch[-1]
    columns[0] = columns[1]
    return np.asarray((columns[:-2] + columns[1:-1] + columns[2:]) / np.float32(3))


def with_deltas(columns: Array) -> Array:
    """Columns [frames, 38] and behind them their regression deltas over two frames to either side."""
    return np.concatenate([columns, delta(columns)], axis=1)


def _spectral(waves: list[Array], rate: int, low: float, high: float) -> list[Array]:
    """Loudness, MFCC 0-14, 8 log mel bands and 8 line spectral frequencies [frames, 32], 25 ms frames."""
    window, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    n_fft, taper = power_of_two(window), np.hamming(window).astype(np.float32)
    starts = [wave[: len(wave) - window + 1 : hop] for wave in waves]
    emphasised = [emphasise(wave, PREEMPHASIS) for wave in waves]
    frames = Frames([overlapping(wave, window, hop) for wave in emphasised])
    first = np.concatenate(starts)
    edges = (1 - np.float32(PREEMPHASIS)) * taper[0] * first
    matrices = _matrices(rate, n_fft, low, high)
    rows = []
    for k, block in enumerate(frames.blocks(taper, n_fft)):
        edge = edges[k * len(block) : (k + 1) * len(block)]
        block[: len(edge), 0] = edge  # pre-emphasis begins anew in each frame
        rows.append(_describe(rfft(block, axis=1), n_fft, rate, *matrices))
    loudness = (np.square(first) * (taper[0] / taper.sum() / _QUIETEST)) ** np.float32(_LOUDNESS)
    described = np.concatenate(rows)[: len(frames)]
    return split(np.column_stack([loudness, described]).astype(np.float32), frames.counts)


def _describe(spectra: npt.NDArray[np.complex64], n_fft: int, rate: int, *matrices: Array) -> Array:
    """MFCC, log mel bands and line spectral frequencies of spectra [frames, bins]."""
    filters, floors, liftered = matrices
    levels = np.log(np.maximum(_power(spectra) @ filters, floors))
    cepstra, bands = levels[:, :MEL_BANDS] @ liftered, levels[:, MEL_BANDS:]
    return np.column_stack([cepstra, bands, line_spectra(_resampled(spectra, n_fft, rate))])


def _resampled(spectra: npt.NDArray[np.complex64], n_fft: int, rate: int) -> Array:
    """Frames [frames, samples] at 11 kHz from the lower part of their spectra.

    As openSMILE: of the spectrum as many bins as half the new frame has samples, whatever the length of the
    FFT (up to 4.25 kHz at 16 kHz), and direct current twice.
    """
    samples, period = round(WINDOW_S * PREDICTED_HZ), n_fft * PREDICTED_HZ / rate
    kept = spectra[:, : min(samples // 2, n_fft // 2)].copy()
    kept[:, 0] *= 2
    if period.is_integer():
        whole = np.zeros((len(kept), int(period) // 2 + 1), dtype=np.complex64)
        whole[:, : kept.shape[1]] = kept[:, : whole.shape[1]]
        return np.asarray(irfft(whole, int(period), axis=1)[:, :samples])
    angles = 2 * np.pi / period * np.outer(np.arange(kept.shape[1]), np.arange(samples))
    turns = np.concatenate([np.cos(angles), -np.sin(angles)]).astype(np.float32)
    return np.concatenate([kept.real, kept.imag], axis=1) @ turns


def _pitches(waves: list[Array], rate: int) -> list[Array]:
    """F0 in Hz and voicing [frames, 2] of each 60 ms frame by itself."""
    window, hop = round(PITCH_WINDOW_S * rate), round(HOP_S * rate)
    n_fft = power_of_two(window)
    frames = Frames([overlapping(wave, window, hop) for wave in waves])
    scale, taper = octave_scale(rate, n_fft), _gauss(window)
    spectra = (rfft(block, axis=1) for block in frames.blocks(taper, n_fft))
    found = [strongest_pitch(np.sqrt(_power(bins)), scale) for bins in spectra]
    return split(np.concatenate(found)[: len(frames)], frames.counts)


def _power(spectra: npt.NDArray[np.complex64]) -> Array:
    """Squared magnitudes, each square rounded: a fused sum would now and then pick another pitch."""
    power = np.square(spectra.real)
    power += np.square(spectra.imag)
    return power


def _pitch_contours(wave: Array, pitch: Array, rate: int) -> Array:
    """Envelope of F0, voicing, F0, jitter, its DDP and shimmer [frames - 1, 6].

    As in openSMILE the first frame has no pitch, and the last is missing.

    Args:
        wave: [samples].
        pitch: F0 in Hz and voicing of each frame by itself [frames, 2].
        rate: Hz.
    """
    found = np.empty((len(pitch) - 1, 6), dtype=np.float32)
    f0 = smooth_f0(np.where(pitch[:, 1] > VOICED, pitch[:, 0], 0))[:-1]
    f0[0] = 0
    found[:, 0], found[:, 1], found[:, 2] = envelope(f0), pitch[:-1, 1], f0
    found[0, 1] = 0
    found[:, 3:] = jitter_shimmer(wave, f0, rate, round(HOP_S * rate))
    return found


def smooth_f0(f0: Array) -> Array:
    """F0 [frames], 0 where unvoiced, without voiced frames that stand alone and single octave errors."""
    smoothed = f0.copy()
    before, here, after = f0[:-2], f0[1:-1], f0[2:]
    smoothed[1:-1][(before == 0) & (after == 0)] = 0
    voiced = (before > 0) & (here > 0) & (after > 0)
    above = (here > SPIKE * before) & (here > SPIKE * after)
    below = (SPIKE * here < before) & (SPIKE * here < after)
    spikes = voiced & (above | below)
    smoothed[1:-1][spikes] = after[spikes]
    return smoothed


@compiled
def envelope(f0: Array) -> Array:
    """F0 [frames] as a running average, 3/4 of it old, held where unvoiced; 0 before the first voice."""
    found, level = np.empty_like(f0), 0.0
    for k in range(len(f0)):
        if f0[k] > 0.0:
            level = 0.75 * level + 0.25 * f0[k] if level > 0.0 else 1.0 * f0[k]
        found[k] = level
    return found


@lru_cache(maxsize=8)
def _gauss(window: int) -> Array:
    """A Gaussian [window] with a deviation of a quarter of half its length."""
    middle = (window - 1) / 2
    shape = np.exp(-0.5 * np.square((np.arange(window) - middle) / (0.25 * middle)))
    return np.asarray(shape, dtype=np.float32)


@lru_cache(maxsize=8)
def _matrices(rate: int, n_fft: int, low: float, high: float) -> tuple[Array, Array, Array]:
    """Filters of mel and log mel bands [bins, 26 + 8], floors of their powers, liftered cosines [26, 15]."""
    lifter = 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    liftered = cosines(MEL_BANDS, CEPSTRA) * lifter
    liftered[:, 0] *= np.sqrt(2)
    filters = [
        _mel_filters(rate, n_fft, bands, max(LOWEST_HZ, low), min(highest, high))
        for bands, highest in ((MEL_BANDS, HIGHEST_HZ), (LOG_BANDS, HIGHEST_LOG_HZ))
    ]
    floors = np.repeat([_FLOOR, _LOG_FLOOR], [MEL_BANDS, LOG_BANDS])
    return np.concatenate(filters, axis=1), floors, liftered.astype(np.float32)


def _mel_filters(rate: int, n_fft: int, bands: int, low: float, high: float) -> Array:
    """Triangles on the mel scale [bins, bands]; the bin nearest to the lower edge is left out."""
    edges = _mel(mel_edges(bands, low, high, "htk"))
    mel = _mel(np.arange(n_fft // 2 + 1) * rate / n_fft)[:, None]
    rising, falling = (mel - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - mel) / np.diff(edges)[1:]
    filters = np.maximum(0, np.minimum(rising, falling))
    filters[: round(low * n_fft / rate) + 1] = 0
    return filters.astype(np.float32)


def _mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1127 * np.log1p(hz / 700))
