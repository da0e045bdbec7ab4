"""Drawings of the page: inline SVG in percentages of its width, so that it fits any screen.

Colours are not set here: each shape has the class of its emotion, and the style sheet of the page
maps emotions to colours, for a light and a dark background.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ser_ray.reports.phrases import Phrases
from ser_ray.reports.records import Call, Leg, Segment, Stretch
from ser_ray.reports.wording import clock, printable

BAND = 22  # height of a leg's band, px
LABEL = 20  # height of the line above it
LEG_HEIGHT = LABEL + BAND + 10
AXIS_HEIGHT = 20
FAINTEST = 0.35  # opacity of a segment with no confidence at all
MOST_TICKS = 8
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def html_text(value: object) -> str:
    """`value` as text that is safe in an element and in a quoted attribute."""
    return escape(printable(value))


def emotion_class(emotion: str) -> str:
    """The CSS class of an emotion's colour; what is not a plain word gets the class for others."""
    return f"e-{emotion}" if re.fullmatch(r"[a-z]+", emotion) else "e-other"


def timeline(call: Call, worst: Stretch, segments: Sequence[Segment], say: Phrases) -> str:
    """One call: a band for each leg over an axis in mm:ss, the strongest negative stretch outlined."""
    length = max([call.duration_s or 0.0, *(s.end_s for s in segments)]) or 1.0
    legs = {leg.leg: leg for leg in call.legs or ()}
    names = sorted({*legs, *(s.leg for s in segments)})
    height = len(names) * LEG_HEIGHT + AXIS_HEIGHT
    bands = "".join(
        _band(
            name,
            row * LEG_HEIGHT,
            [s for s in segments if s.leg == name],
            worst if worst.leg == name else None,
            legs.get(name),
            length,
            say,
        )
        for row, name in enumerate(names)
    )
    about = {"call": call.call_id, "length": clock(length), "reason": say.reason(worst)}
    label = html_text(say("timeline", **about))
    return (
        f'<svg class="timeline" role="img" width="100%" height="{height}" aria-label="{label}">'
        f"{_axis(length, height)}{bands}</svg>"
    )


def locator(duration_s: float, worst: Stretch) -> str:
    """A thin bar that shows where in the call the stretch lies; decoration of the text beside it."""
    length = max(duration_s, worst.end_s) or 1.0
    width = max(100 * (worst.end_s - worst.start_s) / length, 2.5)
    left = min(100 * worst.start_s / length, 100 - width)
    return (
        '<svg class="locator" aria-hidden="true" width="100%" height="8">'
        '<rect class="track" y="3" width="100%" height="2"/>'
        f'<rect class="{emotion_class(worst.emotion)}" x="{left:.2f}%" width="{width:.2f}%" height="8" '
        'rx="2"/></svg>'
    )


def stacked_bar(name: str, seconds: Mapping[str, float], say: Phrases) -> str:
    """The emotions' shares of some speech as one bar, in the order of `seconds`."""
    total = sum(seconds.values()) or 1.0
    left = 0.0
    parts = []
    for emotion, time_s in seconds.items():
        width = 100 * time_s / total
        if width:
            parts.append(
                f'<rect class="{emotion_class(emotion)}" x="{left:.2f}%" width="{width:.2f}%" height="100%">'
                f"<title>{html_text(say.emotion(emotion))}, {say.percent(time_s / total)}</title></rect>"
            )
        left += width
    spoken = ", ".join(f"{say.emotion(e)} {say.percent(time_s / total)}" for e, time_s in seconds.items())
    label = html_text(say("time_bar", leg=name, shares=spoken))
    return (
        f'<svg class="stack" role="img" width="100%" height="26" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _band(
    name: str,
    top: int,
    segments: Iterable[Segment],
    worst: Stretch | None,
    leg: Leg | None,
    length: float,
    say: Phrases,
) -> str:
    heard = leg.negativity if leg else None
    facts = say("leg_silent") if heard is None else say("leg_negative", share=say.percent(heard))
    shapes = "".join(_segment(segment, length, say) for segment in segments)
    if worst:
        left, width = _place(worst.start_s, worst.end_s, length)
        shapes += f'<rect class="worst" x="{left}" width="{width}" y="-3" height="{BAND + 6}" rx="3"/>'
    return (
        f'<text class="leg" y="{top + 12}">{html_text(say.leg(name))} '
        f"<tspan>{html_text(facts)}</tspan></text>"
        f'<g transform="translate(0 {top + LABEL})">'
        f'<rect class="track" width="100%" height="{BAND}" rx="3"/>{shapes}</g>'
    )


def _segment(segment: Segment, length: float, say: Phrases) -> str:
    left, width = _place(segment.start_s, segment.end_s, length)
    opacity = FAINTEST + (1 - FAINTEST) * min(max(segment.confidence, 0.0), 1.0)
    title = say(
        "segment" if segment.certain else "segment_unsure",
        emotion=say.emotion(segment.emotion),
        share=say.percent(segment.confidence),
        start=clock(segment.start_s),
        end=clock(segment.end_s),
    )
    return (
        f'<rect class="{emotion_class(segment.emotion)}{"" if segment.certain else " unsure"}" x="{left}" '
        f'width="{width}" height="{BAND}" opacity="{opacity:.2f}"><title>{html_text(title)}</title></rect>'
    )


def _place(start_s: float, end_s: float, length: float) -> tuple[str, str]:
    return f"{100 * start_s / length:.2f}%", f"{100 * (end_s - start_s) / length:.2f}%"


def _axis(length: float, height: int) -> str:
    """Grid lines with times; every second one is marked `minor`, for narrow screens to drop its text."""
    step = next((step for step in STEPS_S if length / step <= MOST_TICKS), STEPS_S[-1])
    ticks = []
    for number in range(int(length / step) + 1):
        left = 100 * number * step / length
        ticks.append(
            f'<line x1="{left:.2f}%" x2="{left:.2f}%" y1="{LABEL}" y2="{height - AXIS_HEIGHT + 4}"/>'
        )
        if left < 96:
            kind = "first" if number == 0 else "minor" if number % 2 else "major"
            ticks.append(
                f'<text class="{kind}" x="{left:.2f}%" y="{height - 4}">{clock(number * step)}</text>'
            )
    return f'<g class="axis">{"".join(ticks)}</g>'
