"""The trend over nights: a small chart for each figure, and a sentence about this night."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from ser_ray.reports.nights import Night, Nights
from ser_ray.reports.phrases import Phrases
from ser_ray.reports.plot import Axis, dot, line, plot
from ser_ray.reports.template import fold, table
from ser_ray.reports.timeline import html_text

FIGURES = ("calls", "negativity", "ranked", "failed", "confidence")
HEIGHT = 64  # of a chart, px
NARROWEST = 0.04  # axis of a chart: of one, or of the most calls


def trend_lead(nights: Nights, say: Phrases) -> str:
    """This night against the median of those before, in a sentence."""
    outside = [name for name in FIGURES if nights.is_outside(attrgetter(name))]
    n = f"{len(nights.before):,}"
    if len(nights.before) == 1:
        sentence = say("nights_lead_one", figures=_listed(FIGURES, nights, say))
    elif outside:
        sentence = say("nights_lead_out", n=n, figures=_listed(outside, nights, say))
    else:
        sentence = say("nights_lead_in", n=n)
    if nights.left_out:
        sentence += " " + say("nights_left_out", n=f"{nights.left_out:,}")
    return sentence


def trend_charts(nights: Nights, say: Phrases) -> str:
    """The charts, and all their figures in a table."""
    charts = "".join(_chart(name, nights, say) for name in FIGURES)
    rows = "".join(
        f'<tr><th scope="row">{html_text(night.date)}</th>'
        + "".join(f"<td>{_told(name, getattr(night, name), say)}</td>" for name in FIGURES)
        + "</tr>"
        for night in reversed((*nights.before, nights.now))
    )
    heads = [say("column_night"), *(say(f"night_{name}") for name in FIGURES)]
    name = html_text(say("nights_table"))
    shown = table(name, map(html_text, heads), rows, "numbers aside")
    return f'<div class="nights">{charts}</div>{fold(name, shown)}'


def _chart(name: str, nights: Nights, say: Phrases) -> str:
    every = (*nights.before, nights.now)
    figure: Callable[[Night], float | None] = attrgetter(name)
    values = [(place, value) for place, night in enumerate(every) if (value := figure(night)) is not None]
    now, middle = (_told(name, value, say) for value in (figure(nights.now), nights.median(figure)))
    if not values:
        return ""
    x = Axis(0, len(every) - 1, ())
    low, high = _range([value for _, value in values], name)
    y = Axis(low, high, tuple((value, _told(name, value, say)) for value in (low, high)))
    points = [(x.place(place), y.place(value)) for place, value in values]
    shapes = line("night", points)
    if figure(nights.now) is not None:
        shapes += dot("night", points[-1])
    about = {"first": every[0].date, "last": every[-1].date, "value": now, "median": middle}
    label = say("night_chart", name=say(f"night_{name}"), **about)
    outside = " outside" if nights.is_outside(figure) else ""
    return (
        f'<figure class="night{outside}"><figcaption>{html_text(say(f"night_{name}"))}</figcaption>'
        f"<p><b>{now}</b> <small>{html_text(say('night_median', median=middle))}</small></p>"
        f"{plot('nightly', label, HEIGHT, x, y, shapes)}</figure>"
    )


def _range(values: list[float], name: str) -> tuple[float, float]:
    """Of an axis: that of the values, widened where it is so narrow that noise would look like news."""
    most = max(values) * (1 + NARROWEST) if name == "calls" else 1.0
    width = max(max(values) - min(values), NARROWEST * most)
    low = (min(values) + max(values) - width) / 2
    low = max(min(low, most - width), 0.0)
    return low, low + width


def _listed(names: tuple[str, ...] | list[str], nights: Nights, say: Phrases) -> str:
    return ", ".join(
        say(
            "night_figure",
            name=say(f"night_{name}"),
            value=_told(name, getattr(nights.now, name), say),
            median=_told(name, nights.median(attrgetter(name)), say),
        )
        for name in names
    )


def _told(name: str, value: float | None, say: Phrases) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if name == "calls" else say.finely(value)
