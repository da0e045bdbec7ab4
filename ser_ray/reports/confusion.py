"""What is taken for what: the confusion matrix and the figures of each emotion, as tables."""

from __future__ import annotations

from dataclasses import dataclass

from ser_ray.evaluation import Report
from ser_ray.reports.template import table
from ser_ray.reports.timeline import html_text
from ser_ray.reports.wording import percent

SHADES = 10  # beside none; the style sheet has a class for each


@dataclass(frozen=True)
class ClassFigures:
    """One emotion's figures, each None where nothing was to be found or was found.

    Attributes:
        label: the emotion.
        n: utterances that have it.
        recall: share of them that is recognised.
        precision: share of the utterances recognised as it that have it.
        f1: harmonic mean of the two; 0 where none is recognised.
    """

    label: str
    n: int
    recall: float | None
    precision: float | None
    f1: float | None


def class_figures(report: Report) -> tuple[ClassFigures, ...]:
    """The figures of each emotion, in the order of the labels."""
    found = [sum(row[k] for row in report.confusion) for k in range(len(report.labels))]
    hits = [row[k] for k, row in enumerate(report.confusion)]
    return tuple(
        ClassFigures(
            label, n, _share(hit, n), _share(hit, chosen), _share(2 * hit, n + chosen) if n else None
        )
        for label, n, chosen, hit in zip(report.labels, report.n, found, hits, strict=True)
    )


def confusion_table(report: Report) -> str:
    """Counts and shares of each row; the shade says the share, an outline marks what is right."""
    heads = ["", *(f"<span>{html_text(label)}</span>" for label in report.labels)]
    rows = "".join(
        f'<tr><th scope="row">{html_text(label)}</th>'
        f"{''.join(_cell(count, sum(row), column == k) for column, count in enumerate(row))}</tr>"
        for k, (label, row) in enumerate(zip(report.labels, report.confusion, strict=True))
    )
    return table("Rows: what it is. Columns: what it was taken for.", heads, rows, "confusion")


def class_table(report: Report) -> str:
    """Recall, precision and F1 of each emotion."""
    rows = "".join(
        f'<tr><th scope="row">{html_text(of.label)}</th><td>{of.n:,}</td><td>{_figure(of.recall)}</td>'
        f"<td>{_figure(of.precision)}</td><td>{_figure(of.f1)}</td></tr>"
        for of in class_figures(report)
    )
    return table("Each emotion", ("Emotion", "n", "Recall", "Precision", "F1"), rows)


def _cell(count: int, total: int, right: bool) -> str:
    share = _share(count, total) or 0.0
    css_class = f"s{round(SHADES * share)}{' right' if right else ''}"
    text = f"{count:,} <small>{percent(share)}</small>" if count else "0"
    return f'<td class="{css_class}">{text}</td>'


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _figure(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
