"""A night: the date that stands for `{date}` in a job's options. Nights are days in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

DATE = "{date}"
FORM = r"\d{4}-\d{2}-\d{2}"


def today() -> date:
    """The day that it is in UTC."""
    return datetime.now(UTC).date()


def night_of(given: Any) -> str:
    """A date as `2026-11-22`.

    Args:
        given: that, `yesterday`, or a date as YAML makes one of it.

    Raises:
        ValueError: anything else; a day that no calendar has.
    """
    text = str(given).strip()
    if text == "yesterday":
        return (today() - timedelta(days=1)).isoformat()
    if not parse(text):
        raise ValueError(f"{text!r} is not a day. Give one like 2026-11-22, or yesterday")
    return text


def parse(text: str) -> date | None:
    """The day that a text of the form 2026-11-22 names, if it names one."""
    try:
        return date.fromisoformat(text) if re.fullmatch(FORM, text) else None
    except ValueError:
        return None


def fill(value: Any, night: str) -> Any:
    """An option with the night in place of `{date}`, in lists and mappings too."""
    if isinstance(value, str):
        return value.replace(DATE, night)
    if isinstance(value, list):
        return [fill(part, night) for part in value]
    if isinstance(value, dict):
        return {name: fill(part, night) for name, part in value.items()}
    return value


def texts(value: Any) -> Iterator[str]:
    """All texts in an option."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
