"""The tables of a recipe as Markdown, for a README, and on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table as Shown

from ser_ray.pipelines.recipes.figures import Answer, Outcome, Row, Table
from ser_ray.reports.wording import elapsed

HEADS = ("", "UA", "WA", "macro-F1", "all fits", "one prediction")


def markdown_of(outcome: Outcome) -> str:
    """A heading, a table and the answers for each protocol; published figures and differences behind."""
    card = outcome.card
    parts = [f"# {card['title']}", f"{card['source']}."]
    for protocol, table in outcome.tables.items():
        parts += [f"## {title_of(outcome, protocol)}", _rows(table, outcome), f"Verdict: {table.verdict}."]
        parts += ["\n".join(f"- {sentence_of(answer)}" for answer in table.answers)] if table.answers else []
    parts += ["\n".join(f"- {sentence}" for sentence in notes_of(outcome))]
    return "\n\n".join(parts) + "\n"


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The same on a terminal."""
    for protocol, table in outcome.tables.items():
        shown = Shown(title=title_of(outcome, protocol), title_justify="left")
        published = ["published"] * bool(outcome.card["published"])
        for head in ("", "UA", "WA", "all fits", *published):
            shown.add_column(head, justify="right" if head else "left", no_wrap=True)
        best = max(table.rows, key=lambda name: table.rows[name].report.ua.value)
        for name, row in table.rows.items():
            _, ua, wa, _, fits, _ = cells_of(name, row)
            cells = (name, ua, wa, fits, *[published_of(outcome, name)] * bool(published))
            shown.add_row(*cells, style="bold" if name == best else "")
        console.print(shown)
        for answer in table.answers:
            console.print(f"  {sentence_of(answer)}", markup=False)
        console.print(f"verdict: {table.verdict}", markup=False)
    for sentence in notes_of(outcome):
        console.print(f"- {sentence}", markup=False)


def title_of(outcome: Outcome, protocol: str) -> str:
    """On what the table of a protocol was measured."""
    card, table = outcome.card, outcome.tables[protocol]
    seeds = "seed 0" if card["seeds"] == 1 else f"seeds 0 to {card['seeds'] - 1}"
    return (
        f"{', '.join(card['corpora'])}, {len(card['labels'])} emotions, {card['utterances']} utterances, "
        f"{protocol} ({table.folds} {'fold' if table.folds == 1 else 'folds'}), {seeds}"
    )


def cells_of(name: str, row: Row) -> tuple[str, ...]:
    """The cells of a row, as `HEADS` names them; % with 95 % intervals."""
    report = row.report
    spread = f" ± {100 * row.spread:.1f}" if row.spread else ""
    fits = "" if row.fit_s is None else elapsed(row.fit_s)
    cost = "" if row.predict_ms is None else f"{row.predict_ms:.1f} ms"
    return (name, f"{report.ua}{spread}", str(report.wa), str(report.f1), fits, cost)


def published_of(outcome: Outcome, name: str) -> str:
    """The published figure of a row, "" where there is none."""
    return next((f"{each['figure']:.1f}" for each in outcome.card["published"] if each["row"] == name), "")


def sentence_of(answer: Answer) -> str:
    """A claim and what became of it."""
    value, low, high = (100 * v for v in vars(answer.difference).values())
    return (
        f"{answer.says} ({answer.better} against {answer.worse}): {answer.verdict}, "
        f"{value:+.1f} [{low:+.1f}, {high:+.1f}] points of UA."
    )


def notes_of(outcome: Outcome) -> Iterator[str]:
    """What was learned before, where published figures are from, and what differs."""
    card = outcome.card
    for name, made in card["prepared"].items():
        yield f"{name}: {made['what']}."
    if card["published"]:
        places = sorted({each["on"] for each in card["published"]})
        yield f"Published figures: {'; '.join(places)}. They are not claimed to be reproduced."
    yield from card["differences"]
    yield f"Time: {elapsed(card['wall_s'])} in all for what was fitted last; the fits one by one stand above."


def _rows(table: Table, outcome: Outcome) -> str:
    heads = [*HEADS, "published"] if outcome.card["published"] else [*HEADS]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name, row in table.rows.items():
        cells = [*cells_of(name, row)]
        cells += [published_of(outcome, name)] if outcome.card["published"] else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
