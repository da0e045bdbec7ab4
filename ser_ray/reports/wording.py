"""How reports put numbers and reasons into words, the same on the page and on a terminal."""

from __future__ import annotations

from ser_ray.reports.records import Stretch

TREND_STEP = 0.1  # change of negativity between the first and the last third that counts as a trend


def clock(seconds: float) -> str:
    """A time in a call as mm:ss, or h:mm:ss from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def elapsed(seconds: float) -> str:
    """A length of time in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def percent(share: float | None) -> str:
    """A share of one in whole per cent, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"


def signed(change: float) -> str:
    """A change with its sign, to two places."""
    return f"{change:+.2f}".replace("-", "\N{MINUS SIGN}")


def trend(change: float | None) -> str:
    """The course of the negativity over a call, in one word; "" where it is not known."""
    if change is None:
        return ""
    if abs(change) < TREND_STEP:
        return "steady"
    return "rising" if change > 0 else "falling"


def reason(worst: Stretch) -> str:
    """Why a call needs a person, in one line."""
    return " ".join(reason_parts(worst))


def reason_parts(worst: Stretch) -> tuple[str, str]:
    """The reason in two parts: who feels what, and when and how it goes."""
    span = f"from {clock(worst.start_s)} to {clock(worst.end_s)}"
    course = [span, f"{percent(worst.negativity)} negative", trend(worst.trend)]
    return f"{worst.leg}: {worst.emotion}", ", ".join(part for part in course if part)


def printable(text: object) -> str:
    """`text` on one line, every control, format and direction character made visible as U+FFFD.

    File names come from outside: an escape sequence must not reach a terminal, nor an override of
    the writing direction a page.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(str(text).split()))
