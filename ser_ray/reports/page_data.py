"""The ranking as data inside the scores page, from which its script draws, filters and counts rows.

Whole numbers stand for shares (%), times in a call (s; of segments 0.1 s) and trends (0.01), places in
lists for names: 50,000 calls are a few megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ser_ray.reports.ranking import Ranking, sound
from ser_ray.reports.records import Leg, Segment
from ser_ray.reports.scores import RankedCall
from ser_ray.reports.timeline import emotion_class
from ser_ray.reports.wording import printable

WORDS = (
    "call_of", "count_all", "count_found", "count_none", "falling", "leg_negative", "leg_silent", "legs_of",
    "more", "no_timeline", "percent", "reason_share", "reason_span", "reason_who", "rising", "segment",
    "segment_unsure", "steady", "stretch", "timeline",
)  # fmt: skip


def page_data(
    ranking: Ranking, segments: Mapping[str, Sequence[Segment]], top: int, query: Sequence[str]
) -> str:
    """JSON that is safe inside a `script` element.

    Args:
        ranking: the calls and their words.
        segments: of the calls whose timeline the script draws, by call id.
        top: how many calls have a timeline.
        query: the ranking for DuckDB: what is chosen, of which rows, in which order.
    """
    return json.dumps(
        _Data(ranking).content(segments, top, query), ensure_ascii=False, separators=(",", ":")
    ).replace("<", "\\u003c")


class _Data:
    def __init__(self, ranking: Ranking) -> None:
        self.ranking, self.say = ranking, ranking.say
        self.names = {name: [*values] for name, values in ranking.names.items()}
        self.places = {name: {v: n for n, v in enumerate(values)} for name, values in self.names.items()}
        self.sounds: dict[str, int] = {}
        self.heads: dict[str, int] = {}  # of addresses that end in the id of their call

    def content(
        self, segments: Mapping[str, Sequence[Segment]], top: int, query: Sequence[str]
    ) -> dict[str, Any]:
        calls = [self._call(r, segments.get(r.call.call_id, ())) for r in self.ranking.summary.ranked]
        return {
            "words": {key: self.say.table[key] for key in WORDS},
            "top": f"{top:,}",
            "query": query,
            "uncertain": self.ranking.summary.run.ensemble.certain_from is not None,
            "heads": list(self.heads),
            "names": {
                name: [printable(self.ranking.shown(name, value)) for value in values]
                for name, values in self.names.items()
            },
            "values": {  # as the rows write them, for the query
                name: [value and printable(value) for value in values] for name, values in self.names.items()
            },
            "classes": [emotion_class(name or "") for name in self.names["emotion"]],
            "sounds": list(self.sounds),
            "calls": calls,
        }

    def _call(self, ranked: RankedCall, segments: Sequence[Segment]) -> list[Any]:
        call = ranked.call
        call_id, uri = printable(call.call_id), printable(call.uri)
        head = uri.removesuffix(call_id)
        legs = [self._leg(leg) for leg in call.legs or ()]
        worst = next(n for n, leg in enumerate(call.legs or ()) if leg.leg == ranked.worst.leg)
        return [
            call_id,
            self.heads.setdefault(head, len(self.heads)) if uri.endswith(call_id) else uri,
            self._place("agent", call.agent),
            self._place("date", call.date),
            round(call.duration_s or 0),
            _share(call.confidence),
            self.sounds.setdefault(sound(call, self.say), len(self.sounds)),
            worst,
            legs,
            [number for segment in segments for number in self._segment(segment)],
        ]

    def _leg(self, leg: Leg) -> list[Any]:
        uncertain = _share(leg.uncertain_s / leg.speech_s if leg.speech_s else None)
        figures = [
            self._place("leg", leg.leg),
            round(leg.speech_s),
            _share(leg.negativity),
            None if leg.trend is None else round(100 * leg.trend),
            _share(leg.confidence),
            uncertain,
        ]
        if not (worst := leg.stretch):
            return figures
        place = self._place("emotion", worst.emotion)
        times = round(worst.start_s), round(worst.end_s)
        return [*figures, place, *times, _share(worst.negativity), float(f"{worst.score:.1f}")]

    def _segment(self, segment: Segment) -> tuple[int, ...]:
        """Leg, start and length in 0.1 s, emotion, confidence: negative where it is not certain."""
        start, end = round(10 * segment.start_s), round(10 * segment.end_s)
        confidence = _share(segment.confidence) or 0
        names = self._place("leg", segment.leg), self._place("emotion", segment.emotion)
        return names[0], start, end - start, names[1], confidence if segment.certain else -confidence

    def _place(self, name: str, value: str | None) -> int:
        places = self.places[name]
        if value not in places:
            places[value] = len(places)
            self.names[name].append(value)
        return places[value]


def _share(share: float | None) -> int | None:
    return None if share is None else int(f"{100 * share:.0f}")
