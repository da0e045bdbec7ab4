"""What a search left behind, read and checked: its figures and its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Literal, TypeVar

import pyarrow as pa
from pydantic import Field, FiniteFloat, Json, TypeAdapter, ValidationError

from ser_ray import storage
from ser_ray.errors import BadStore, MissingInput, StorageFailed
from ser_ray.reports.plot import MOST_STEPS, Axis, round_axis

Value = bool | int | FiniteFloat | str | None
Settings = Mapping[str, Value]
Share = Annotated[float, Field(ge=0, le=1)]
Status = Literal["done", "stopped", "failed"]
_Parsed = TypeVar("_Parsed")
Triple = tuple[FiniteFloat, FiniteFloat, FiniteFloat]  # value, low, high

SEARCH, TRIALS = "tuning.json", "trials.parquet"
NEAR = 10  # % of an axis; a round tick nearer to its end gives way to that
MEND = "Run the search into this folder again."


@dataclass(frozen=True)
class Dimension:
    """What a search chose a setting from: numbers from `low` to `high`, or choices."""

    type: Literal["log", "float", "int", "choice"]
    low: int | FiniteFloat = 0
    high: int | FiniteFloat = 0
    choices: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if self.type == "choice" and not self.choices:
            raise ValueError("there must be a choice")
        if self.low > self.high or (self.type == "log" and self.low <= 0):
            raise ValueError("low must not be above high, and above zero where the type is log")

    def __str__(self) -> str:
        if self.type == "choice":
            return ", ".join(map(value_text, self.choices))
        return f"{value_text(self.low)} to {value_text(self.high)}" + ", log" * (self.type == "log")

    def place(self, value: Value) -> float | None:
        """Where a value lies, in % of the axis; None where it is none of the choices, or no number."""
        if self.type == "choice":
            alike = [c == value and isinstance(c, bool) == isinstance(value, bool) for c in self.choices]
            return 100 * (alike.index(True) + 0.5) / len(alike) if any(alike) else None
        if isinstance(value, bool | str | None):
            return None
        held = min(max(value, self.low), self.high)
        if self.type == "log":
            return Axis(math.log10(self.low), math.log10(self.high), ()).place(math.log10(held))
        return Axis(self.low, self.high, ()).place(held)

    @property
    def room(self) -> float:
        """How much of the axis each choice has, in %; none where it is of numbers."""
        return 100 / len(self.choices) if self.type == "choice" else 0.0

    def at_edge(self, value: Value) -> bool:
        """Whether a number lies within 1 % of an end of its axis, so that better ones may lie beyond."""
        place = None if self.type == "choice" or self.low == self.high else self.place(value)
        return place is not None and not 1 < place < 99

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places in % with their texts: the choices, or both ends and round numbers between them."""
        if self.type == "choice":
            shown: Sequence[Value] = self.choices
        elif self.low == self.high:
            shown = [self.low]
        else:
            between = [v for v in self._round_numbers() if NEAR < (self.place(v) or 0) < 100 - NEAR]
            shown = list(dict.fromkeys((self.low, *between, self.high)))
        return tuple((place, value_text(v)) for v in shown if (place := self.place(v)) is not None)

    def _round_numbers(self) -> list[float]:
        if self.type == "log":
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1, 1 + (last - first) // MOST_STEPS)]
        ticks = [value for value, _ in round_axis((self.low, self.high)).ticks]
        return [round(v) for v in ticks if v == round(v)] if self.type == "int" else ticks


@dataclass(frozen=True)
class Measured:
    """Settings and their UA over the inner folds; `spread` is its standard deviation over them."""

    settings: Settings
    ua: Share
    spread: FiniteFloat | None = None
    trial: str = "defaults"


@dataclass(frozen=True)
class Trial:
    """A row of trials.parquet; `share` is how much of the full training it got."""

    trial: str
    status: Status
    ua: Share | None
    spread: FiniteFloat | None
    share: FiniteFloat | None
    seconds: FiniteFloat | None
    ended: datetime
    error: str | None
    settings: Json[Settings]

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        early = "early" if self.share is None else f"at {100 * self.share:.3g} %"
        return f"stopped {early}" if self.status == "stopped" else self.status


def value_text(value: Value) -> str:
    """A setting's value as `--set` takes it, numbers to four digits."""
    if isinstance(value, bool | None):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Figure:
    """UA over all outer folds."""

    ua: Triple


@dataclass(frozen=True)
class OuterFold:
    """One outer fold: what the search chose without it, and what that and the defaults reach on it."""

    fold: str
    settings: Settings
    inner_ua: Share
    default_ua: Share
    tuned_ua: Share


@dataclass(frozen=True)
class Outer:
    """The search measured on folds that it did not see."""

    protocol: str
    utterances: int
    default: Figure
    tuned: Figure
    difference: Triple
    folds: tuple[OuterFold, ...]


@dataclass(frozen=True)
class Search:
    """tuning.json; `default` is None where the defaults lie outside the space."""

    family: str
    corpora: tuple[str, ...]
    utterances: int
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    protocol: str
    seed: int
    searcher: str
    scheduler: str | None
    space: Annotated[Mapping[str, Dimension], Field(min_length=1)]
    wall_s: FiniteFloat
    trials: Mapping[Status, int]
    default: Measured | None
    best: Measured
    importance: Mapping[str, FiniteFloat] | None
    outer: Outer | None
    fixed: Settings = field(default_factory=dict)
    versions: Mapping[str, object] = field(default_factory=dict)


def read_search(uri: str) -> tuple[Search, list[Trial]]:
    """The search and its trials in order of their end."""
    for name in (SEARCH, TRIALS):
        if not storage.exists(storage.join(uri, name)):
            raise MissingInput(f"{uri} has no {name}: it holds no finished search. {MEND}")
    try:
        content = storage.read_json(storage.join(uri, SEARCH))
    except ValueError as error:
        raise BadStore(f"{storage.join(uri, SEARCH)} is not JSON ({error}). {MEND}") from error
    where = storage.join(uri, TRIALS)
    try:
        rows = storage.read_parquet(where, [part.name for part in fields(Trial)]).to_pylist()
    except (StorageFailed, pa.ArrowTypeError) as error:
        cause = error.__cause__ if isinstance(error, StorageFailed) else error
        if not isinstance(cause, pa.ArrowException):
            raise
        raise BadStore(
            f"{where} is not what a search writes: {str(cause).splitlines()[0]}. {MEND}"
        ) from error
    if not rows:
        raise BadStore(f"{where} holds no trial. {MEND}")
    trials = _parsed(list[Trial], rows, where)
    search = _parsed(Search, content, storage.join(uri, SEARCH))
    return search, sorted(trials, key=lambda trial: (trial.ended, trial.trial))


def _parsed(kind: type[_Parsed], content: object, uri: str) -> _Parsed:
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadStore(f"{uri} is not what a search writes: {where}: {first['msg']}. {MEND}") from error
