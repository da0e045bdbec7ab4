"""The ranking of the scores page: filters, a legend, and the first calls with their timelines.

The first rows are written here, so that the page can be read without a script; `scores.js` draws the
others in their likeness as they are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ser_ray.reports.phrases import Phrases
from ser_ray.reports.records import Call, EnsembleFacts, Leg, Segment
from ser_ray.reports.scores import RankedCall, Summary
from ser_ray.reports.timeline import emotion_class, html_text, locator, timeline
from ser_ray.reports.wording import clock

FILTERS: dict[str, Callable[[RankedCall], str | None]] = {
    "agent": lambda ranked: ranked.call.agent,
    "leg": lambda ranked: ranked.worst.leg,
    "emotion": lambda ranked: ranked.worst.emotion,
    "date": lambda ranked: ranked.call.date,
}


@dataclass(frozen=True)
class Ranking:
    """The ranked calls of a run, in words."""

    summary: Summary
    say: Phrases

    @cached_property
    def names(self) -> dict[str, list[str | None]]:
        """For each filter its names, None last: in the choices and in the page's data each has a number."""
        calls, ensemble = self.summary.ranked, self.summary.run.ensemble
        found = {name: {value(ranked) for ranked in calls} for name, value in FILTERS.items()}
        found["leg"] |= {leg.leg for ranked in calls for leg in ranked.call.legs or ()}
        found["emotion"] |= {leg.stretch_emotion for r in calls for leg in r.call.legs or () if leg.stretch}
        found["emotion"] |= {*ensemble.labels}
        return {
            name: sorted(values, key=lambda value: (value is None, value or ""))
            for name, values in found.items()
        }

    def lead(self) -> str:
        """How many calls are ranked."""
        ranked, scored = f"{len(self.summary.ranked):,}", f"{self.summary.counts.ok:,}"
        if not self.summary.ranked:
            return self.say("ranking_none", scored=scored)
        return self.say("ranking_lead", ranked=ranked, scored=scored)

    def selects(self) -> str:
        """A choice for each filter of which the calls have more than one value."""
        return "".join(map(self._select, FILTERS))

    def row(self, rank: int, ranked: RankedCall, segments: Sequence[Segment]) -> str:
        """A ranked call, its rank from 1, with the segments of its timeline."""
        call, worst, say = ranked.call, ranked.worst, self.say
        who, course = say.reason_parts(worst)
        numbers = "".join(
            f'<span class="number {key}"><span class="key">{html_text(say(key))}</span> {value}</span>'
            for key, value in {
                "score": f"{worst.score:.1f}",
                "confidence": say.percent(call.confidence),
                "duration": clock(call.duration_s or 0),
            }.items()
        )
        return (
            f'<li id="call-{rank}"><details{" open" if rank == 1 else ""}><summary>'
            f'<span class="rank">{rank}</span>'
            f'<span class="why">{swatch(worst.emotion)}<span><b>{html_text(who)}</b> {html_text(course)}'
            f'</span></span><span class="call-id"><bdi>{html_text(call.call_id)}</bdi> '
            f'<span class="about">{html_text(self.about(call))}</span></span>'
            f"{locator(call.duration_s or 0, worst)}{numbers}</summary>"
            f'<div class="detail">{timeline(call, worst, segments, say)}{self._legs_table(call)}'
            f'<p class="source"><bdi>{html_text(call.uri)}</bdi> <span>{html_text(sound(call, say))}</span>'
            "</p></div></details></li>"
        )

    def about(self, call: Call) -> str:
        """Agent of a call, and its date where the calls are of several."""
        agent = call.agent and self.say("call_of", agent=call.agent)
        date = call.date if len(self.names["date"]) > 1 else None
        return " · ".join(part for part in (agent, date) if part)

    def _legs_table(self, call: Call) -> str:
        say, known = self.say, self.summary.run.ensemble.certain_from is not None
        columns = ["leg", "speech", "negativity", "trend", "confidence", *["uncertain"] * known, "stretch"]
        heads = "".join(
            f'<th scope="col">{html_text(say(f"column_{column}"))}</th>' for column in [*columns, "score"]
        )
        rows = "".join(_leg_row(leg, known, say) for leg in call.legs or ())
        caption = html_text(say("legs_of", call=call.call_id))
        return (
            f'<div class="scroll" tabindex="0" role="group" aria-label="{caption}"><table>'
            f"<caption>{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _select(self, name: str) -> str:
        counts = Counter(map(FILTERS[name], self.summary.ranked))
        if len(counts) < 2:
            return ""
        options = "".join(
            f'<option value="{number}">{html_text(self.shown(name, value))} ({counts[value]:,})</option>'
            for number, value in enumerate(self.names[name])
            if value in counts
        )
        return (
            f'<label>{html_text(self.say(f"filter_{name}"))} <select data-filter="{name}">'
            f'<option value="">{html_text(self.say("filter_all"))}</option>{options}</select></label>'
        )

    def shown(self, name: str, value: str | None) -> str:
        """A name as readers see it."""
        if value is None:
            return self.say("not_known")
        return {"leg": self.say.leg, "emotion": self.say.emotion}.get(name, str)(value)


def legend(ensemble: EnsembleFacts, say: Phrases) -> str:
    """The colours of the emotions."""
    others = [label for label in ensemble.labels if label not in ensemble.negative]
    groups = {"negative": ensemble.negative, "others": others}
    return "".join(
        f"<div><dt>{html_text(say(key))}</dt>"
        + "".join(f"<dd>{swatch(label)}{html_text(say.emotion(label))}</dd>" for label in labels)
        + "</div>"
        for key, labels in groups.items()
    )


def swatch(emotion: str) -> str:
    """A patch of an emotion's colour."""
    return f'<i class="swatch {emotion_class(emotion)}" aria-hidden="true"></i>'


def sound(call: Call, say: Phrases) -> str:
    """How a call was recorded."""
    parts = []
    if call.sample_rate:
        parts.append(say("kilohertz", rate=f"{call.sample_rate / 1000:g}"))
    if call.channels:
        parts.append(say("mono") if call.channels == 1 else say("channels", n=f"{call.channels}"))
    if call.dual_mono:
        parts.append(say("dual_mono"))
    return " · ".join(parts)


def _leg_row(leg: Leg, uncertain_known: bool, say: Phrases) -> str:
    stretch, score = "–", "–"
    if worst := leg.stretch:
        stretch = say(
            "stretch",
            emotion=say.emotion(worst.emotion),
            start=clock(worst.start_s),
            end=clock(worst.end_s),
            share=say.percent(worst.negativity),
        )
        score = f"{worst.score:.1f}"
    uncertain = say.percent(leg.uncertain_s / leg.speech_s if leg.speech_s else None)
    cells = [clock(leg.speech_s), say.percent(leg.negativity), say.course(leg.trend)]
    cells += [say.percent(leg.confidence), *[uncertain] * uncertain_known, stretch, score]
    columns = "".join(f"<td>{html_text(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{html_text(say.leg(leg.leg))}</th>{columns}</tr>'
