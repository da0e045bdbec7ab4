"""The drawings of a search: its course, and parallel coordinates of what it tried (Inselberg, 1985).

The parallel axes lie under one another, so that on a phone too each is as long as the screen is wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, FiniteFloat, Json

from ser_ray.reports.plot import MOST_STEPS, Axis, Point, counting_axis, dot, line, plot, round_axis
from ser_ray.reports.timeline import html_text

Value = bool | int | FiniteFloat | str | None
Settings = Mapping[str, Value]
Share = Annotated[float, Field(ge=0, le=1)]
Status = Literal["done", "stopped", "failed"]

MOST_LINES = 300  # drawn over the axes
HEIGHT = 260  # px, of the course
PITCH = 76  # px between two axes
SHADES = 8  # of UA; the style sheet has a class for each
FAN = 0.5  # of the room of a choice, over which its lines lie by their UA
MANY = 100  # lines, from which on they are drawn thinner
NEAR = 10  # % of an axis; a round tick nearer to its end gives way to that
LETTERS = 40  # of the choices of one axis, beside one another on a phone
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


def best_so_far(trials: Sequence[Trial]) -> list[float | None]:
    """The best UA of all trials done up to each one; None before the first."""
    best: list[float | None] = []
    for trial in trials:
        last = best[-1] if best else None
        better = trial.status == "done" and trial.ua is not None and (last is None or trial.ua > last)
        best.append(trial.ua if better else last)
    return best


def search_course(trials: Sequence[Trial], best: Measured, default: Measured | None, y: Axis) -> str:
    """A dot for each trial in order of its end, the line of the best so far, and that of the defaults.

    Args:
        trials: one at least, in order of their end.
        best: its dot stands out.
        default: where the defaults were measured.
        y: axis of UA, as `ua_axis` makes it.
    """
    x, bests = counting_axis(1, len(trials)), best_so_far(trials)
    steps: list[Point] = []
    for order, ua in enumerate(bests, 1):
        if ua is not None and (not steps or ua != bests[order - 2] or order == len(bests)):
            corner = [(x.place(order), steps[-1][1])] if steps else []
            steps += [*corner, (x.place(order), held(y, ua))]
    told = "none done" if bests[-1] is None else f"{100 * bests[-1]:.1f} % in the end"
    keys, shapes = f"<span><i></i>best so far: {told}</span>", ""
    if default:
        level = f"{100 - held(y, default.ua):.2f}%"
        shapes = f'<line class="default" x2="100%" y1="{level}" y2="{level}"/>'
        keys += f'<span><i class="default"></i>defaults: {100 * default.ua:.1f} %</span>'
    shapes += line("so-far", list(dict.fromkeys(steps))) if steps else ""
    shapes += "".join(_mark(t, x.place(k), y, t.trial == best.trial) for k, t in enumerate(trials, 1))
    shown = {trial.status: trial.outcome.partition(" at ")[0] for trial in trials}
    keys += "".join(f'<span><i class="dot {status}"></i>{text}</span>' for status, text in shown.items())
    drawn = plot("course", f"Best UA so far by trials ended: {told}.", HEIGHT, x, y, shapes)
    return f'<figure><figcaption>{keys}</figcaption>{drawn}</figure><p class="axis-title">trials ended</p>'


def parallel_coordinates(
    space: Mapping[str, Dimension],
    trials: Sequence[Trial],
    best: Measured,
    default: Measured | None,
    axis: Axis,
) -> tuple[str, int]:
    """An axis for each setting and the last for UA, and a line for each trial that has a place on all.

    Its colour is that of its UA, and by its UA it lies left or right within a choice. Of very many trials
    some are drawn, evenly from the worst to the best.

    Args:
        space: setting -> what it was chosen from.
        trials: in any order.
        best: drawn on top of all.
        default: drawn below the best, where the defaults lie within the space.
        axis: of UA, as `ua_axis` makes it.

    Returns:
        The drawing, and how many trials it shows.
    """
    able = sorted((t for t in trials if _drawable(space, t)), key=lambda t: (t.ua or 0, t.trial))
    drawn = _evenly(able)
    lines = "".join(_line(space, t, f"{_shade(axis, t.ua or 0)} {t.status}", axis) for t in drawn)
    lines += "".join(
        _line(space, measured, css_class, axis)
        for css_class, measured in (("default", default), ("best", best))
        if measured and _drawable(space, measured)
    )
    rows = len(space)
    axes = Axis(0, rows, tuple((row, "") for row in range(rows + 1)))
    texts = "".join(
        f'<text class="y" x="-8" y="{100 * row / rows:.2f}%" dy=".35em">{html_text(name)}</text>'
        for row, name in enumerate([*(_short(name, NAME) for name in space), "UA"])
    )
    texts += "".join(_texts(dimension, row / rows) for row, dimension in enumerate(space.values()))
    texts += "".join(_tick(axis.place(value), 1.0, 16, text) for value, text in axis.ticks)
    label = f"Parallel coordinates of {', '.join(space)} and UA; the numbers are in the table of all trials."
    shapes = f'{lines}<g class="ticks">{texts}</g>'
    scale = "".join(f'<i class="box q{k}"></i>' for k in range(SHADES))
    ends = axis.ticks[0][1], axis.ticks[-1][1]
    keys = f'<span>UA {ends[0]} <i class="scale">{scale}</i> {ends[1]}</span>'
    keys += '<span><i class="best"></i>best</span>'
    keys += '<span><i class="default"></i>defaults</span>' * (default is not None)
    keys += '<span><i class="dotted"></i>stopped early</span>' * any(t.status == "stopped" for t in drawn)
    css_class = "coordinates" + " many" * (len(drawn) > MANY)
    picture = plot(css_class, label, PITCH * rows, Axis(0, 1, ()), axes, shapes)
    return f"<figure><figcaption>{keys}</figcaption>{picture}</figure>", len(drawn)


def _mark(trial: Trial, left: float, y: Axis, best: bool) -> str:
    title = f"{trial.trial}, {trial.outcome}"
    if trial.ua is None:
        drawn = f'<text class="x failed" x="{left:.2f}%" y="100%" dy=".3em">×</text>'
    else:
        title += f": UA {100 * trial.ua:.1f} %"
        drawn = dot(trial.status + " best" * best, (left, held(y, trial.ua)))
    return f"<g><title>{html_text(title)}</title>{drawn}</g>"


def _evenly(trials: Sequence[Trial]) -> list[Trial]:
    last = len(trials) - 1
    if last < MOST_LINES:
        return list(trials)
    return [trials[round(k * last / (MOST_LINES - 1))] for k in range(MOST_LINES)]


def _shade(axis: Axis, ua: float) -> str:
    """The class of a UA's colour, `q0` for the lowest."""
    return f"q{min(int(held(axis, ua) / 100 * SHADES), SHADES - 1)}"


def _drawable(space: Mapping[str, Dimension], of: Measured | Trial) -> bool:
    """Whether it has a UA and a place on each axis."""
    places = [d.place(of.settings[name]) if name in of.settings else None for name, d in space.items()]
    return of.ua is not None and None not in places


def _line(space: Mapping[str, Dimension], of: Measured | Trial, css_class: str, axis: Axis) -> str:
    end = held(axis, of.ua or 0)
    points = [
        ((d.place(of.settings[name]) or 0.0) + d.room * FAN * (end / 100 - 0.5), 100 - 100 * row / len(space))
        for row, (name, d) in enumerate(space.items())
    ]
    path = line(css_class, [*points, (end, 0.0)])
    values = ", ".join(f"{name} {value_text(of.settings[name])}" for name in space)
    return f"<g><title>{html_text(f'{of.trial}: UA {100 * (of.ua or 0):.1f} %; {values}')}</title>{path}</g>"


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
