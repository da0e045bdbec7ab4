"""Whether probabilities can be taken at their word: the reliability diagram (DeGroot and Fienberg, 1983)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ser_ray.reports.plot import SHARES, Axis, plot
from ser_ray.reports.template import table
from ser_ray.reports.wording import percent

BINS = 10
KEYS = (
    '<span><i class="box accuracy"></i>accuracy</span><span><i class="mean"></i>mean confidence</span>'
    '<span><i class="box over"></i>too sure</span><span><i class="box under"></i>too modest</span>'
)
GAP = 0.6  # % of the width left free on each side of a bar


@dataclass(frozen=True)
class Bin:
    """Utterances whose confidence, the largest probability, lies between `low` and `high`.

    Attributes:
        low, high: edges; `high` belongs to the next bin, but for the last.
        n: utterances.
        confidence: mean confidence, 0 without utterances.
        accuracy: share of them that is right, 0 without utterances.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float

    @property
    def gap(self) -> float:
        """Mean confidence less accuracy: above zero where the model is too sure."""
        return self.confidence - self.accuracy


def reliability(y: np.ndarray, p: np.ndarray) -> tuple[Bin, ...]:
    """Ten bins of equal width.

    Args:
        y: index of the true label [rows].
        p: probabilities [rows, labels].
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    n, sure, hits = (np.bincount(places, weight, BINS) for weight in (None, confidence, right))
    return tuple(
        Bin(k / BINS, (k + 1) / BINS, int(n[k]), *(float(v[k] / max(n[k], 1)) for v in (sure, hits)))
        for k in range(BINS)
    )


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """Accuracy by confidence with the gaps between them, and below how many utterances each bin has."""
    label = "Reliability diagram; its numbers are in the table beside it."
    shapes = "".join(_bars(part) for part in bins if part.n)
    diagonal = '<line class="ideal" x1="0" y1="100%" x2="100%" y2="0"/>'
    most = max(part.n for part in bins)
    counts = "".join(_count(part, most) for part in bins if part.n)
    unmarked = Axis(0, 1, ((0, ""),))
    return (
        f"<figcaption>{KEYS}</figcaption>"
        + plot("reliability", label, 300, Axis(0, 1, ()), SHARES, shapes + diagonal)
        + '<p class="axis-title">utterances</p>'
        + plot("counts", "Utterances in each bin of confidence.", 64, SHARES, unmarked, counts)
        + '<p class="axis-title last">confidence</p>'
    )


def reliability_table(bins: Sequence[Bin]) -> str:
    """The same in numbers, bins without utterances left out."""
    rows = "".join(
        f'<tr><th scope="row">{100 * part.low:.0f}–{100 * part.high:.0f} %</th><td>{part.n:,}</td>'
        f"<td>{100 * part.confidence:.1f} %</td><td>{100 * part.accuracy:.1f} %</td>"
        f"<td>{_gap(part)}</td></tr>"
        for part in bins
        if part.n
    )
    return table("Bins of confidence", ("Confidence", "n", "Mean", "Accuracy", "Gap"), rows)


def _gap(part: Bin) -> str:
    points = round(100 * part.gap, 1)
    if not points:
        return "0.0"
    sign, direction = ("+", "too sure") if points > 0 else ("\N{MINUS SIGN}", "too modest")
    return f'{sign}{abs(points)} <span class="word">{direction}</span>'


def _bars(part: Bin) -> str:
    lower, upper = sorted((part.confidence, part.accuracy))
    kind = "over" if part.gap > 0 else "under"
    title = f"{part.n:,} utterances: confidence {percent(part.confidence)}, accuracy {percent(part.accuracy)}"
    level, (left, width) = f"{100 - 100 * part.confidence:.2f}%", _span(part)
    return (
        f"<g><title>{title}</title>{_bar('accuracy', part, 0, part.accuracy)}"
        f"{_bar(f'gap {kind}', part, lower, upper)}"
        f'<line class="mean" x1="{left:.2f}%" x2="{left + width:.2f}%" y1="{level}" y2="{level}"/></g>'
    )


def _count(part: Bin, most: int) -> str:
    middle = 50 * (part.low + part.high)
    top = 100 - 100 * part.n / most
    text = f"{part.n}" if part.n < 10_000 else f"{part.n / 1000:.0f}k"
    return _bar("n", part, 0, part.n / most) + (
        f'<text class="x" x="{middle:.2f}%" y="{top:.2f}%" dy="-4">{text}</text>'
    )


def _bar(css_class: str, part: Bin, lower: float, upper: float) -> str:
    left, width = _span(part)
    return (
        f'<rect class="{css_class}" x="{left:.2f}%" width="{width:.2f}%" '
        f'y="{100 - 100 * upper:.2f}%" height="{100 * (upper - lower):.2f}%"/>'
    )


def _span(part: Bin) -> tuple[float, float]:
    """Left edge and width of a bin's bars, in % of the frame."""
    return 100 * part.low + GAP, 100 * (part.high - part.low) - 2 * GAP
