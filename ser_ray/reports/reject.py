"""What the reject option costs: how often the surest predictions are right, by how many they are."""

from __future__ import annotations

from collections.abc import Sequence

from ser_ray.evaluation import Selection
from ser_ray.reports.plot import SHARES, dot, line, plot
from ser_ray.reports.template import table

HEIGHT = 220  # px
HEADS = ("Coverage", "Confidence from", "Precision", "At least")
KEYS = '<span><i></i>precision</span><span><i class="low"></i>at least</span>'


def reject_curve(found: Sequence[Selection], chosen: Selection | None = None) -> str:
    """Precision by coverage, with the lower end of its interval; a dot where `chosen` lies."""
    label = "Precision of the surest predictions by their coverage; numbers are in the table beside it."
    shapes = line("precision", [(100 * s.coverage, 100 * (s.precision or 0)) for s in found])
    shapes += line("low", [(100 * s.coverage, 100 * s.low) for s in found])
    if chosen:
        shapes += dot("precision", (100 * chosen.coverage, 100 * (chosen.precision or 0)))
    return (
        f"<figcaption>{KEYS}</figcaption>{plot('reject', label, HEIGHT, SHARES, SHARES, shapes)}"
        '<p class="axis-title last">coverage</p>'
    )


def reject_table(found: Sequence[Selection]) -> str:
    """The same in numbers."""
    rows = ""
    for selection in found:
        first, *others = reject_cells(selection)
        rows += f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
    return table("The surest predictions", HEADS, rows)


def reject_cells(selection: Selection) -> tuple[str, ...]:
    """Coverage, confidence, precision and the lower end of its interval, in words."""
    shares = selection.coverage, selection.certain_from, selection.precision, selection.low
    return tuple("–" if share is None else f"{100 * share:.1f} %" for share in shares)
