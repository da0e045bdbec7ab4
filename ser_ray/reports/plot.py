"""The frame of a chart: inline SVG in percentages, so that it fits any screen and its text keeps its size.

Labels stand outside the frame, in the margins that the style sheet leaves around `svg.plot`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ser_ray.reports.timeline import html_text

STEPS = (1, 2, 5, 10)  # of ticks, times a power of ten
MOST_STEPS = 5  # between the ticks of an axis

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`, its ticks at values with their texts."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Where a value lies, in % of the axis; the middle where the axis has no length."""
        return 100 * (value - self.low) / (self.high - self.low) if self.high > self.low else 50.0


SHARES = Axis(0, 1, tuple((tick / 4, f"{25 * tick} %") for tick in range(5)))


def round_axis(values: Iterable[float]) -> Axis:
    """An axis between round numbers that holds all values."""
    values = list(values)
    low, high = min(values), max(values)
    step = _step((high - low) / MOST_STEPS or abs(high) or 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [tick * step for tick in range(first, max(last, first + 1) + 1)]
    return Axis(ticks[0], ticks[-1], tuple((tick, f"{tick:.6g}") for tick in ticks))


def counting_axis(first: int, last: int) -> Axis:
    """An axis of whole numbers from `first` to `last`, both ticked where there is room."""
    step = max(round(_step((last - first) / MOST_STEPS or 1.0)), 1)
    ticks = [first, *(tick for tick in range(0, last + 1, step) if tick - first >= step / 2)]
    return Axis(first, last, tuple((tick, str(tick)) for tick in ticks))


def plot(css_class: str, label: str, height: int, x: Axis, y: Axis, shapes: str) -> str:
    """A chart: grid, ticks and `shapes` drawn over them.

    Args:
        css_class: for the style sheet.
        label: what the chart says, for those who cannot see it.
        height: of the frame, px.
        x, y: axes; the shapes are placed by them, y from the bottom.
        shapes: SVG.
    """
    grid = "".join(_y_tick(y, value, text) for value, text in y.ticks)
    grid += "".join(
        f'<text class="x" x="{x.place(value):.2f}%" y="100%" dy="17">{text}</text>' for value, text in x.ticks
    )
    return (
        f'<svg class="plot {css_class}" role="img" width="100%" height="{height}" '
        f'aria-label="{html_text(label)}"><g class="axis">{grid}</g>{shapes}</svg>'
    )


def line(css_class: str, points: Sequence[Point]) -> str:
    """A line through points in % of the frame, y from the bottom."""
    path = " ".join(f"{left:.2f},{100 - up:.2f}" for left, up in points)
    return (
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">'
        f'<polyline class="{css_class}" points="{path}"/></svg>'
    )


def dot(css_class: str, point: Point) -> str:
    """A dot at a point in % of the frame, y from the bottom."""
    return f'<circle class="{css_class}" cx="{point[0]:.2f}%" cy="{100 - point[1]:.2f}%" r="4"/>'


def _y_tick(axis: Axis, value: float, text: str) -> str:
    top = 100 - axis.place(value)
    return (
        f'<line x2="100%" y1="{top:.2f}%" y2="{top:.2f}%"/>'
        f'<text class="y" x="-8" y="{top:.2f}%" dy=".35em">{text}</text>'
    )


def _step(least: float) -> float:
    """The smallest round number from `least` up."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in STEPS if step * power >= least * (1 - 1e-9))
