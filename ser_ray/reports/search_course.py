"""The course of a search: every trial in the order of its end, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ser_ray.reports.plot import Axis, Point, counting_axis, dot, line, plot, round_axis
from ser_ray.reports.searches import Measured, Trial
from ser_ray.reports.timeline import html_text

HEIGHT = 260  # px


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


def _mark(trial: Trial, left: float, y: Axis, best: bool) -> str:
    title = f"{trial.trial}, {trial.outcome}"
    if trial.ua is None:
        drawn = f'<text class="x failed" x="{left:.2f}%" y="100%" dy=".3em">×</text>'
    else:
        title += f": UA {100 * trial.ua:.1f} %"
        drawn = dot(trial.status + " best" * best, (left, held(y, trial.ua)))
    return f"<g><title>{html_text(title)}</title>{drawn}</g>"
