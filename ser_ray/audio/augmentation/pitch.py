"""Another pitch at the same speaking rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.audio.augmentation.augmentation import Varied, Wave, fitted
from ser_ray.audio.augmentation.speed import paced
from ser_ray.audio.resample import resample
from ser_ray.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class Pitch(Varied):
    """A higher or lower voice, length and timing kept (give or take 10 ms).

    The wave is slowed down and played faster by as much, or the reverse, so the formants move with the
    pitch, as with a shorter or longer vocal tract. Going up, the top of the band is lost; going down, it
    is left empty.

    Attributes:
        semitones: Above 0 is higher.
    """

    name: ClassVar[str] = "pitch"
    strength: ClassVar[str] = "semitones"

    semitones: float = parameter(2.0, low=-12.0, high=12.0)

    def _alter(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        ratio = 2 ** (self._drawn(rng) / 12)
        stretched = paced(wave, rate, 1 / ratio)
        # Rounding to whole Hz is an error of a tenth of a cent at most.
        return fitted(resample(stretched, round(rate * ratio), rate), len(wave))
