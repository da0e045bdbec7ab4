"""Head of the scores page: what was scored, by what, how it went, and totals that add up."""

from __future__ import annotations

from collections.abc import Iterable

from ser_ray import storage
from ser_ray.reports.phrases import Phrases
from ser_ray.reports.records import Run
from ser_ray.reports.scores import Summary
from ser_ray.reports.timeline import html_text


def notices(summary: Summary, say: Phrases) -> str:
    """What to know before anything else: a run cut off, counts that do not add up, calls of another kind."""
    shown = ""
    if not summary.run.complete:
        waiting = max(summary.counts.listed - summary.counts.accounted, 0)
        text = say("notice_incomplete_text", waiting=f"{waiting:,}", listed=f"{summary.counts.listed:,}")
        shown += _notice("warn", "warning", "notice_incomplete", f"<p>{html_text(text)}</p>", say)
    if summary.problems:
        shown += _notice(
            "bad", "error", "notice_problems", _items(map(say.problem, summary.problems), say.language), say
        )
    if summary.run.drift and summary.run.drift.warnings:
        shown += _notice("warn", "warning", "notice_drift", _items(summary.run.drift.warnings, "en"), say)
    return shown


def state(summary: Summary, say: Phrases) -> str:
    """How the run ended, as a label."""
    if not summary.run.complete:
        kind, key = "warn", "not_complete"
    elif summary.problems:
        kind, key = "bad", "not_adding_up"
    else:
        kind, key = "good", "complete"
    return f'<span class="state {kind}">{html_text(say(key))}</span>'


def facts(run: Run, say: Phrases) -> str:
    """Archive, time and ensemble."""
    ensemble = run.ensemble
    members = ", ".join(ensemble.members)
    told = {
        "archive": run.archive,
        "scored_when": _when(run, say),
        "ensemble": say("ensemble_of", name=storage.name(ensemble.uri), rule=ensemble.rule, members=members),
        "band": ensemble.band,
        "fingerprint": ensemble.fingerprint[:12],
    }
    return "".join(
        f"<div><dt>{html_text(say(key))}</dt><dd>{html_text(fact)}</dd></div>" for key, fact in told.items()
    )


def totals(summary: Summary, say: Phrases) -> str:
    """The equation of calls, and hours and speed."""
    run, counts = summary.run, summary.counts
    balance = "=" if counts.listed == counts.accounted else "≠"
    terms = [
        ("", counts.listed, "listed"),
        (balance, counts.ok, "scored"),
        ("+", counts.no_speech, "no_speech"),
        ("+", counts.error, "failed"),
    ]
    equation = "".join(
        f'<div class="term"><span class="sign">{sign}</span><b>{count:,}</b> '
        f"<span>{html_text(say(key))}</span></div>"
        for sign, count, key in terms
    )
    measures = {
        "audio": say("audio_hours", hours=f"{run.audio_hours:,.1f}"),
        "speech": say("audio_hours", hours=f"{run.speech_hours:,.1f}"),
        "wall_time": say.elapsed(run.wall_s),
        "times_real_time": say("times", n=f"{run.times_real_time:,.0f}"),
    }
    listed = "".join(
        f"<div><dt>{html_text(say(key))}</dt><dd>{html_text(value)}</dd></div>"
        for key, value in measures.items()
    )
    return f'<div class="equation">{equation}</div><dl class="measures">{listed}</dl>'


def _notice(kind: str, label: str, heading: str, body: str, say: Phrases) -> str:
    return (
        f'<section class="notice {kind}" aria-label="{html_text(say(label))}">'
        f"<h2>{html_text(say(heading))}</h2>{body}</section>"
    )


def _items(texts: Iterable[str], language: str) -> str:
    items = "".join(f"<li>{html_text(text)}</li>" for text in texts)
    return f'<ul lang="{language}">{items}</ul>'


def _when(run: Run, say: Phrases) -> str:
    start, zone = f"{say.day(run.started)}, {run.started:%H:%M}", run.started.tzname() or ""
    if run.finished is None:
        return f"{start} {zone}, {say('not_finished')}"
    same_day = run.finished.date() == run.started.date()
    until = f"–{run.finished:%H:%M}" if same_day else f" – {say.day(run.finished)}, {run.finished:%H:%M}"
    return f"{start}{until} {zone}"
