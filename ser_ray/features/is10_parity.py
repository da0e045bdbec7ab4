"""Our IS10 beside openSMILE's: how alike the numbers are, and how fast they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_ray.features.extras import require_extra
from ser_ray.features.feature import Array
from ser_ray.features.is10 import DESCRIPTORS, FUNCTIONALS, PITCH, Is10
from ser_ray.features.is10_opensmile import Is10OpenSmile

RATE = 16000
CLOSE = 0.01  # relative difference
_SMALLEST = 1e-6  # below this, values differ in absolute terms

Rows = npt.NDArray[np.float64]


def compare_is10(waves: Sequence[Array], repeats: int) -> dict[str, Any]:
    """Parity of our IS10 with openSMILE's, and both speeds.

    Args:
        waves: float32 [samples] at 16 kHz.
        repeats: of both, in turn.

    Returns:
        For each descriptor the correlation over frames and the median relative difference; for F0 the
        shares of frames of one voicing decision, and of those voiced by both that are within 1 %; for each
        functional and for the two groups of columns the share of values within 1 %; times real time of
        both and the median ratio.

    Raises:
        UsageError: openSMILE is not installed.
    """
    require_extra("opensmile", "opensmile", "the comparison of IS10")
    ours, theirs = Is10(rate=RATE), Is10OpenSmile(rate=RATE)
    descriptors = Is10(rate=RATE, level="lld_deltas")
    frames = [descriptors.batch(waves), _opensmile_frames(waves)]
    vectors = [np.stack(feature.batch(waves)).astype(np.float64) for feature in (ours, theirs)]
    return {
        **_compare_frames(*(np.concatenate(rows).astype(np.float64) for rows in frames)),
        **_compare_vectors(*vectors),
        **_speeds(lambda: ours.batch(waves), lambda: theirs.batch(waves), sum(map(len, waves)), repeats),
    }


def _compare_frames(ours: Rows, theirs: Rows) -> dict[str, Any]:
    """By descriptor; deltas by the lowest correlation. Both [frames, 76]."""
    names = (*DESCRIPTORS, *PITCH)
    apart = _apart(ours, theirs)
    alike = [float(np.corrcoef(mine, other)[0, 1]) for mine, other in zip(ours.T, theirs.T, strict=True)]
    found: dict[str, Any] = {
        name: {"correlation": alike[k], "median_difference": float(np.median(apart[:, k]))}
        for k, name in enumerate(names)
    }
    f0 = names.index("F0final_sma")
    voiced, both = ours[:, f0] > 0, (ours[:, f0] > 0) & (theirs[:, f0] > 0)
    found["F0"] = {
        "same_voicing": float(np.mean(voiced == (theirs[:, f0] > 0))),
        "within_1_percent": float(np.mean(apart[both, f0] < CLOSE)) if both.any() else 1.0,
    }
    return found | {"deltas": {"lowest_correlation": min(alike[len(names) :])}}


def _compare_vectors(ours: Rows, theirs: Rows) -> dict[str, Any]:
    """Shares of values within 1 % by functional and by group; both [utterances, 1582]."""
    close = _apart(ours, theirs) < CLOSE
    columns = Is10(rate=RATE).names
    found = {
        functional: float(close[:, [name.endswith(f"_{functional}") for name in columns]].mean())
        for functional in FUNCTIONALS
    }
    first_of_pitch = 2 * len(DESCRIPTORS) * len(FUNCTIONALS)
    groups = {"not of pitch": close[:, :first_of_pitch], "pitch, onsets, duration": close[:, first_of_pitch:]}
    return {
        **{f"within 1 %, {name}": share for name, share in found.items()},
        **{f"within 1 %, {name}": float(group.mean()) for name, group in groups.items()},
        "columns within 1 %, median utterance": float(np.mean(np.median(close, axis=0))),
    }


def _speeds(
    ours: Callable[[], Any], theirs: Callable[[], Any], samples: int, repeats: int
) -> dict[str, float]:
    """Times real time of both, by the processor's clock of this process, and their ratio."""
    seconds = [(_seconds(ours), _seconds(theirs)) for _ in range(repeats)]
    audio_s = samples / RATE
    return {
        "times_real_time": audio_s / median(mine for mine, _ in seconds),
        "reference_times_real_time": audio_s / median(other for _, other in seconds),
        "ratio": median(other / mine for mine, other in seconds),
    }


def _opensmile_frames(waves: Sequence[Array]) -> list[Array]:
    """Descriptors and deltas [frames, 76] of each wave by openSMILE."""
    import opensmile

    levels = [opensmile.Smile(opensmile.FeatureSet.IS10, level) for level in ("lld", "lld_de")]
    found = []
    for wave in waves:
        descriptors, deltas = (level.process_signal(wave, RATE).to_numpy() for level in levels)
        found.append(np.concatenate([descriptors, deltas[: len(descriptors)]], axis=1))
    return found


def _apart(ours: Rows, theirs: Rows) -> Rows:
    """Relative differences."""
    return np.asarray(np.abs(ours - theirs) / np.maximum(np.abs(theirs), _SMALLEST))


def _seconds(run: Callable[[], Any]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started
