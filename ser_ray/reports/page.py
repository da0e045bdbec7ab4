"""The morning report: one self-contained HTML page of a scoring run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ser_ray import storage
from ser_ray.reports.records import Call, Leg, Run, Segment, read_segments
from ser_ray.reports.scores import LegTime, RankedCall, Summary, summarise
from ser_ray.reports.template import fill_template
from ser_ray.reports.timeline import emotion_class, html_text, locator, stacked_bar, timeline
from ser_ray.reports.wording import clock, elapsed, percent, reason_parts, signed, trend

UNFOLDED = 25  # failures up to which the ledger starts unfolded


def write_scores_page(scores: str, target: str, top: int = 50) -> None:
    """Write the report of the scores folder `scores` to the file `target`, whole or not at all.

    Args:
        scores: folder or bucket prefix that `score` wrote.
        target: file to write.
        top: how many calls are shown with a timeline.

    Raises:
        MissingInput: the folder, or something in it, is not there.
        BadStore: it is not a scores folder of this format.
    """
    summary = summarise(scores)
    shown = summary.ranked[:top]
    segments = read_segments(summary.scores, [ranked.call.call_id for ranked in shown])
    calls = [
        _call(rank, ranked, segments.get(ranked.call.call_id, ())) for rank, ranked in enumerate(shown, 1)
    ]
    page = fill_template(
        "scores.html",
        title=f"Calls scored on {_day(summary.run.started)}",
        notices=_notices(summary),
        state=_state(summary),
        facts=_facts(summary.run),
        totals=_totals(summary),
        calls_lead=_calls_lead(summary, len(shown)),
        legend=_legend(summary.run),
        calls="".join(calls),
        emotion_time=_emotion_time(summary),
        ledger_lead=f"{summary.counts.error:,} failed, {summary.counts.no_speech:,} without speech.",
        ledger=_ledger(summary),
        negative=html_text(", ".join(summary.run.ensemble.negative)),
        parquet=html_text(storage.join(summary.scores, "calls")),
        query="\n".join(html_text(line) for line in _query(summary.scores, top)),
        versions=html_text(" · ".join(f"{name} {version}" for name, version in summary.run.versions.items())),
    )
    storage.write_bytes(target, page.encode())


def _notices(summary: Summary) -> str:
    notices = ""
    if not summary.run.complete:
        waiting = max(summary.counts.listed - summary.counts.accounted, 0)
        notices += (
            '<section class="notice warn" aria-label="Warning"><h2>This run is not complete</h2>'
            f"<p>{waiting:,} of {summary.counts.listed:,} listed calls have no result yet. "
            "The figures below are those so far; score again into the same folder to go on.</p></section>"
        )
    if summary.problems:
        items = "".join(f"<li>{html_text(problem)}</li>" for problem in summary.problems)
        notices += (
            '<section class="notice bad" aria-label="Error"><h2>The counts do not add up</h2>'
            f"<ul>{items}</ul></section>"
        )
    return notices


def _state(summary: Summary) -> str:
    if not summary.run.complete:
        return '<span class="state warn">Not complete</span>'
    if summary.problems:
        return '<span class="state bad">Counts do not add up</span>'
    return '<span class="state good">Complete</span>'


def _facts(run: Run) -> str:
    ensemble = run.ensemble
    facts = {
        "Archive": run.archive,
        "Scored": _when(run),
        "Ensemble": f"{storage.name(ensemble.uri)}, {ensemble.rule} of {', '.join(ensemble.members)}",
        "Band": ensemble.band,
        "Fingerprint": ensemble.fingerprint[:12],
    }
    return "".join(f"<div><dt>{name}</dt><dd>{html_text(fact)}</dd></div>" for name, fact in facts.items())


def _day(time: datetime) -> str:
    return f"{time.day} {time:%B %Y}"


def _when(run: Run) -> str:
    start, zone = f"{_day(run.started)}, {run.started:%H:%M}", run.started.tzname() or ""
    if run.finished is None:
        return f"{start} {zone}, not finished"
    same_day = run.finished.date() == run.started.date()
    until = f"–{run.finished:%H:%M}" if same_day else f" – {_day(run.finished)}, {run.finished:%H:%M}"
    return f"{start}{until} {zone}"


def _totals(summary: Summary) -> str:
    run, counts = summary.run, summary.counts
    balance = "=" if counts.listed == counts.accounted else "≠"
    terms = [
        ("", counts.listed, "listed"),
        (balance, counts.ok, "scored"),
        ("+", counts.no_speech, "no speech"),
        ("+", counts.error, "failed"),
    ]
    equation = "".join(
        f'<div class="term"><span class="sign">{sign}</span><b>{count:,}</b> <span>{name}</span></div>'
        for sign, count, name in terms
    )
    measures = {
        "audio": f"{run.audio_hours:,.1f} h",
        "speech": f"{run.speech_hours:,.1f} h",
        "wall time": elapsed(run.wall_s),
        "times real time": f"{run.times_real_time:,.0f} ×",
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in measures.items())
    return f'<div class="equation">{equation}</div><dl class="measures">{listed}</dl>'


def _calls_lead(summary: Summary, shown: int) -> str:
    ranked, scored = len(summary.ranked), summary.counts.ok
    if not ranked:
        return f"None of the {scored:,} scored calls has a negative stretch."
    lead = f"{ranked:,} of {scored:,} scored calls have a negative stretch, the strongest first."
    return lead if shown == ranked else f"{lead} The first {shown:,} are shown; the query below lists all."


def _legend(run: Run) -> str:
    negative = run.ensemble.negative
    others = [label for label in run.ensemble.labels if label not in negative]
    return _legend_group("Negative", negative) + _legend_group("Other", others)


def _legend_group(name: str, labels: Iterable[str]) -> str:
    entries = "".join(f"<dd>{_swatch(label)}{html_text(label)}</dd>" for label in labels)
    return f"<div><dt>{name}</dt>{entries}</div>"


def _swatch(emotion: str) -> str:
    return f'<i class="swatch {emotion_class(emotion)}" aria-hidden="true"></i>'


def _call(rank: int, ranked: RankedCall, segments: tuple[Segment, ...]) -> str:
    call, worst = ranked.call, ranked.worst
    who, course = reason_parts(worst)
    numbers = "".join(
        f'<span class="number {name}"><span class="key">{name}</span> {value}</span>'
        for name, value in {
            "score": f"{worst.score:.1f}",
            "confidence": percent(call.confidence),
            "duration": clock(call.duration_s or 0),
        }.items()
    )
    return (
        f'<li id="call-{rank}"><details{" open" if rank == 1 else ""}><summary>'
        f'<span class="rank">{rank}</span>'
        f'<span class="why">{_swatch(worst.emotion)}<span><b>{html_text(who)}</b> {html_text(course)}</span>'
        f'</span><bdi class="call-id">{html_text(call.call_id)}</bdi>'
        f"{locator(call.duration_s or 0, worst)}{numbers}</summary>"
        f'<div class="detail">{timeline(call, worst, segments)}{_legs_table(call)}'
        f'<p class="source">{_source(call)}</p></div></details></li>'
    )


def _source(call: Call) -> str:
    parts = [f"<bdi>{html_text(call.uri)}</bdi>"]
    if call.sample_rate:
        parts.append(f"{call.sample_rate / 1000:g} kHz")
    if call.channels:
        parts.append("mono" if call.channels == 1 else f"{call.channels} channels")
    if call.dual_mono:
        parts.append("both channels hold the same sound")
    return " · ".join(parts)


def _legs_table(call: Call) -> str:
    rows = "".join(_leg_row(leg) for leg in call.legs or ())
    return (
        f'<div class="scroll"><table><caption>Legs of {html_text(call.call_id)}</caption><thead><tr>'
        '<th scope="col">Leg</th><th scope="col">Speech</th><th scope="col">Negativity</th>'
        '<th scope="col">Trend</th><th scope="col">Confidence</th><th scope="col">Strongest stretch</th>'
        f'<th scope="col">Score</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _leg_row(leg: Leg) -> str:
    course = f"{trend(leg.trend)} ({signed(leg.trend)})" if leg.trend is not None else "–"
    stretch, score = "–", "–"
    if worst := leg.stretch:
        stretch = f"{worst.emotion}, {clock(worst.start_s)}–{clock(worst.end_s)}, {percent(worst.negativity)}"
        score = f"{worst.score:.1f}"
    cells = [clock(leg.speech_s), percent(leg.negativity), course, percent(leg.confidence), stretch, score]
    columns = "".join(f"<td>{html_text(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{html_text(leg.leg)}</th>{columns}</tr>'


def _emotion_time(summary: Summary) -> str:
    legs = [leg for leg in summary.emotion_time if leg.total_s > 0]
    if not legs:
        return '<p class="lead">No speech was scored.</p>'
    bars = "".join(_leg_bar(leg, summary.run.ensemble.negative) for leg in legs)
    emotions = dict.fromkeys(emotion for leg in legs for emotion in leg.seconds)
    heads = "".join(f'<th scope="col">{html_text(leg.leg)}</th>' for leg in legs)
    rows = "".join(
        f'<tr><th scope="row">{_swatch(emotion)}{html_text(emotion)}</th>'
        f"{''.join(_time_cell(leg, emotion) for leg in legs)}</tr>"
        for emotion in emotions
    )
    total = "".join(f"<td>100 % <small>{elapsed(leg.total_s)}</small></td>" for leg in legs)
    return (
        f'{bars}<div class="scroll"><table class="times"><caption>Share of speech and time in each emotion, '
        f'by leg</caption><thead><tr><th scope="col">Emotion</th>{heads}</tr></thead>'
        f'<tbody>{rows}</tbody><tfoot><tr><th scope="row">all</th>{total}</tr></tfoot></table></div>'
    )


def _leg_bar(leg: LegTime, negative: tuple[str, ...]) -> str:
    share = sum(leg.seconds.get(label, 0.0) for label in negative) / leg.total_s
    return (
        f'<div class="leg-bar"><h3>{html_text(leg.leg)}</h3>'
        f"<p>{percent(share)} of {elapsed(leg.total_s)} in negative emotions</p>"
        f"{stacked_bar(leg.leg, leg.seconds)}</div>"
    )


def _time_cell(leg: LegTime, emotion: str) -> str:
    time_s = leg.seconds.get(emotion, 0.0)
    return f"<td>{100 * time_s / leg.total_s:.1f} % <small>{elapsed(time_s)}</small></td>"


def _ledger(summary: Summary) -> str:
    unfold = summary.counts.error <= UNFOLDED
    groups = [
        (f.type, f"at {f.stage}", [(c, c.error or "no message") for c in f.calls]) for f in summary.ledger
    ]
    if silent := summary.no_speech:
        lengths = [(call, f"{clock(call.duration_s or 0)} long") for call in silent]
        groups.append(("No speech", "in any leg", lengths))
    return "".join(_fold(name, where, calls, unfold) for name, where, calls in groups)


def _fold(name: str, where: str, calls: list[tuple[Call, str]], unfold: bool) -> str:
    count = f"{len(calls):,} call{'s' * (len(calls) != 1)}"
    rows = "".join(
        f'<tr><th scope="row"><bdi>{html_text(call.call_id)}</bdi></th>'
        f"<td>{html_text(message)} <small><bdi>{html_text(call.uri)}</bdi></small></td></tr>"
        for call, message in calls
    )
    return (
        f'<details class="group"{" open" if unfold else ""}><summary><b>{html_text(name)}</b> '
        f'<span>{html_text(where)}</span> <span class="number">{count}</span></summary>'
        f'<div class="scroll"><table class="files"><caption>{html_text(name)}, {html_text(where)}</caption>'
        "<colgroup><col><col></colgroup><thead><tr>"
        '<th scope="col">Call</th><th scope="col">Message and file</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _query(scores: str, top: int) -> tuple[str, str]:
    """The same ranking for DuckDB, in two lines."""
    files = storage.join(scores, "calls", "*.parquet").replace("'", "''")
    return (
        f"SELECT call_id, worst_leg, worst_start_s, worst_end_s, worst_emotion, worst_score FROM '{files}'",
        f"WHERE status = 'ok' AND worst_score > 0 ORDER BY worst_score DESC, call_id LIMIT {top};",
    )
