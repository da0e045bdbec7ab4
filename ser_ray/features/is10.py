"""IS10: the feature set of the INTERSPEECH 2010 Paralinguistic Challenge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.features.feature import BANDS, Array, Batch, Feature
from ser_ray.parameters import parameter

DESCRIPTORS = (
    "pcm_loudness_sma",
    *(f"mfcc_sma[{k}]" for k in range(15)),
    *(f"logMelFreqBand_sma[{k}]" for k in range(8)),
    *(f"lspFreq_sma[{k}]" for k in range(8)),
    *("F0finEnv_sma", "voicingFinalUnclipped_sma"),
)
PITCH = ("F0final_sma", "jitterLocal_sma", "jitterDDP_sma", "shimmerLocal_sma")
FUNCTIONALS = (
    *("maxPos", "minPos", "amean", "linregc1", "linregc2", "linregerrA", "linregerrQ"),
    *("stddev", "skewness", "kurtosis", "quartile1", "quartile2", "quartile3"),
    *("iqr1-2", "iqr2-3", "iqr1-3", "percentile1.0", "percentile99.0", "pctlrange0-1"),
    *("upleveltime75", "upleveltime90"),
)
NOT_OF_PITCH = ("percentile1.0", "pctlrange0-1")
TURN = ("F0final__Turn_numOnsets", "F0final__Turn_duration")
SHORTEST_S = 0.1  # openSMILE gives nothing below 70 ms, two of its 60 ms frames
LEFT_OUT = 3  # frames at the end that openSMILE's functionals do not see
FRAME_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Is10(Feature):
    """The 1,582 statistics of Schuller et al. (2010).

    34 descriptors and their deltas under 21 functionals, 4 descriptors of pitch and theirs under 19 over
    the frames where they are not zero, number of pitch onsets, and duration in seconds. Names, order and
    values are those of openSMILE's `IS10_paraling_compat`, but for rounding; its peculiarities are kept:

    - The wave is one of 16 bits: what goes beyond full scale clips, digits below are cut off.
    - Loudness is that of the first sample of a frame.
    - Of a period, rounding decides whether it counts for jitter and shimmer; see `jitter.jitter_shimmer`.
    - Functionals do not see the last three frames.

    Beside openSMILE on EMO-DB (535 files) and 300 of RAVDESS: descriptors outside pitch correlate by .9999
    over frames, their median relative difference is 3e-5 at most; every frame has the same voicing and F0;
    jitter and shimmer correlate by .997. Within 1 % are 99.1 to 99.7 % of the values of the functionals
    outside pitch, 97.6 to 98.6 % of the others; what is left are mostly quartiles of deltas about zero, and
    utterances in which the rounding of one period went the other way. Linear SVM, EMO-DB, leave one speaker
    out: UA 76.5 by either. Fourteen times as fast on a core or more. `jobs/benchmark.py is10` measures it
    anew.

    A wave shorter than 0.1 s is filled up with zeros. Mel bands end at half the rate: at 8 kHz the values
    are those of openSMILE at 8 kHz; the line spectra there, of a signal at 11 kHz whose upper part is
    empty, agree less well. Rates of which 11 kHz is no simple ratio (44.1, 48) have other line spectra. In
    the band `telephone` mel bands also begin at 300 and end at 3400 Hz, where openSMILE's see what the line
    has left; pitch, line spectra and loudness are the same. The first call in a new environment compiles
    for some seconds.

    It runs on the CPU: following periods, picking peaks and sorting short contours are loops that no GPU
    would shorten, and the transforms that it would are a quarter of the time.

    Attributes:
        level: `functionals`, one vector; `lld`, the 38 smoothed descriptors [frames, 38]; or `lld_deltas`,
            their deltas beside them [frames, 76].
    """

    name: ClassVar[str] = "is10"
    version: ClassVar[int] = 3

    rate: int = parameter(own=lambda f: BANDS[f.band].rate, low=8000, high=48_000)
    level: str = parameter("functionals", choices=("functionals", "lld", "lld_deltas"))

    @property
    def shape(self) -> tuple[int | None, ...]:
        count = len(self.names)
        return (count,) if self.level == "functionals" else (None, count)

    @property
    def names(self) -> tuple[str, ...]:
        if self.level == "functionals":
            return functional_names()
        descriptors = (*DESCRIPTORS, *PITCH)
        return descriptors if self.level == "lld" else (*descriptors, *map(delta_name, descriptors))

    def _compute(self, batch: Batch) -> list[Array]:
        # numba takes most of a second to import, which only users of this feature shall wait.
        from ser_ray.features.is10_contours import contours, with_deltas

        low, high = BANDS[self.band].low, min(BANDS[self.band].high, self.rate / 2)
        waves = [sixteen_bit(wave, self.rate) for wave in batch.waves]
        found = contours(waves, self.rate, low, high)
        if self.level == "lld":
            return [columns for columns, _ in found]
        both = [with_deltas(columns) for columns, _ in found]
        if self.level == "lld_deltas":
            return both
        return [summarise(columns, onsets) for columns, (_, onsets) in zip(both, found, strict=True)]


def functional_names() -> tuple[str, ...]:
    """Names of the 1,582 columns, openSMILE's."""
    pitch = [functional for functional in FUNCTIONALS if functional not in NOT_OF_PITCH]
    groups = ((DESCRIPTORS, FUNCTIONALS), (PITCH, pitch))
    described = [
        f"{descriptor}_{functional}"
        for descriptors, functionals in groups
        for descriptor in (*descriptors, *map(delta_name, descriptors))
        for functional in functionals
    ]
    return (*described, *TURN)


def delta_name(descriptor: str) -> str:
    """Name of a descriptor's delta."""
    return descriptor.replace("_sma", "_sma_de")


def sixteen_bit(wave: Array, rate: int) -> Array:
    """The wave in steps of 1 / 32767, cut off towards zero and clipped; at least 0.1 s."""
    steps = np.zeros(max(len(wave), round(SHORTEST_S * rate)), dtype=np.float32)
    np.clip(wave, -1.0, 32767 / 32768, out=steps[: len(wave)])
    steps *= np.float32(32768)
    np.trunc(steps, out=steps)
    steps /= np.float32(32767)
    return steps


def summarise(columns: Array, onsets: int) -> Array:
    """The 1,582 values of 38 descriptors and their deltas [frames, 76], and the number of pitch onsets."""
    from ser_ray.features.functionals import functionals

    seen = columns[: max(1, len(columns) - LEFT_OUT)].T
    count, pitch = len(DESCRIPTORS), len(PITCH)
    deltas = count + pitch
    described = functionals(np.concatenate([seen[:count], seen[deltas : deltas + count]]))
    of_pitch = functionals(np.concatenate([seen[count:deltas], seen[deltas + count :]]), skip_zeros=True)
    kept = [k for k, functional in enumerate(FUNCTIONALS) if functional not in NOT_OF_PITCH]
    turn = [onsets, (len(columns) - 1) * FRAME_S]
    return np.concatenate([described.ravel(), of_pitch[:, kept].ravel(), turn]).astype(np.float32)
