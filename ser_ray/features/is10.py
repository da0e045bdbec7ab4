"""IS10: the feature set of the INTERSPEECH 2010 Paralinguistic Challenge, by openSMILE."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ser_ray import errors
from ser_ray.features.extras import require_extra
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
SHORTEST_S = 0.1  # openSMILE gives nothing below 70 ms, two of its 60 ms frames
NOTICE = (
    "is10 is computed by openSMILE, (c) audEERING GmbH, under its research licence: non-commercial use only. "
    "Any other use needs a commercial licence from audEERING."
)


@dataclass(frozen=True, kw_only=True)
class Is10(Feature):
    """The 1,582 statistics of Schuller et al. (2010), `IS10_paraling_compat` of openSMILE.

    34 descriptors and their deltas under 21 functionals, 4 descriptors of pitch and theirs over voiced
    frames under 19, number of pitch onsets, and duration. A wave shorter than 0.1 s is filled up with
    zeros; what goes beyond full scale clips. It needs the extra `opensmile`, whose licence is
    non-commercial.
    """

    name: ClassVar[str] = "is10"

    rate: int = parameter(own=lambda f: BANDS[f.band].rate, low=8000, high=48_000)

    def _check(self) -> None:
        require_extra("opensmile", "opensmile", "feature is10")

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (len(self.names),)

    @property
    def names(self) -> tuple[str, ...]:
        pitch = [functional for functional in FUNCTIONALS if functional not in NOT_OF_PITCH]
        return (
            *_names(DESCRIPTORS, FUNCTIONALS),
            *_names(PITCH, pitch),
            *("F0final__Turn_numOnsets", "F0final__Turn_duration"),
        )

    def announce(self) -> None:
        _say_whose()

    def _compute(self, batch: Batch) -> list[Array]:
        return [by_opensmile(wave, self.rate) for wave in batch.waves]


def by_opensmile(wave: Array, rate: int) -> Array:
    """The 1,582 values of a wave, in openSMILE's order.

    Args:
        wave: float32 [samples], full scale at 1.0.
        rate: its rate, Hz.

    Raises:
        UnreadableAudio: `not_finite`: openSMILE gives NaN or infinite values.
    """
    filled = np.pad(wave, (0, max(0, round(SHORTEST_S * rate) - len(wave))))
    # openSMILE counts in 16 bits: a sample of 1.0 would come around as -1.0.
    values = _smile()(np.clip(filled, -1.0, 32767 / 32768), rate).reshape(-1).astype(np.float32)
    if not np.isfinite(values).all():
        raise errors.UnreadableAudio("not_finite", "openSMILE gives no finite values; leave the wave out.")
    return np.asarray(values)


@lru_cache(maxsize=1)
def _smile() -> Any:
    """openSMILE, built once a process: it cannot be sent to another."""
    require_extra("opensmile", "opensmile", "feature is10")
    import opensmile

    _say_whose()
    return opensmile.Smile(opensmile.FeatureSet.IS10, opensmile.FeatureLevel.Functionals)


@lru_cache(maxsize=1)
def _say_whose() -> None:
    """Print the licence, once a process."""
    logging.getLogger(__name__).warning(NOTICE)


def _names(descriptors: tuple[str, ...], functionals: tuple[str, ...] | list[str]) -> list[str]:
    """Names of the functionals of the descriptors, then of their deltas."""
    deltas = [descriptor.replace("_sma", "_sma_de") for descriptor in descriptors]
    return [f"{d}_{functional}" for d in (*descriptors, *deltas) for functional in functionals]
