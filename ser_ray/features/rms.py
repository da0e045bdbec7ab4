"""Root mean square of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.features.feature import Array, Batch
from ser_ray.features.frames import FramedFeature, centred_frames


@dataclass(frozen=True, kw_only=True)
class Rms(FramedFeature):
    """Root mean square of the samples [frames, 1], full scale at 1.0, 25 ms frames every 10 ms.

    The values are those of `librosa.feature.rms` of the same frame length and hop.
    """

    name: ClassVar[str] = "rms"

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, 1)

    @property
    def names(self) -> tuple[str, ...]:
        return ("rms",)

    def _compute(self, batch: Batch) -> list[Array]:
        return [self._of(wave) for wave in batch.waves]

    def _of(self, wave: Array) -> Array:
        frames = centred_frames(np.square(wave), self.window, self.hop, before=self.window // 2)
        return np.asarray(np.sqrt(frames.mean(axis=1, keepdims=True)))
