"""Zero-crossing rate of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.features.feature import Array, Batch
from ser_ray.features.frames import FramedFeature, centred_frames

_ZERO = 1e-10  # what lies this near to zero counts as zero, and zero as positive


@dataclass(frozen=True, kw_only=True)
class ZeroCrossings(FramedFeature):
    """Changes of sign from sample to sample, over the samples of a frame [frames, 1], 25 ms every 10 ms.

    A tone of f Hz has a rate of 2 f / sampling rate. The values are those of
    `librosa.feature.zero_crossing_rate` of the same frame length and hop.
    """

    name: ClassVar[str] = "zcr"

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, 1)

    @property
    def names(self) -> tuple[str, ...]:
        return ("zcr",)

    def _compute(self, batch: Batch) -> list[Array]:
        return [self._of(wave) for wave in batch.waves]

    def _of(self, wave: Array) -> Array:
        negative = wave < -_ZERO
        # How many up to each sample: beyond the ends there are no more, so repeating the count is right.
        changes = np.cumsum(np.diff(negative, prepend=negative[:1]))
        frames = centred_frames(changes, self.window, self.hop, before=self.window // 2, fill="edge")
        return np.asarray((frames[:, -1:] - frames[:, :1]) / self.window, dtype=np.float32)
