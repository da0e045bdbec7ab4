"""Scores whose time is over: older nights beside the one that was scored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from ser_ray import storage
from ser_ray.errors import MissingInput, SerRayError
from ser_ray.pipelines.night import DATE, FORM, parse, today

# What a run writes, and `ser-ray report` beside it. Nothing else is removed; that by which a folder is known
# goes last, so that a removal which breaks off is made whole the next night.
PARTS = ("calls", "segments", "report.html", "plan.parquet", "plan.json", "run.json")


def check_pattern(out: str) -> None:
    """Make sure that the nights beside `out` can be told by their dates.

    Raises:
        ValueError: no `{date}` in it, or only in a bucket's name.
    """
    parts = storage.absolute(out).split("/")
    number = next((i for i, part in enumerate(parts) if DATE in part), 0)
    if number <= (0 if storage.is_local(out) else 2):
        raise ValueError(f"keep_days needs {DATE} in out, in the name of a folder, such as scores/dt={DATE}")


def remove_expired(out: str, night: str, keep_days: int) -> dict[str, Any]:
    """Remove the scores of nights that are older than `keep_days` before `night`, or before today.

    Only folders that are as `out` with another date in it, and hold a run's scores, are touched.

    Args:
        out: scores folders, with `{date}`.
        night: the date of the one that is complete now.
        keep_days: older ones go.

    Returns:
        `keep_days`, the `oldest` night that is kept, the folders `removed`, and an `error` that ended it.
    """
    oldest = min(parse(night) or today(), today()) - timedelta(days=keep_days)
    removed: list[str] = []
    error = None
    try:
        for place, day in nights_like(storage.absolute(out)):
            if day < oldest and place != storage.absolute(out.replace(DATE, night)) and _is_ours(place):
                _remove(place)
                removed.append(place)
    except SerRayError as failure:
        error = str(failure)
    return {"keep_days": keep_days, "oldest": oldest.isoformat(), "removed": removed, "error": error}


def nights_like(pattern: str) -> Iterator[tuple[str, date]]:
    """Folders that may be nights of the pattern, and their dates."""
    parts = pattern.split("/")
    number = next(i for i, part in enumerate(parts) if DATE in part)
    above, dated, below = "/".join(parts[:number]), parts[number], parts[number:]
    form = re.compile(re.escape(dated[: dated.index(DATE)]) + f"({FORM})")
    for name in storage.list_folders(above):
        found = form.match(name)
        day = parse(found[1]) if found else None
        if day and name == dated.replace(DATE, day.isoformat()):
            inside = [part.replace(DATE, day.isoformat()) for part in below]
            if not _is_elsewhere(above, inside):
                yield storage.join(above, *inside), day


def _is_elsewhere(above: str, inside: list[str]) -> bool:
    """Whether a link leads out of the folder that its name says."""
    if not storage.is_local(above):
        return False
    top = storage.local_path(above).resolve()
    return top.joinpath(*inside).resolve() != top.joinpath(*inside)


def _is_ours(place: str) -> bool:
    """Whether a run of ours filled the folder."""
    try:
        run, plan = (storage.read_json(storage.join(place, name)) for name in ("run.json", "plan.json"))
    except (MissingInput, ValueError):
        return False
    if not (isinstance(run, dict) and isinstance(plan, dict)):
        return False
    return {"format", "archive", "ensemble", "counts"} <= run.keys() and isinstance(run["counts"], dict)


def _remove(place: str) -> None:
    storage.clear_partial(place)
    for part in PARTS:
        storage.remove(storage.join(place, part))
    if storage.is_local(place):
        with suppress(OSError):  # what is not ours stays
            storage.local_path(place).rmdir()
