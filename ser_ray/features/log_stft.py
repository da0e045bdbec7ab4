"""Log-magnitude spectrogram with linear frequencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ser_ray.features.feature import Array, Batch
from ser_ray.features.spectrum import BandedFeature, decibel, limit_range
from ser_ray.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class LogStft(BandedFeature):
    """Levels of the short-time Fourier transform in dB [frames, bins], 25 ms frames every 10 ms.

    With `window`, `hop` and `n_fft` set alike, the values are `librosa.amplitude_to_db` of the magnitudes of
    `librosa.stft` (`center=True`). Only the bins from `fmin` to `fmax` are kept: on the telephone, those
    from 300 to 3400 Hz.

    Attributes:
        top_db: Levels further below the maximum of the wave are raised to it, in dB; 0 for no limit.
    """

    name: ClassVar[str] = "log_stft"

    top_db: float = parameter(80.0, low=0.0, high=200.0)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, self.bins.stop - self.bins.start)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"bin{k}" for k in range(self.bins.stop)[self.bins])

    def _compute(self, batch: Batch) -> list[Array]:
        bins = self.bins
        levels = self._power(batch).map(lambda power: decibel(power[:, bins]))
        return [limit_range(part, self.top_db) for part in levels]
