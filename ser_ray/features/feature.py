"""What a feature is: frozen parameters, and a call that turns one wave into one array."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ser_ray import errors
from ser_ray.parameters import Parameters, parameter

Array = npt.NDArray[np.float32]
Band = Literal["wide", "telephone"]
Shared = TypeVar("Shared")

# Samples of the waves that are worked on together: enough to fill the processor, few enough for its memory.
TOGETHER = 1_000_000


class BandLimits(NamedTuple):
    """What a band means to a feature: rate and edges of its filters in Hz."""

    rate: int
    low: float
    high: float


BANDS: dict[str, BandLimits] = {
    "wide": BandLimits(16000, 0.0, math.inf),
    "telephone": BandLimits(8000, 300.0, 3400.0),
}


class Batch:
    """Waves of one rate and band, and what has been computed of them so far.

    Features of one batch share what they have in common, such as a short-time spectrum: the first that
    asks for it computes it.

    Args:
        waves: float32 [samples] each.
        shared: several features will be computed, so that it is worth keeping spectra.

    Raises:
        UnreadableAudio: a wave has no samples, or NaN or infinite ones.
    """

    def __init__(self, waves: Sequence[Array], shared: bool = False) -> None:
        self.waves = [_checked_wave(wave) for wave in waves]
        self.shared = shared
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], Shared]) -> Shared:
        """What `compute` returned for this key the first time."""
        if key not in self._known:
            self._known[key] = compute()
        result: Shared = self._known[key]
        return result

    def values(self, feature: Feature) -> list[Array]:
        """A feature of each wave, computed once."""
        return self.once(feature, lambda: feature._compute(self))


@dataclass(frozen=True, kw_only=True)
class Feature(Parameters, ABC):
    """Base of all features: mono waves at `rate` in, float32 arrays out.

    A subclass sets `name`, raises `version` whenever its code gives other results, declares its
    parameters with `parameter`, and writes `shape`, `names` and `_compute`.

    Attributes:
        band: The audio it is made for, `wide` or `telephone` (300-3400 Hz). A feature does not simulate
            the channel: pass wide-band audio through `audio.band.telephone_channel` first.
        rate: Sampling rate in Hz that the waves must have.
    """

    kind: ClassVar[str] = "feature"
    version: ClassVar[int] = 1
    accelerated: ClassVar[bool] = False  # runs on a GPU where there is one

    band: Literal["wide", "telephone"] = parameter("wide", choices=tuple(BANDS))
    rate: int = parameter(own=lambda f: BANDS[f.band].rate, low=4000, high=192_000)

    @property
    @abstractmethod
    def shape(self) -> tuple[int | None, ...]:
        """Shape of what a call returns; None stands for the number of frames."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the last axis, unique."""

    @abstractmethod
    def _compute(self, batch: Batch) -> list[Array]:
        """One array for each wave of the batch."""

    def announce(self) -> None:
        """Tell, once a process, what who uses it must know, such as a licence."""

    def __call__(self, wave: Array) -> Array:
        """The feature of one wave.

        Args:
            wave: float32 [samples] at `rate`.

        Returns:
            float32 array of `shape`.

        Raises:
            UnreadableAudio: The wave has no samples, or NaN or infinite ones.
        """
        return self.batch([wave])[0]

    def batch(self, waves: Sequence[Array]) -> list[Array]:
        """The same as one call a wave, and faster for many short ones."""
        return together([self], waves)[0] if waves else []

    @property
    def fingerprint(self) -> str:
        """Hexadecimal hash of the name, every parameter and the version of the code."""
        content = json.dumps(self.to_dict() | {"version": self.version}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def with_band(self, band: Band) -> Self:
        """The variant for another band: rate and filter edges become the band's own.

        Windows and hops keep their length in seconds, all else its value.
        """
        if band == self.band:
            return self
        own, samples = self._marked("own"), self._marked("samples")
        kept = {key: value for key, value in self._given().items() if key not in own and key != "band"}
        rate = type(self)(band=band, **kept).rate
        scaled = {key: round(getattr(self, key) * rate / self.rate) for key in samples}
        return type(self)(band=band, **kept, **scaled)

    def _marked(self, mark: str) -> set[str]:
        return {spec.name for spec in fields(self) if spec.metadata[mark]}


def together(features: Sequence[Feature], waves: Sequence[Array]) -> list[list[Array]]:
    """Several features of the same waves; what they share is computed once.

    Args:
        features: of one rate and band.
        waves: float32 [samples] each.

    Returns:
        For each feature one array a wave: [features][waves].

    Raises:
        UnreadableAudio: a wave has no samples, or NaN or infinite ones.
        ValueError: the features are of several rates or bands, so no wave is right for all.
    """
    if len({(feature.rate, feature.band) for feature in features}) > 1:
        raise ValueError("features of several rates or bands do not read the same waves")
    results: list[list[Array]] = [[] for _ in features]
    for part in _parts(waves):
        batch = Batch(part, shared=len(features) > 1)
        for result, feature in zip(results, features, strict=True):
            result += batch.values(feature)
    return results


def _parts(waves: Sequence[Array]) -> list[list[Array]]:
    """The waves, in order, in groups of no more than `TOGETHER` samples (or of one wave)."""
    parts: list[list[Array]] = []
    room = 0
    for wave in waves:
        if len(wave) > room or not parts:
            parts.append([])
            room = TOGETHER
        parts[-1].append(wave)
        room -= len(wave)
    return parts


def _checked_wave(wave: Array) -> Array:
    samples = np.ascontiguousarray(wave, dtype=np.float32)
    if samples.ndim != 1:
        raise ValueError(f"a feature takes one mono wave [samples], got shape {samples.shape}")
    if not samples.size:
        raise errors.UnreadableAudio("no_samples", "the wave has no samples; leave empty segments out.")
    # One sum finds NaN and infinity faster than a look at every sample; a finite sum clears all.
    if not np.isfinite(samples.sum(dtype=np.float64)):
        raise errors.UnreadableAudio(
            "not_finite", "the wave holds NaN or infinite samples; decode it again or leave it out."
        )
    return samples
