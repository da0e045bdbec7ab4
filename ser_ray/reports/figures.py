"""Figures of recognition on a terminal: members and rules side by side, and the confusion of the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from ser_ray.evaluation import Report, Selection
from ser_ray.fusion import Ensemble
from ser_ray.pipelines.call_ranking import TOP, CallRanking
from ser_ray.pipelines.evaluate import Evaluation
from ser_ray.pipelines.truth import Comparison
from ser_ray.reports.card import read_card
from ser_ray.reports.reject import HEADS, reject_cells
from ser_ray.reports.wording import percent

RULE = "rule:"


def print_reports(console: Console, title: str, reports: Mapping[str, Report], chosen: str = "") -> None:
    """A table with a row for each member and rule; `chosen` names the rule to mark."""
    first = next(iter(reports.values()))
    table = Table(title=f"{title}; % with 95 % intervals over {first.resampled}", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("UA", "WA", "macro-F1", "ECE"):
        table.add_column(heading, justify="right")
    best = max(reports, key=lambda name: reports[name].ua.value)
    for name, report in reports.items():
        shown = name.replace(RULE, "rule ") + (" (chosen)" if name == RULE + chosen else "")
        cells = [str(report.ua), str(report.wa), str(report.f1), str(report.ece)]
        table.add_row(shown, *cells, style="bold" if name == best else "")
    console.print(table)


def print_fused(console: Console, ensemble: Ensemble, reports: Mapping[str, Report]) -> None:
    """What `fuse` measured: members and rules, and what the reject option of the chosen rule costs."""
    fusion, metrics = ensemble.fusion, ensemble.card["metrics"]
    print_reports(console, f"{metrics['protocol']}, training corpus", reports, chosen=fusion.rule)
    table = Table(title=f"the surest predictions by rule {fusion.rule}", title_justify="left")
    for heading in HEADS:
        table.add_column(heading.lower(), justify="right")
    for selection in ensemble.card["selections"]:
        table.add_row(*reject_cells(Selection(**selection)))
    console.print(table)
    console.print(f"calibration: {fusion.calibration.kind}")
    if certain := read_card(ensemble.card, "").certain:
        console.print(f"certain: {certain}")


def print_evaluation(console: Console, result: Evaluation) -> None:
    """All figures of an evaluation, with what they were measured on."""
    first = next(iter(result.reports.values()))
    title = f"{', '.join(result.corpora)}, {result.protocol} ({len(result.folds)} folds), seed {result.seed}"
    print_reports(console, title, result.reports)
    console.print("n: " + ", ".join(f"{label} {n}" for label, n in zip(first.labels, first.n, strict=True)))
    console.print(f"verdict: {result.verdict}")
    best = max(result.reports, key=lambda name: result.reports[name].ua.value)
    _print_confusion(console, best.replace(RULE, "rule "), result.reports[best])


def print_comparison(console: Console, comparison: Comparison) -> None:
    """How a scored archive meets its truth."""
    report = comparison.report
    print_reports(console, f"{sum(report.n)} segments against the truth", {"ensemble": report})
    console.print(
        f"{100 * comparison.found:.1f} % of the turns' time lies in segments, "
        f"{100 * comparison.elsewhere:.1f} % of the segments' time outside the turns"
    )
    if comparison.coverage < 1:
        console.print(
            f"{percent(comparison.coverage)} of the segments are certain; of these "
            f"{percent(comparison.precision)} are right"
        )
    if comparison.unknown:
        console.print(f"{comparison.unknown} segments left out: emotions that the ensemble does not know")
    _print_confusion(console, "the ensemble", report)


def print_ranking(console: Console, ranking: CallRanking) -> None:
    """How well the calls that hold an emotion come to the top."""
    share = f"{ranking.holding} of {ranking.calls} calls hold {ranking.emotion}"
    chance = f"chance {100 * ranking.holding / ranking.calls:.1f}"
    table = Table(title=f"{share}; % with 95 % intervals over calls, {chance}", title_justify="left")
    table.add_column("calls ranked by", no_wrap=True)
    for heading in ("average precision", f"first {TOP}", "first tenth"):
        table.add_column(heading, justify="right")
    for name, order in ranking.orders.items():
        shares = (f"{100 * share:.0f}" for share in (order.top, order.top_tenth))
        table.add_row(name, str(order.average_precision), *shares)
    console.print(table)


def report_rows(reports: Mapping[str, Report]) -> dict[str, Any]:
    """Reports as plain data."""
    return {name: asdict(report) for name, report in reports.items()}


def _print_confusion(console: Console, name: str, report: Report) -> None:
    table = Table(title=f"confusion of {name}: rows true, columns predicted", title_justify="left")
    table.add_column("")
    for label in report.labels:
        table.add_column(label[:6], justify="right")
    table.add_column("recall", justify="right")
    for k, (label, row) in enumerate(zip(report.labels, report.confusion, strict=True)):
        recall = f"{100 * row[k] / sum(row):.0f} %" if sum(row) else "-"
        table.add_row(label, *map(str, row), recall)
    console.print(table)
