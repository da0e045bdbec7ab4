"""A louder or softer recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.audio.augmentation.augmentation import Varied, Wave
from ser_ray.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class Gain(Varied):
    """Another level; the length stays.

    Attributes:
        db: The change in dB.
        clip: Whether what then lies over full scale is cut off at 1.0, as a recorder does; otherwise it
            stays as it is.
    """

    name: ClassVar[str] = "gain"
    strength: ClassVar[str] = "db"

    db: float = parameter(-6.0, low=-60.0, high=60.0)
    clip: bool = parameter(True)

    def _alter(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        louder = wave * np.float32(10 ** (self._drawn(rng) / 20))
        return np.clip(louder, -1.0, 1.0) if self.clip else louder
