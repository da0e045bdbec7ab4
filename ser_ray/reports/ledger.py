"""The ledger of the scores page: every call without a score, and why."""

from __future__ import annotations

from ser_ray.reports.phrases import Phrases
from ser_ray.reports.records import Call
from ser_ray.reports.scores import Summary
from ser_ray.reports.timeline import html_text
from ser_ray.reports.wording import clock

UNFOLDED = 25  # failures up to which the ledger starts unfolded
LISTED = 1000  # calls of a group that the page names; the rows and the CSV name all


def ledger(summary: Summary, say: Phrases) -> str:
    """A fold for each kind of failure, and one for calls in which nobody speaks."""
    unfold = summary.counts.error <= UNFOLDED
    groups = [
        (f.type, say("at_stage", stage=f.stage), [(c, c.error or say("no_message")) for c in f.calls])
        for f in summary.ledger
    ]
    if silent := summary.no_speech:
        lengths = [(call, say("long", length=clock(call.duration_s or 0))) for call in silent]
        groups.append((say("silent"), say("silent_where"), lengths))
    return "".join(_fold(name, where, calls, unfold, say) for name, where, calls in groups)


def _fold(name: str, where: str, calls: list[tuple[Call, str]], unfold: bool, say: Phrases) -> str:
    rows = "".join(
        f'<tr><th scope="row"><bdi>{html_text(call.call_id)}</bdi></th>'
        f"<td>{html_text(message)} <small><bdi>{html_text(call.uri)}</bdi></small></td></tr>"
        for call, message in calls[:LISTED]
    )
    left = len(calls) - LISTED
    more = f'<p class="lead">{html_text(say("ledger_more", n=f"{left:,}"))}</p>' if left > 0 else ""
    caption = html_text(say("group_caption", name=name, where=where))
    heads = "".join(
        f'<th scope="col">{html_text(say(key))}</th>' for key in ("column_call", "column_message")
    )
    return (
        f'<details class="group"{" open" if unfold else ""}><summary><b>{html_text(name)}</b> '
        f'<span>{html_text(where)}</span> <span class="number">{say.calls(len(calls))}</span></summary>'
        f'<div class="scroll"><table class="files"><caption>{caption}</caption>'
        f"<colgroup><col><col></colgroup><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{more}</div></details>"
    )
