"""Statistics over time: from the frames of an utterance to one vector."""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft

from ser_ray.features.descriptors import FEWEST, LEVEL, Descriptors, Mask
from ser_ray.features.feature import Array
from ser_ray.features.mfcc import delta
from ser_ray.features.spectrum import power_of_two

POOLED = (
    *("mean", "std", "voiced_p5", "voiced_p50", "voiced_p95", "voiced_iqr", "unvoiced_mean"),
    *("delta_std", "delta_abs", "accel_std"),
)
BANDS = ("voiced_std", "voiced_iqr")
PITCH = (
    *("mean", "std", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p10_90", "p25_75", "p5_95"),
    *("skewness", "kurtosis", "slope", "change_abs", "change_std", "rise", "fall", "rising"),
    *("change_p5", "change_p95", "first_third", "second_third", "last_third", "onset", "end"),
)
RHYTHM = (
    *("voiced", "active", "voiced_mean_s", "voiced_std_s", "voiced_max_s", "unvoiced_mean_s"),
    *("unvoiced_max_s", "voiced_per_s", "log_duration", "level_rise", "level_fall", "level_rising"),
)
MODULATION_HZ = ((0.5, 1.5), (1.5, 3), (3, 5), (5, 8), (8, 12), (12, 18), (18, 28), (28, 50))
FINEST_S = 10.0  # s of zero-padded track, so that the lowest modulation band holds several bins
EDGE_FRAMES = 15  # frames of the pitch's onset and end
THIRDS = 6  # coefficients whose course over the utterance is kept


def percentiles(rows: Array, shares: tuple[float, ...]) -> list[Array]:
    """Percentiles along the last axis with linear interpolation, as `numpy.percentile` but quicker."""
    ordered = np.sort(rows, axis=-1)
    last = ordered.shape[-1] - 1
    found = []
    for share in shares:
        below = int(share / 100 * last)
        above, part = min(below + 1, last), np.float32(share / 100 * last - below)
        found.append(ordered[..., below] * (1 - part) + ordered[..., above] * part)
    return found


def pool(frames: Descriptors) -> Array:
    """`POOLED` of every descriptor [len(POOLED) * descriptors], statistic by statistic."""
    active, voiced, unvoiced = regions(frames)
    change = delta(frames.columns.T)
    accel = delta(change)[active]
    change = change[active]
    heard, hissed = frames.columns[:, active], frames.columns[:, unvoiced]
    p5, p25, p50, p75, p95 = percentiles(frames.columns[:, voiced], (5, 25, 50, 75, 95))
    levels = [heard.mean(axis=1), heard.std(axis=1), p5, p50, p95, p75 - p25, hissed.mean(axis=1)]
    return np.concatenate([*levels, change.std(axis=0), np.abs(change).mean(axis=0), accel.std(axis=0)])


def regions(frames: Descriptors) -> tuple[Mask, Mask, Mask]:
    """Active, voiced and unvoiced frames; a region of too few frames is replaced by the larger one."""
    active = frames.active if frames.active.sum() >= FEWEST else np.ones_like(frames.active)
    voiced = frames.voiced if frames.voiced.sum() >= FEWEST else active
    unvoiced = frames.active & ~frames.voiced
    return active, voiced, unvoiced if unvoiced.sum() >= FEWEST else active


def pool_bands(frames: Descriptors) -> Array:
    """`BANDS` of every mel band [len(BANDS) * bands]."""
    voiced = frames.bands[:, regions(frames)[1]]
    p25, p75 = percentiles(voiced, (25, 75))
    return np.concatenate([voiced.std(axis=1), p75 - p25])


def describe_pitch(frames: Descriptors, frame_s: float) -> Array:
    """`PITCH`: the distribution, movement and course of the voiced frames' pitch, in semitones."""
    voiced = regions(frames)[1]
    pitch, times = frames.pitch[voiced], np.flatnonzero(voiced) * np.float32(frame_s)
    mean, deviation = pitch.mean(), pitch.std()
    scaled = (pitch - mean) / (deviation + np.float32(1e-3))
    squared, count = np.square(scaled), np.float32(len(scaled))
    p5, p10, p25, p50, p75, p90, p95 = percentiles(pitch, (5, 10, 25, 50, 75, 90, 95))
    centred = times - times.mean()
    slope = centred @ (pitch - mean) / (centred @ centred + np.float32(1e-6))
    edge = min(len(pitch), EDGE_FRAMES)
    course = [*_thirds(pitch), pitch[:edge], pitch[-edge:]]
    return np.array(
        [mean, deviation, p5, p10, p25, p50, p75, p90, p95, p90 - p10, p75 - p25, p95 - p5]
        + [squared @ scaled / count, np.log1p(squared @ squared / count), slope]
        + _changes(frames.pitch, voiced)
        + [part.mean() - mean for part in course],
        dtype=np.float32,
    )


def describe_rhythm(frames: Descriptors, frame_s: float) -> Array:
    """`RHYTHM`: shares and lengths of voiced and unvoiced stretches, and how the level moves."""
    inside = _spoken(frames)
    voiced, active = frames.voiced[inside], frames.active[inside]
    stretches, gaps = _runs(voiced) * frame_s, _runs(~voiced) * frame_s
    duration = len(voiced) * frame_s
    lengths = [stretches.mean(), stretches.std(), stretches.max(), gaps.mean(), gaps.max()]
    rate, change = np.count_nonzero(stretches) / duration, delta(frames.columns[LEVEL, inside, None])
    return np.array(
        [voiced.mean(), active.mean(), *lengths, rate, np.log(duration), *_rises(change)], dtype=np.float32
    )


def modulation(frames: Descriptors, frame_s: float) -> Array:
    """Modulation spectrum in dB of the level and of eight groups of mel bands [9 * MODULATION_HZ].

    Amplitude modulations around 4 Hz carry the syllables (Wu, Falk and Chan, 2011).
    """
    groups = [part.mean(axis=0) for part in np.array_split(frames.bands, 8)]
    tracks = np.stack([frames.columns[LEVEL], *groups])[:, _spoken(frames)]
    length = tracks.shape[1]
    tapered = (tracks - tracks.mean(axis=1, keepdims=True)) * np.hanning(length).astype(np.float32)
    n_fft = power_of_two(max(length, round(FINEST_S / frame_s)))
    power = np.abs(rfft(tapered, n_fft, axis=1)) ** 2 / np.float32(length)
    edges = [[round(edge * frame_s * n_fft) for edge in pair] for pair in MODULATION_HZ]
    means = [power[:, low:high].mean(axis=1) for low, high in edges]
    return np.asarray(10 * np.log10(np.stack(means, axis=1) + 1e-3), dtype=np.float32).ravel()


def course(frames: Descriptors) -> Array:
    """How the first coefficients of each third of the utterance differ from their mean [3 * THIRDS]."""
    cepstrum = frames.columns[:THIRDS, _spoken(frames)]
    mean = cepstrum.mean(axis=1)
    return np.concatenate([part.mean(axis=1) - mean for part in _thirds(cepstrum)])


def _thirds(rows: Array) -> tuple[Array, Array, Array]:
    """The frames cut into three; neighbours share one, so that none is ever empty."""
    third = rows.shape[-1] // 3
    return rows[..., : third + 1], rows[..., third : 2 * third + 1], rows[..., -third - 1 :]


def _spoken(frames: Descriptors) -> slice:
    """From the first active frame to the last; silence around an utterance says nothing."""
    active = np.flatnonzero(regions(frames)[0])
    return slice(active[0], active[-1] + 1)


def _changes(pitch: Array, voiced: Mask) -> list[float]:
    """Statistics of the steps between voiced frames; steps above 3 semitones are taken for errors."""
    steps = np.diff(pitch)
    steps = steps[voiced[1:] & voiced[:-1] & (np.abs(steps) < 3)]
    if not steps.size:
        steps = np.zeros(1, np.float32)
    p5, p95 = percentiles(steps, (5, 95))
    return [np.abs(steps).mean(), steps.std(), *_rises(steps), p5, p95]


def _rises(steps: Array) -> list[float]:
    """Mean step upwards, mean step downwards, and share of steps upwards."""
    up, down = steps[steps > 0], steps[steps < 0]
    return [up.mean() if up.size else 0.0, down.mean() if down.size else 0.0, up.size / steps.size]


def _runs(mask: Mask) -> Array:
    """Lengths of the unbroken stretches of True; one of length 0 where there is none."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return np.asarray(edges[1::2] - edges[::2] if edges.size else np.zeros(1), dtype=np.float32)
