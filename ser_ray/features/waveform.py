"""The wave itself, for networks that learn from samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ser_ray.features.feature import Array, Batch, Feature
from ser_ray.features.inference import RATE
from ser_ray.parameters import parameter

LONGEST = 3600.0  # s


@dataclass(frozen=True, kw_only=True)
class Waveform(Feature):
    """Samples of a stretch of the wave [samples, 1], as they are; nothing is filled up.

    A wave that ends before the stretch does is taken from earlier on, as far back as its beginning. One
    that is over before the stretch begins, or shorter than it, is taken whole.

    Attributes:
        start_s: Where the stretch begins, in seconds.
        seconds: Its length; 0 for all that follows.
    """

    name: ClassVar[str] = "waveform"

    start_s: float = parameter(0.0, low=0.0, high=LONGEST)
    seconds: float = parameter(0.0, low=0.0, high=LONGEST)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, 1)

    @property
    def names(self) -> tuple[str, ...]:
        return ("amplitude",)

    def _compute(self, batch: Batch) -> list[Array]:
        return [self._stretch(wave)[:, None].copy() for wave in batch.waves]

    def _stretch(self, wave: Array) -> Array:
        start = round(self.start_s * self.rate)
        if not self.seconds:
            return wave[start:] if start < len(wave) else wave
        samples = max(1, round(self.seconds * self.rate))
        start = max(0, min(start, len(wave) - samples))
        return wave[start : start + samples]


@dataclass(frozen=True, kw_only=True)
class Waveform16k(Waveform):
    """The same at 16 kHz in either band, for networks that others have trained at 16 kHz.

    For the band `telephone` the rate stays: the network gets what is left of 300-3400 Hz.
    """

    name: ClassVar[str] = "waveform_16k"

    rate: int = parameter(RATE, low=RATE, high=RATE)
