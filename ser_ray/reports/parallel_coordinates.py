"""Parallel coordinates (Inselberg, 1985): the settings of a search, an axis each, and the UA that came of them.

The axes lie under one another, so that on a phone too each is as long as the screen is wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import FiniteFloat

from ser_ray.reports.plot import MOST_STEPS, Axis, line, plot, round_axis
from ser_ray.reports.timeline import html_text

Value = bool | int | FiniteFloat | str | None

PITCH = 58  # px between two axes
SHADES = 8  # of UA; the style sheet has a class for each
NEAR = 12  # % of an axis; a round tick nearer to its end gives way to that
LETTERS = 46  # of the choices of one axis, beside one another on a phone
NAME = 26  # letters of a setting's name
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


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

    def at_edge(self, value: Value) -> bool:
        """Whether a number lies within 1 % of an end of its axis, so that better ones may lie beyond."""
        place = None if self.type == "choice" or self.low == self.high else self.place(value)
        return place is not None and not 1 < place < 99

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places in % with their texts: the choices, or both ends and round numbers between them."""
        if self.type == "choice":
            shown: Sequence[Value] = self.choices
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
class Course:
    """One line over all axes: `title` is told on hovering, `ua` a fraction."""

    css_class: str
    title: str
    values: Mapping[str, Value]
    ua: float


def value_text(value: Value) -> str:
    """A setting's value as `--set` takes it, numbers to four digits."""
    if isinstance(value, bool | None):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def ua_axis(uas: Sequence[float], *whole: float) -> Axis:
    """An axis of UA in %, for trials and for what must lie `whole` upon it.

    It leaves out what lies far beneath the rest (Tukey's fence, 1.5 interquartile ranges under the first
    quartile): one trial that learned nothing would press all others together.
    """
    first, third = np.percentile(uas or whole, [25, 75])
    low = min([max(min([*uas, *whole]), first - 1.5 * (third - first)), *whole])
    axis = round_axis([100 * low, 100 * max([*uas, *whole])])
    return Axis(axis.low, axis.high, tuple((tick, f"{text} %") for tick, text in axis.ticks))


def held(axis: Axis, ua: float) -> float:
    """Where a UA lies, in % of its axis; at the lower end where it lies beneath."""
    return max(axis.place(100 * ua), 0.0)


def parallel_coordinates(space: Mapping[str, Dimension], courses: Sequence[Course], ua: Axis) -> str:
    """An axis for each setting and the last for UA, and a line for each course, the last one on top.

    The line's class is its own and `q0` to `q7` by its UA; a course without a place on each axis is left
    out.
    """
    rows = len(space)
    names = [*(html_text(_short(name, NAME)) for name in space), "<tspan>UA</tspan>"]
    axes = Axis(0, rows, tuple((rows - row, name) for row, name in enumerate(names)))
    lines = "".join(_line(space, course, ua) for course in courses)
    texts = "".join(_texts(dimension, row / rows) for row, dimension in enumerate(space.values()))
    texts += "".join(_tick(ua.place(value), 1.0, 16, text) for value, text in ua.ticks)
    label = f"Parallel coordinates of {', '.join(space)} and UA; the numbers are in the table of all trials."
    return plot("coordinates", label, PITCH * rows, Axis(0, 1, ()), axes, lines + texts)


def shade(axis: Axis, ua: float) -> str:
    """The class of a UA's colour, `q0` for the lowest."""
    return f"q{min(int(held(axis, ua) / 100 * SHADES), SHADES - 1)}"


def drawable(space: Mapping[str, Dimension], values: Mapping[str, Value]) -> bool:
    """Whether a course has a place on each axis."""
    return all(name in values and d.place(values[name]) is not None for name, d in space.items())


def _line(space: Mapping[str, Dimension], course: Course, ua: Axis) -> str:
    if not drawable(space, course.values):
        return ""
    places = [dimension.place(course.values[name]) or 0.0 for name, dimension in space.items()]
    points = [(place, 100 - 100 * row / len(space)) for row, place in enumerate(places)]
    path = line(f"{course.css_class} {shade(ua, course.ua)}".strip(), [*points, (held(ua, course.ua), 0.0)])
    return f"<g><title>{html_text(course.title)}</title>{path}</g>"


def _texts(dimension: Dimension, down: float) -> str:
    """The ticks of one axis, every other one lower where they are too long to stand beside one another."""
    ticks = dimension.ticks
    room = LETTERS // len(ticks)
    lower = 13 * (dimension.type == "choice" and max(len(text) for _, text in ticks) > room)
    return "".join(
        _tick(place, down, 16 + lower * (k % 2), html_text(_short(text, 2 * room) if lower else text))
        for k, (place, text) in enumerate(ticks)
    )


def _tick(left: float, down: float, below: int, text: str) -> str:
    return (
        f'<circle class="tick" cx="{left:.2f}%" cy="{100 * down:.2f}%" r="2"/>'
        f'<text class="x" x="{left:.2f}%" y="{100 * down:.2f}%" dy="{below}">{text}</text>'
    )


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(letters - 1, 1)] + ELLIPSIS
