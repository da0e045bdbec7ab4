"""What an augmentation is: frozen parameters, and a call that turns one wave into a changed one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ser_ray.errors import UnreadableAudio
from ser_ray.parameters import Parameters, parameter

Wave = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Augmentation(Parameters, ABC):
    """Base of all augmentations: changes of a training wave that leave its emotion what it was.

    A subclass sets `name`, declares its parameters with `parameter`, and writes `_alter`.
    """

    kind: ClassVar[str] = "augmentation"

    def __call__(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        """The changed wave.

        Args:
            wave: float32 [samples], at least one, full scale at 1.0.
            rate: its rate, Hz.
            rng: draws whatever is drawn; the same generator gives the same wave.

        Returns:
            float32 [samples'] at the same rate, finite, never empty; never the wave itself.

        Raises:
            UnreadableAudio: the wave has no samples, or NaN, infinite or immensely large ones.
        """
        samples = np.ascontiguousarray(wave, dtype=np.float32)
        if samples.ndim != 1:
            raise ValueError(f"an augmentation takes one mono wave [samples], got shape {samples.shape}")
        if not samples.size:
            raise UnreadableAudio("no_samples", "the wave has no samples; leave empty segments out.")
        _check_finite(samples)
        altered = np.array(self._alter(samples, rate, rng), np.float32)
        _check_finite(altered)
        return altered

    @abstractmethod
    def _alter(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        """The changed wave, at least one sample."""

    def require(self) -> None:
        """Raise `MissingInput` where something that the augmentation reads is not there."""


@dataclass(frozen=True, kw_only=True)
class Varied(Augmentation):
    """An augmentation whose strength, the parameter named `strength`, may differ from call to call.

    Attributes:
        spread: The strength is drawn evenly from that far below its value to that far above it.
    """

    strength: ClassVar[str]

    spread: float = parameter(0.0, low=0.0)

    def _check(self) -> None:
        limits = next(field.metadata for field in fields(self) if field.name == self.strength)
        value, low, high = getattr(self, self.strength), limits["low"], limits["high"]
        if value - self.spread < low or value + self.spread > high:
            reason = f"with {self.strength}={value} it must stay between {low} and {high}"
            raise self._refusal("spread", self.spread, reason)

    def _drawn(self, rng: np.random.Generator) -> float:
        value = float(getattr(self, self.strength))
        return float(rng.uniform(value - self.spread, value + self.spread)) if self.spread else value


def fitted(wave: Wave, samples: int) -> Wave:
    """A wave cut, or continued with silence, to a number of samples."""
    return wave[:samples] if len(wave) >= samples else np.pad(wave, (0, samples - len(wave)))


def _check_finite(wave: Wave) -> None:
    # One sum finds NaN and infinity faster than a look at every sample; a finite sum clears all.
    if not np.isfinite(wave.sum(dtype=np.float64)):
        raise UnreadableAudio(
            "not_finite",
            "the wave holds NaN, infinite or immensely large samples; decode it again or leave it out.",
        )
