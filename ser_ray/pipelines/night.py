"""A night: the date that stands for `{date}` in a job's options. Nights are days in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

DATE = "{date}"
FORM = r"\d{4}-\d{2}-\d{2}"
# Days in paths, with hyphens and without, apart from other digits; the last one of a path is the nearest.
IN_PATHS = tuple(
    rf"^(?:.*[^0-9])?(?P<year>20\d\d){dash}(?P<month>0[1-9]|1[0-2]){dash}(?P<day>0[1-9]|[12]\d|3[01])(?:[^0-9]|$)"
    for dash in ("-", "")
)


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


def dates_in(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """The date that each path holds, as 2026-11-22; null where it holds none.

    `dt=2026-11-22/a.wav` and `2026-11-22-a.wav` hold one, and `20261122_a.wav` where none has hyphens.
    """
    found = [
        pc.binary_join_element_wise(*(pc.struct_field(day, part) for part in ("year", "month", "day")), "-")
        for day in (pc.extract_regex(paths, pattern) for pattern in IN_PATHS)
    ]
    dates = pc.coalesce(*found)
    impossible = [
        day for day in pc.unique(dates).to_pylist() if day and not parse(day)
    ]  # such as 30 February
    return pc.if_else(pc.is_in(dates, value_set=pa.array(impossible, pa.string())), None, dates)


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
