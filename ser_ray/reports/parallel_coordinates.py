"""Parallel coordinates (Inselberg, 1985) of what a search tried.

The axes lie under one another, so that on a phone too each is as long as the screen is wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ser_ray.reports.plot import Axis, line, plot
from ser_ray.reports.search_course import held
from ser_ray.reports.searches import Dimension, Measured, Trial, value_text
from ser_ray.reports.timeline import html_text

MOST_LINES = 300  # drawn over the axes
PITCH = 76  # px between two axes
SHADES = 8  # of UA; the style sheet has a class for each
FAN = 0.5  # of the room of a choice, over which its lines lie by their UA
MANY = 100  # lines, from which on they are drawn thinner
LETTERS = 40  # of the choices of one axis, beside one another on a phone
NAME = 26  # letters of a setting's name
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


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
