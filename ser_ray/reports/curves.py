"""How a network learned: its training curves, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ser_ray.reports.card import Epoch
from ser_ray.reports.plot import SHARES, Axis, Point, counting_axis, dot, line, plot, round_axis
from ser_ray.reports.template import fold, table

HEIGHT = 190  # px
PANELS = {"Loss": ("loss", "held_out_loss"), "UA": ("held_out_ua",), "Learning rate": ("lr",)}
SERIES = {"loss": "training", "held_out_loss": "held out", "held_out_ua": "held out", "lr": "last step"}
COLUMNS = {
    "epoch": "Epoch",
    "loss": "Training loss",
    "held_out_loss": "Held-out loss",
    "held_out_ua": "Held-out UA",
    "lr": "Learning rate",
}


def training_curves(curve: Sequence[Epoch]) -> str:
    """The curves of a network, or of each of its towers, with a table of every epoch folded beneath."""
    towers: dict[int | None, list[Epoch]] = {}
    for epoch in curve:
        towers.setdefault(epoch.tower, []).append(epoch)
    return "".join(_tower(number, epochs) for number, epochs in towers.items())


def kept_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights were kept: the first of the best UA, or the last without a held-out slice."""
    measured = {epoch: epoch.held_out_ua for epoch in epochs if epoch.held_out_ua is not None}
    return max(measured, key=measured.__getitem__) if measured else epochs[-1]


def _tower(number: int | None, epochs: Sequence[Epoch]) -> str:
    name = "" if number is None else f" of tower {number + 1}"
    kept = kept_epoch(epochs)
    ua = kept.held_out_ua
    why = "the last one: no slice was held out" if ua is None else f"held-out UA {100 * ua:.1f} %, the best"
    panels = "".join(_panel(title, epochs, kept) for title in PANELS)
    return (
        f'<div class="tower">{f"<h3>Tower {number + 1}</h3>" if number is not None else ""}'
        f'<p class="lead">{len(epochs)} epoch{"s" * (len(epochs) != 1)}; the weights of epoch {kept.epoch} '
        f'were kept ({why}).</p><div class="panels">{panels}</div>{_table(name, epochs, kept)}</div>'
    )


def _panel(title: str, epochs: Sequence[Epoch], kept: Epoch) -> str:
    """One chart over the epochs; "" where no epoch has a figure for it."""
    found = {name: values for name in PANELS[title] if (values := _finite(name, epochs))}
    if not found:
        return ""
    x = counting_axis(epochs[0].epoch, epochs[-1].epoch)
    y = _value_axis(title, [value for values in found.values() for _, value in values])
    shapes = _mark(x.place(kept.epoch), kept.epoch)
    for name, values in found.items():
        shapes += line(name, [(x.place(epoch), y.place(value)) for epoch, value in values])
        shapes += "".join(dot(name, (x.place(e), y.place(v))) for e, v in values if e == kept.epoch)
    keys = "".join(f'<span><i class="{name}"></i>{SERIES[name]}</span>' for name in found)
    told = "; ".join(f"{SERIES[n]} from {v[0][1]:.3g} to {v[-1][1]:.3g}" for n, v in found.items())
    return (
        f"<figure><figcaption><b>{title}</b>{keys}</figcaption>"
        f"{plot('curve', f'{title} by epoch: {told}', HEIGHT, x, y, shapes)}</figure>"
    )


def _value_axis(title: str, values: Sequence[float]) -> Axis:
    if title == "UA":
        return SHARES
    return round_axis([0.0, *values] if title == "Learning rate" else values)


def _finite(name: str, epochs: Sequence[Epoch]) -> list[Point]:
    values = [(epoch.epoch, getattr(epoch, name)) for epoch in epochs]
    return [(epoch, value) for epoch, value in values if value is not None and math.isfinite(value)]


def _mark(left: float, epoch: int) -> str:
    side, shift = ("end", -6) if left > 50 else ("start", 6)
    return (
        f'<line class="kept" x1="{left:.2f}%" x2="{left:.2f}%" y1="0" y2="100%"/>'
        f'<text class="{side}" x="{left:.2f}%" dx="{shift}" y="-6">epoch {epoch}</text>'
    )


def _table(name: str, epochs: Sequence[Epoch], kept: Epoch) -> str:
    shown = [column for column in COLUMNS if any(getattr(epoch, column) is not None for epoch in epochs)]
    rows = "".join(
        f'<tr><th scope="row">{epoch.epoch}{" <b>kept</b>" if epoch is kept else ""}</th>'
        f"{''.join(f'<td>{_cell(column, getattr(epoch, column))}</td>' for column in shown[1:])}</tr>"
        for epoch in epochs
    )
    caption = f"Every epoch{name}"
    return fold(caption, table(caption, [COLUMNS[column] for column in shown], rows, "numbers aside"))


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if column == "held_out_ua" else f"{value:.4g}"
