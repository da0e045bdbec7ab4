"""Nights beside a scores folder, told by the date in its name, and how this one compares with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from ser_ray import storage
from ser_ray.errors import BadStore
from ser_ray.pipelines.night import DATE, FORM, parse
from ser_ray.pipelines.retention import nights_like
from ser_ray.reports.records import Run, read_run


@dataclass(frozen=True)
class Night:
    """The figures of a night; shares of one, None without speech.

    Attributes:
        date: as in the name of its folder.
        calls: that were listed.
        negativity: mean over its speech.
        ranked: share of the scored calls that have a negative stretch.
        failed: share of the calls that failed.
        confidence: mean over its speech.
    """

    date: str
    calls: float
    negativity: float | None
    ranked: float | None
    failed: float | None
    confidence: float | None


@dataclass(frozen=True)
class Nights:
    """This night, those before it from the oldest on, and how many of them cannot be compared."""

    now: Night
    before: tuple[Night, ...]
    left_out: int

    def median(self, figure: Callable[[Night], float | None]) -> float | None:
        """The median of a figure over the nights before."""
        values = _known(map(figure, self.before))
        return median(values) if values else None

    def is_outside(self, figure: Callable[[Night], float | None]) -> bool:
        """Whether this night's figure lies outside the range of those before."""
        now, values = figure(self.now), _known(map(figure, self.before))
        return now is not None and bool(values) and not min(values) <= now <= max(values)


def read_nights(scores: str, run: Run, most: int) -> Nights | None:
    """This night and up to `most` complete ones before it that an ensemble of the same labels scored.

    Only `run.json` of each is read. None where the folder's name has no date, the run no figures, or
    nothing can be compared with it.
    """
    dated = _dated(scores)
    now = _night(dated[1], run) if dated else None
    if dated is None or now is None or not most:
        return None
    pattern, date = dated
    found = {day.isoformat(): place for place, day in nights_like(pattern) if day.isoformat() < date}
    before: list[Night] = []
    left_out = 0
    for day in sorted(found, reverse=True):
        if len(before) == most:
            break
        night = _comparable(day, found[day], run)
        if night:
            before.insert(0, night)
        left_out += night is None
    return Nights(now, tuple(before), left_out) if before else None


def _dated(scores: str) -> tuple[str, str] | None:
    """The folder's name with `{date}` in place of the last date in it, and that date."""
    parts = storage.absolute(scores).split("/")
    for number in reversed(range(1 if storage.is_local(scores) else 3, len(parts))):  # a bucket is no night
        for found in reversed(list(re.finditer(FORM, parts[number]))):
            if parse(found[0]):
                dated = parts[number][: found.start()] + DATE + parts[number][found.end() :]
                below = (part.replace(found[0], DATE) for part in parts[number + 1 :])
                return "/".join([*parts[:number], dated, *below]), found[0]
    return None


def _comparable(date: str, place: str, run: Run) -> Night | None:
    try:
        other = read_run(place)
    except BadStore:  # something else, or a night of another version
        return None
    same = set(other.ensemble.labels) == set(run.ensemble.labels)
    return _night(date, other) if other.complete and same else None


def _night(date: str, run: Run) -> Night | None:
    figures, counts = run.figures, run.counts
    if figures is None:
        return None
    return Night(
        date=date,
        calls=counts.listed,
        negativity=figures.negativity,
        ranked=figures.ranked / counts.ok if counts.ok else None,
        failed=counts.error / counts.listed if counts.listed else None,
        confidence=figures.confidence,
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
