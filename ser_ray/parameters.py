"""Things with checked parameters and a short text that builds them: `mfcc`, or `mfcc(n=50,rate=44100)`.

Features and augmentations are such things: frozen dataclasses, found by name in a registry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Self, TypeVar, get_type_hints

from ser_ray import errors

_SPEC = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")


def parameter(
    default: Any = None,
    *,
    own: Callable[[Any], Any] | None = None,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] | None = None,
    samples: bool = False,
) -> Any:
    """A dataclass field that a specification may set.

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
class Parameters:
    """Base of what has a name and checked parameters; every field is declared with `parameter`."""

    kind: ClassVar[str]  # what the registry calls it: feature, augmentation
    name: ClassVar[str]

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None and spec.metadata["own"]:
                value = spec.metadata["own"](self)
            object.__setattr__(self, spec.name, self._checked(spec, hints[spec.name], value))
        self._check()

    def _check(self) -> None:
        """Refuse parameters that do not go together; raises `errors.UsageError`."""

    def to_dict(self) -> dict[str, Any]:
        """Name and every parameter, as plain data."""
        return {"name": self.name} | {spec.name: getattr(self, spec.name) for spec in fields(self)}

    @property
    def spec(self) -> str:
        """The shortest text from which `build` makes this again."""
        given = ",".join(f"{key}={_text(value)}" for key, value in self._given().items())
        return f"{self.name}({given})" if given else self.name

    def changed(self, **parameters: Any) -> Self:
        """The same with other parameters; what follows from them follows anew.

        Raises:
            UsageError: a parameter that it does not have, or a value that will not do.
        """
        names = [spec.name for spec in fields(self)]
        for name in parameters:
            if name not in names:
                raise errors.UsageError(
                    f"{self.kind} {self.name} has no {name!r}. It has: {', '.join(names)}."
                )
        return type(self)(**{**self._given(), **parameters})

    def _given(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        values = {spec: getattr(self, spec.name) for spec in fields(self)}
        return {spec.name: value for spec, value in values.items() if value != self._default(spec)}

    def _default(self, spec: Field[Any]) -> Any:
        own = spec.metadata["own"]
        return own(self) if own else spec.default

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
        return errors.UsageError(f"{self.kind} {self.name}: {name}={_text(value)} will not do, {reason}.")


Built = TypeVar("Built", bound=Parameters)


def build(spec: str, kind: str, known: Mapping[str, type[Built]]) -> Built:
    """What a specification names.

    Args:
        spec: A name, or a name with overrides: `mfcc(n=50,rate=44100)`.
        kind: What such a thing is called in errors.
        known: The registry.

    Raises:
        UnknownName: Nothing has that name.
        UsageError: The text is malformed, or a parameter is unknown, of the wrong type or out of range.
    """
    match = _SPEC.fullmatch(spec)
    if not match:
        raise errors.UsageError(f"{kind} {spec!r} is not of the form name or name(key=value,key=value).")
    name, overrides = match.groups()
    if name not in known:
        raise errors.UnknownName(kind, name, known)
    return known[name](**_overrides(known[name], overrides or ""))


def describe(known: Mapping[str, type[Parameters]]) -> dict[str, str]:
    """For each name of a registry, with its parameters, the first line of what it says of itself."""
    described = {}
    for name, wanted in known.items():
        own = [field.name for field in fields(wanted) if field.name not in ("band", "rate")]
        described[f"{name}({', '.join(own)})"] = (wanted.__doc__ or "").strip().splitlines()[0]
    return described


def _overrides(wanted: type[Parameters], text: str) -> dict[str, Any]:
    """The keyword arguments of `key=value,key=value`."""
    hints = get_type_hints(wanted)
    known = [field.name for field in fields(wanted)]
    values: dict[str, Any] = {}
    for item in text.split(",") if text.strip() else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            raise _malformed(wanted, f"{item.strip()!r} is not of the form key=value")
        if key not in known:
            raise _malformed(wanted, f"no parameter {key!r}, only {', '.join(known) or 'none'}")
        if key in values:
            raise _malformed(wanted, f"{key} is given twice")
        values[key] = _parsed(wanted, key, hints[key], value)
    return values


def _parsed(wanted: type[Parameters], key: str, hint: Any, text: str) -> Any:
    """`text` in the type of the parameter, without evaluating anything."""
    if hint is bool:
        if text in ("true", "false"):
            return text == "true"
    elif hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            pass
    else:
        return text
    form = "true or false" if hint is bool else hint.__name__
    raise _malformed(wanted, f"{key}={text} will not do, it must be {form}")


def _malformed(wanted: type[Parameters], reason: str) -> errors.UsageError:
    return errors.UsageError(f"{wanted.kind} {wanted.name}: {reason}.")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
