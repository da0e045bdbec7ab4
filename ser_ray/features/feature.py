"""What a feature is: frozen parameters, and a call that turns one wave into one array."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_type_hints

import numpy as np
import numpy.typing as npt

from ser_ray import errors

Array = npt.NDArray[np.float32]
Band = Literal["wide", "telephone"]


class BandLimits(NamedTuple):
    """What a band means to a feature: rate and edges of its filters in Hz."""

    rate: int
    low: float
    high: float


BANDS: dict[str, BandLimits] = {
    "wide": BandLimits(16000, 0.0, math.inf),
    "telephone": BandLimits(8000, 300.0, 3400.0),
}


def parameter(
    default: Any = None,
    *,
    own: Callable[[Any], Any] | None = None,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] | None = None,
    samples: bool = False,
) -> Any:
    """A dataclass field that a feature's specification may set.

    Args:
        default: Value where none is given.
        own: In place of `default`: computes it from the parameters declared before this one.
        low: Smallest value allowed.
        high: Largest value allowed.
        choices: The words allowed.
        samples: The value counts samples, so it keeps its length in seconds when the rate changes.
    """
    limits = {"own": own, "low": low, "high": high, "choices": choices, "samples": samples}
    return field(default=default, metadata=limits)


@dataclass(frozen=True, kw_only=True)
class Feature(ABC):
    """Base of all features: mono waves at `rate` in, float32 arrays out.

    A subclass sets `name`, raises `version` whenever its code gives other results, declares its
    parameters with `parameter`, and writes `shape`, `names` and `_compute`.

    Attributes:
        band: The audio it is made for, `wide` or `telephone` (300-3400 Hz). A feature does not simulate
            the channel: pass wide-band audio through `audio.band.telephone_channel` first.
        rate: Sampling rate in Hz that the waves must have.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    band: Literal["wide", "telephone"] = parameter("wide", choices=tuple(BANDS))
    rate: int = parameter(own=lambda f: BANDS[f.band].rate, low=4000, high=192_000)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None and spec.metadata["own"]:
                value = spec.metadata["own"](self)
            object.__setattr__(self, spec.name, self._checked(spec, hints[spec.name], value))
        self._check()

    @property
    @abstractmethod
    def shape(self) -> tuple[int | None, ...]:
        """Shape of what a call returns; None stands for the number of frames."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the last axis, unique."""

    @abstractmethod
    def _compute(self, waves: list[Array]) -> list[Array]:
        """One array for each of the waves, which are checked already."""

    def _check(self) -> None:  # noqa: B027
        """Refuse parameters that do not go together; raises `errors.UsageError`."""

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
        return self._compute([_checked_wave(wave) for wave in waves]) if waves else []

    def to_dict(self) -> dict[str, Any]:
        """Name and every parameter, as plain data."""
        return {"name": self.name} | {spec.name: getattr(self, spec.name) for spec in fields(self)}

    @property
    def spec(self) -> str:
        """The shortest text from which `features.get` builds this feature again."""
        given = ",".join(f"{key}={_text(value)}" for key, value in self._given().items())
        return f"{self.name}({given})" if given else self.name

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
        bare = type(self)(band=band)
        own, samples = self._marked("own"), self._marked("samples")
        kept = {key: value for key, value in self._given().items() if key not in own and key != "band"}
        scaled = {key: round(getattr(self, key) * bare.rate / self.rate) for key in samples}
        return type(self)(band=band, **kept, **scaled)

    def _given(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        values = {spec: getattr(self, spec.name) for spec in fields(self)}
        return {spec.name: value for spec, value in values.items() if value != self._default(spec)}

    def _default(self, spec: Field[Any]) -> Any:
        own = spec.metadata["own"]
        return own(self) if own else spec.default

    def _marked(self, mark: str) -> set[str]:
        return {spec.name for spec in fields(self) if spec.metadata[mark]}

    def _checked(self, spec: Field[Any], hint: Any, value: Any) -> Any:
        """`value` in the field's type, within its limits."""
        wanted: Any = hint if hint in (int, float, bool) else str
        if wanted is float and type(value) is int:
            value = float(value)
        limits = spec.metadata
        if type(value) is not wanted:
            raise self._refusal(spec.name, value, f"it must be {wanted.__name__}")
        if limits["choices"] and value not in limits["choices"]:
            raise self._refusal(spec.name, value, f"it must be one of {', '.join(limits['choices'])}")
        if wanted is str and set(value) & set("(),\n"):
            raise self._refusal(spec.name, value, "brackets and commas are not allowed")
        low, high = limits["low"], limits["high"]
        if wanted in (int, float) and not (math.isfinite(value) and low <= value <= high):
            raise self._refusal(spec.name, value, f"it must be a number from {low} to {high}")
        return value

    def _refusal(self, name: str, value: Any, reason: str) -> errors.UsageError:
        return errors.UsageError(f"feature {self.name}: {name}={_text(value)} will not do, {reason}.")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
