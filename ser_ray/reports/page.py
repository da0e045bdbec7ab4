"""The morning report: one self-contained HTML page of a scoring run."""

from __future__ import annotations

from ser_ray import storage
from ser_ray.reports.distributions import FEW, agents, distributions
from ser_ray.reports.emotion_time import emotion_time
from ser_ray.reports.ledger import ledger
from ser_ray.reports.masthead import facts, notices, state, totals
from ser_ray.reports.nights import read_nights
from ser_ray.reports.page_data import page_data
from ser_ray.reports.phrases import Phrases, phrases
from ser_ray.reports.ranking import Ranking, legend
from ser_ray.reports.records import read_segments
from ser_ray.reports.scores import Summary, summarise
from ser_ray.reports.template import fill_template, section
from ser_ray.reports.timeline import html_text
from ser_ray.reports.trend import trend_charts, trend_lead

TOP = 2000  # calls with a timeline
WRITTEN = 50  # calls that are there without a script; `scores.js` shows others so many at a time
NIGHTS = 14


def write_scores_page(
    scores: str | Summary, target: str, top: int = TOP, nights: int = NIGHTS, language: str = "en"
) -> None:
    """Write the report of the scores folder `scores` to the file `target`, whole or not at all.

    Args:
        scores: folder or bucket prefix that `score` wrote, or its summary.
        target: file to write.
        top: how many calls have a timeline; all ranked ones are on the page.
        nights: how many earlier nights, told by the date in the folder's name, it is compared with.
        language: `en` or `ko`.

    Raises:
        MissingInput: the folder, or something in it, is not there.
        BadStore: it is not a scores folder of this format.
        UsageError: another language.
    """
    say = phrases(language)
    summary = scores if isinstance(scores, Summary) else summarise(scores)
    page = fill_template(
        "scores.html",
        **{f"t_{key}": html_text(text) for key, text in say.table.items() if "{" not in text},
        language=say.language,
        title=html_text(say("title", day=say.day(summary.run.started))),
        notices=notices(summary, say),
        state=state(summary, say),
        facts=facts(summary.run, say),
        totals=totals(summary, say),
        trend=_trend(summary, nights, say),
        **_calls(summary, top, say),
        emotion_time=emotion_time(summary, say),
        distributions=_distributions(summary, say),
        ledger_lead=html_text(
            say("ledger_lead", failed=f"{summary.counts.error:,}", silent=f"{summary.counts.no_speech:,}")
        ),
        ledger=ledger(summary, say),
        guide=_guide(summary, target, top, say),
        versions=html_text(" · ".join(f"{name} {version}" for name, version in summary.run.versions.items())),
    )
    storage.write_bytes(target, page.encode())


def _calls(summary: Summary, top: int, say: Phrases) -> dict[str, str]:
    """The section of the ranking, and the data of it."""
    ranking = Ranking(summary, say)
    written = summary.ranked[: min(top, WRITTEN)]
    segments = read_segments(summary.scores, [ranked.call.call_id for ranked in summary.ranked[:top]])
    rows = [
        ranking.row(rank, ranked, segments.pop(ranked.call.call_id, ()))
        for rank, ranked in enumerate(written, 1)
    ]
    left_out = html_text(say("ranking_top", shown=f"{len(written):,}"))
    return {
        "calls_lead": html_text(ranking.lead()),
        "calls_left_out": left_out if len(written) < len(summary.ranked) else "",
        "legend": legend(summary.run.ensemble, say),
        "selects": ranking.selects(),
        "calls": "".join(rows),
        "data": page_data(ranking, segments, top, _query(summary.scores)),
    }


def _trend(summary: Summary, most: int, say: Phrases) -> str:
    nights = read_nights(summary.scores, summary.run, most)
    if nights is None:
        return ""
    lead = html_text(trend_lead(nights, say))
    return section("nights", html_text(say("nights")), trend_charts(nights, say), lead)


def _distributions(summary: Summary, say: Phrases) -> str:
    if not summary.scored:
        return ""
    lead = html_text(say("distributions_lead", scored=f"{summary.counts.ok:,}"))
    charts = f'<div class="charts">{distributions(summary, say)}</div>'
    shown = section("distributions", html_text(say("distributions")), charts, lead)
    if by_agent := agents(summary, say):
        lead = html_text(say("agents_lead", few=f"{FEW}"))
        shown += section("agents", html_text(say("agents")), by_agent, lead)
    return shown


def _guide(summary: Summary, target: str, top: int, say: Phrases) -> str:
    ensemble = summary.run.ensemble
    rows = f"<code>{html_text(storage.join(summary.scores, 'calls'))}</code>"
    if storage.absolute(target).rpartition("/")[0] == summary.scores:
        rows = f'<a href="calls/">{rows}</a>'
    texts = {
        "negativity": {"negative": say.emotions(ensemble.negative)},
        "score": {},
        "confidence": {},
        "uncertain": {"from_share": say.percent(ensemble.certain_from)},
        "trend": {},
        "timeline": {"top": f"{top:,}"},
    }
    if ensemble.certain_from is None:
        del texts["uncertain"]
    entries = "".join(
        f"<dt>{html_text(say(f'guide_{key}'))}</dt><dd>{html_text(say(f'guide_{key}_text', **values))}</dd>"
        for key, values in texts.items()
    )
    before, _, after = say.table["guide_rows_text"].partition("{parquet}")
    query = "\n".join(html_text(line) for line in _query(summary.scores))
    return (
        f"{entries}<dt>{html_text(say('guide_rows'))}</dt>"
        f'<dd>{html_text(before)} {rows}{html_text(after)}<pre id="query">{query}</pre></dd>'
    )


def _query(scores: str) -> tuple[str, str, str]:
    """The ranking for DuckDB: what is chosen, of which rows, in which order."""
    files = storage.join(scores, "calls", "*.parquet").replace("'", "''")
    return (
        "SELECT call_id, agent, date, worst_leg, worst_start_s, worst_end_s, worst_emotion, worst_score "
        f"FROM '{files}'",
        "WHERE status = 'ok' AND worst_score > 0",
        "ORDER BY worst_score DESC, call_id;",
    )
