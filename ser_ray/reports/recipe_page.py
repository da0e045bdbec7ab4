"""The page of a recipe: its tables, the answers to its claims, what is taken for what, and how it learned."""

from __future__ import annotations

from pydantic import TypeAdapter

from ser_ray import storage
from ser_ray.evaluation import Interval
from ser_ray.pipelines.recipes.figures import RECIPE, Answer, Outcome, Row, Table, read_outcome
from ser_ray.reports.card import Epoch
from ser_ray.reports.confusion import confusion_table
from ser_ray.reports.curves import training_curves
from ser_ray.reports.recipe_table import HEADS, cells_of, notes_of, published_of, title_of
from ser_ray.reports.template import fill_template, fold, section, table
from ser_ray.reports.timeline import html_text
from ser_ray.reports.wording import elapsed


def has_recipe_page(uri: str) -> bool:
    """Whether `uri` is a directory that this page can be made of."""
    return storage.exists(storage.join(uri, RECIPE))


def write_recipe_page(uri: str, target: str) -> None:
    """Write the page of a recipe's folder to the file `target`, whole or not at all.

    Raises:
        MissingInput: the folder holds no figures of a recipe.
        BadStore: they are cut short or of another form.
    """
    outcome = read_outcome(uri)
    card = outcome.card
    facts = {
        "Corpus": ", ".join(card["corpora"]),
        "Emotions": ", ".join(card["labels"]),
        "Utterances": f"{card['utterances']:,}",
        "Speakers": "not known" if card["speakers"] is None else card["speakers"],
        "Seeds": card["seeds"],
        "Time": elapsed(card["wall_s"]),
        "Directory": uri,
    }
    page = fill_template(
        "recipe.html",
        name=html_text(card["title"]),
        source=html_text(card["source"]),
        facts="".join(f"<div><dt>{k}</dt><dd>{html_text(v)}</dd></div>" for k, v in facts.items()),
        sections="".join(_protocol(outcome, protocol) for protocol in outcome.tables) + _notes(outcome),
        versions=html_text(" · ".join(f"{name} {version}" for name, version in card["versions"].items())),
    )
    storage.write_bytes(target, page.encode())


def _protocol(outcome: Outcome, protocol: str) -> str:
    shown = outcome.tables[protocol]
    name = f"protocol-{list(outcome.tables).index(protocol)}"
    best = max(shown.rows, key=lambda key: shown.rows[key].report.ua.value)
    published = ["published"] * bool(outcome.card["published"])
    heads = (*HEADS, *published, "")
    rows = "".join(_row(outcome, key, row, key == best) for key, row in shown.rows.items())
    told = f"{title_of(outcome, protocol)}. {shown.verdict}. In %; in brackets 95 % intervals of a bootstrap "
    told += f"over {shown.rows[best].report.resampled}."
    body = table("Everything that was compared", heads, rows) + _answers(shown)
    for key, row in shown.rows.items():
        body += fold(html_text(f"{key}: what is taken for what"), confusion_table(row.report))
        if row.curve:
            epochs = TypeAdapter(list[Epoch]).validate_python(row.curve)
            body += fold(html_text(f"{key}: how the first fold learned"), training_curves(epochs))
    return section(name, html_text(protocol), body, html_text(told))


def _row(outcome: Outcome, key: str, row: Row, best: bool) -> str:
    cells = [*cells_of(key, row)[1:], *[published_of(outcome, key)] * bool(outcome.card["published"])]
    told = f"{html_text(key)}<small>{html_text(row.what)}{_findings(row)}</small>"
    chance = 1 / sum(n > 0 for n in row.report.n)
    marked = "".join(f"<td>{html_text(cell)}</td>" for cell in cells)
    bar = _range(row.report.ua, 0, 1, chance)
    return f'<tr{" class=best" * best}><th scope="row">{told}</th>{marked}<td class="bar">{bar}</td></tr>'


def _findings(row: Row) -> str:
    told = ", ".join(f"{name} {value:.3g}" for name, value in row.findings.items())
    return html_text(f"; {told}") if told else ""


def _answers(shown: Table) -> str:
    if not shown.answers:
        return ""
    widest = max(max(abs(a.difference.low), abs(a.difference.high)) for a in shown.answers) or 0.01
    rows = "".join(_answer(answer, widest) for answer in shown.answers)
    heads = ("Claim", "Answer", "Difference in UA", "")
    return table(
        "What became of its claims: yes or no where the interval leaves out zero", heads, rows, "answers"
    )


def _answer(answer: Answer, widest: float) -> str:
    value, low, high = (100 * v for v in vars(answer.difference).values())
    css_class = {"yes": "yes", "no, it costs": "no"}.get(answer.verdict, "")
    told = f"{html_text(answer.says)} <small>{html_text(f'{answer.better} against {answer.worse}')}</small>"
    bar = _range(answer.difference, -widest, widest, 0)
    return (
        f'<tr class="{css_class}"><td>{told}</td><td>{html_text(answer.verdict)}</td>'
        f'<td>{value:+.1f} [{low:+.1f}, {high:+.1f}]</td><td class="bar">{bar}</td></tr>'
    )


def _range(figure: Interval, least: float, most: float, mark: float) -> str:
    """An interval as a bar between two ends, with a mark at chance or zero."""
    value, low, high, at = (
        100 * (v - least) / (most - least) for v in (figure.value, figure.low, figure.high, mark)
    )
    return (
        '<svg class="range" aria-hidden="true" width="160" height="12">'
        f'<rect class="track" y="5" width="100%" height="2"/><rect class="chance" x="{at:.2f}%" width="2" '
        f'height="12"/><rect class="interval" x="{low:.2f}%" width="{max(high - low, 0):.2f}%" y="4" '
        f'height="4"/><circle cx="{value:.2f}%" cy="6" r="4"/></svg>'
    )


def _notes(outcome: Outcome) -> str:
    variants = "".join(
        f'<tr><th scope="row">{html_text(name)}</th><td>{html_text(v["family"])}</td>'
        f"<td>{html_text(', '.join(v['features']))}</td><td>{html_text(v['normalisation'])}</td>"
        f"<td>{html_text(', '.join(v['copies']) or 'none')}</td></tr>"
        for name, v in outcome.card["variants"].items()
    )
    notes = "".join(f"<li>{html_text(sentence)}</li>" for sentence in notes_of(outcome))
    heads = ("Variant", "Family", "Features", "Normalisation", "Copies")
    made = table("What each variant is made of", heads, variants, "plain")
    return section("notes", "What it is, and what differs", f"<ul>{notes}</ul>{made}")
