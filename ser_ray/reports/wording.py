"""How reports put numbers and text from outside into words, the same on a page and on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

LENGTHS = ("{hours:,} h {minutes:02} min", "{minutes} min {seconds:02} s", "{seconds:.1f} s")


def clock(seconds: float) -> str:
    """A time in a call as mm:ss, or h:mm:ss from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def elapsed(seconds: float, forms: Sequence[str] = LENGTHS) -> str:
    """A length of time in its two largest units; `forms` say it with hours, with minutes, with neither."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return forms[0].format(hours=hours, minutes=minutes)
    return forms[1].format(minutes=minutes, seconds=rest) if minutes else forms[2].format(seconds=seconds)


def percent(share: float | None) -> str:
    """A share of one in whole per cent, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"


def signed(change: float) -> str:
    """A change with its sign, to two places; none at all is +0.00."""
    return f"{round(change, 2) + 0.0:+.2f}".replace("-", "\N{MINUS SIGN}")


def printable(text: object) -> str:
    """`text` on one line, every control, format and direction character made visible as U+FFFD.

    File names come from outside: an escape sequence must not reach a terminal, nor an override of
    the writing direction a page.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(str(text).split()))
