"""What an audit found, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from ser_ray.corpora.audit import Association, Audit, Crossing


def print_audits(console: Console, audits: Sequence[Audit], refused: Mapping[str, str]) -> None:
    """What crosses the splits of some protocols, and which protocols cannot divide the corpus."""
    if audits:
        counts = ", ".join(f"{emotion} {n}" for emotion, n in audits[0].by_emotion.items())
        console.print(f"{audits[0].utterances} utterances: {counts}")
        _print_association(console, audits[0].speaker_emotion)
        table = Table(title="test utterances that share something with training", title_justify="left")
        table.add_column("protocol", no_wrap=True)
        for what in ("folds", *audits[0].crossings):
            table.add_column(what, justify="right")
        for audit in audits:
            shares = [_share(crossing) for crossing in audit.crossings.values()]
            table.add_row(audit.protocol, str(audit.folds), *shares)
        console.print(table)
    for audit in audits:
        console.print(f"{audit.protocol}: {audit.verdict}")
    for protocol, reason in refused.items():
        console.print(f"{protocol}: not possible. {reason}", style="dim")


def _print_association(console: Console, found: Association | None) -> None:
    if found:
        console.print(
            f"speaker and emotion: Cramér's V {found.cramers_v:.2f}; guessing from the speaker alone is "
            f"right in {found.guessed:.0%}, without knowing the speaker in {found.chance:.0%}"
        )


def _share(crossing: Crossing) -> str:
    if crossing.share is None:
        return "not known"
    return f"{crossing.share:.1%}" if crossing.crossing else "0"
