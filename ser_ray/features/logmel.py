"""Log-mel spectrogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ser_ray.features.feature import Array, Batch
from ser_ray.features.mel import MelFeature
from ser_ray.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class LogMel(MelFeature):
    """Mel band levels in dB [frames, bands], 25 ms frames every 10 ms.

    With `window`, `hop` and `bands` set alike, the values are `librosa.power_to_db` of
    `librosa.feature.melspectrogram` (`center=True`).

    Attributes:
        bands: Number of mel bands.
        top_db: Levels further below the maximum of the wave are raised to it, in dB; 0 for no limit.
    """

    name: ClassVar[str] = "logmel"

    bands: int = parameter(64, low=1, high=512)
    top_db: float = parameter(80.0, low=0.0, high=200.0)

    def _check(self) -> None:
        super()._check()
        self.filters(self.bands)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"mel{k}" for k in range(self.bands))

    def _compute(self, batch: Batch) -> list[Array]:
        return self._log_mel(batch, self.bands, self.top_db)
