"""IS10 by openSMILE, to compare with ours."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ser_ray import errors
from ser_ray.features.extras import require_extra
from ser_ray.features.feature import BANDS, Array, Batch, Feature
from ser_ray.features.is10 import SHORTEST_S, functional_names
from ser_ray.parameters import parameter

NOTICE = (
    "is10_opensmile is computed by openSMILE, (c) audEERING GmbH, under its research licence: non-commercial "
    "use only. Any other use needs a commercial licence from audEERING."
)


@dataclass(frozen=True, kw_only=True)
class Is10OpenSmile(Feature):
    """The 1,582 statistics of Schuller et al. (2010) by openSMILE's `IS10_paraling_compat`, to compare with.

    `is10` gives the same, many times faster and free of openSMILE's licence, which is non-commercial. A
    wave shorter than 0.1 s is filled up with zeros; what goes beyond full scale clips. It needs the extra
    `opensmile`.
    """

    name: ClassVar[str] = "is10_opensmile"

    rate: int = parameter(own=lambda f: BANDS[f.band].rate, low=8000, high=48_000)

    def _check(self) -> None:
        require_extra("opensmile", "opensmile", "feature is10_opensmile")

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (len(self.names),)

    @property
    def names(self) -> tuple[str, ...]:
        return functional_names()

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
    require_extra("opensmile", "opensmile", "feature is10_opensmile")
    import opensmile

    _say_whose()
    return opensmile.Smile(opensmile.FeatureSet.IS10, opensmile.FeatureLevel.Functionals)


@lru_cache(maxsize=1)
def _say_whose() -> None:
    """Print the licence, once a process."""
    logging.getLogger(__name__).warning(NOTICE)
