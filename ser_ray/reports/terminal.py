"""The summary of a scoring run on a terminal, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ser_ray.reports.phrases import ENGLISH
from ser_ray.reports.scores import Summary
from ser_ray.reports.wording import clock, elapsed, percent, printable


def print_summary(summary: Summary, console: Console, top: int = 10) -> None:
    """Print totals that add up, the `top` calls that need a person, and the failures by type."""
    run, counts = summary.run, summary.counts
    if not run.complete:
        console.print(Text("This run is not complete: the figures are those so far.", style="bold yellow"))
    for warning in run.drift.warnings if run.drift else ():
        console.print(Text(f"Calls of another kind: {printable(warning)}", style="bold yellow"))
    for problem in summary.problems:
        console.print(Text(f"Counts do not add up: {printable(ENGLISH.problem(problem))}", style="bold red"))
    balance = "=" if counts.listed == counts.accounted else "≠"
    console.print(
        f"{counts.listed:,} listed {balance} {counts.ok:,} ok + {counts.no_speech:,} no speech "
        f"+ {counts.error:,} failed",
        highlight=False,
    )
    console.print(
        f"{run.audio_hours:,.1f} h audio, {run.speech_hours:,.1f} h speech, "
        f"{run.times_real_time:,.0f} × real time, {elapsed(run.wall_s)}",
        highlight=False,
    )
    if summary.ranked:
        console.print(_calls_table(summary, top))
    if summary.ledger:
        console.print(_failures_table(summary))


def summary_data(summary: Summary, top: int = 10) -> dict[str, Any]:
    """The same as plain data."""
    run = summary.run
    return {
        "archive": run.archive,
        "complete": run.complete,
        "counts": asdict(summary.counts),
        "problems": [ENGLISH.problem(problem) for problem in summary.problems],
        "warnings": list(run.drift.warnings) if run.drift else [],
        "audio_hours": run.audio_hours,
        "speech_hours": run.speech_hours,
        "times_real_time": run.times_real_time,
        "wall_s": run.wall_s,
        "ranked": len(summary.ranked),
        "calls": [
            {
                **{name: getattr(r.call, name) for name in ("call_id", "uri", "agent", "date", "confidence")},
                **asdict(r.worst),
                "reason": ENGLISH.reason(r.worst),
            }
            for r in summary.ranked[:top]
        ],
        "failures": [
            {"stage": group.stage, "type": group.type, "calls": len(group.calls)} for group in summary.ledger
        ],
    }


def _calls_table(summary: Summary, top: int) -> Table:
    shown = summary.ranked[:top]
    table = Table(title=f"Calls that need a person first: {len(shown):,} of {len(summary.ranked):,}")
    table.add_column("#", justify="right")
    table.add_column("call", overflow="fold")
    table.add_column("reason", overflow="fold")
    for heading in ("score", "confidence", "duration"):
        table.add_column(heading, justify="right")
    for rank, ranked in enumerate(shown, start=1):
        table.add_row(
            str(rank),
            Text(printable(ranked.call.call_id)),
            Text(printable(ENGLISH.reason(ranked.worst))),
            f"{ranked.worst.score:.1f}",
            percent(ranked.call.confidence),
            clock(ranked.call.duration_s or 0),
        )
    return table


def _failures_table(summary: Summary) -> Table:
    table = Table(title=f"Failures: {summary.counts.error:,}")
    table.add_column("stage")
    table.add_column("type")
    table.add_column("calls", justify="right")
    for group in summary.ledger:
        table.add_row(Text(printable(group.stage)), Text(printable(group.type)), f"{len(group.calls):,}")
    return table
