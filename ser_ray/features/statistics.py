"""Statistics over time: from the frames of an utterance to one vector."""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft

from ser_ray.features.descriptors import FEWEST, Descriptors, Mask
from ser_ray.features.feature import Array
from ser_ray.features.mfcc import delta

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
    accel = delta(change)[active].std(axis=0)
    change = change[active]
    heard = frames.columns[:, active]
    p5, p25, p50, p75, p95 = percentiles(frames.columns[:, voiced], (5, 25, 50, 75, 95))
    return np.concatenate(
        [heard.mean(axis=1), heard.std(axis=1), p5, p50, p95, p75 - p25]
        + [frames.columns[:, unvoiced].mean(axis=1), change.std(axis=0), np.abs(change).mean(axis=0), accel]
    )


def regions(frames: Descriptors) -> tuple[Mask, Mask, Mask]:
    """Active, voiced and unvoiced frames; a region of too few frames is replaced by the larger one."""
    active = frames.active if frames.active.sum() >= FEWEST else np.ones_like(frames.active)
    voiced = frames.voiced if frames.voiced.sum() >= FEWEST else active
    unvoiced = frames.active & ~frames.voiced
    return active, voiced, unvoiced if unvoiced.sum() >= FEWEST else active
