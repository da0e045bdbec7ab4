"""The calls of a scores folder as a CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

from ser_ray import storage
from ser_ray.reports.phrases import ENGLISH
from ser_ray.reports.records import Call, Stretch
from ser_ray.reports.scores import Summary
from ser_ray.reports.wording import printable

COLUMNS = (
    "rank", "call_id", "agent", "date", "status", "reason", "worst_score", "worst_leg", "worst_emotion",
    "worst_start_s", "worst_end_s", "worst_negativity", "negativity", "confidence", "uncertain_s", "speech_s",
    "duration_s", "error_stage", "error_type", "error", "uri",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # with which spreadsheets take a text for a formula


def write_spreadsheet(summary: Summary, target: str) -> None:
    """Write a row for every listed call to the file `target`, whole or not at all; ranked ones come first.

    UTF-8 with a byte order mark, so that spreadsheets take it for what it is. Texts from outside are on one
    line, and one that a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS)
    rows.writeheader()
    ranked = {id(r.call): (rank, r.worst) for rank, r in enumerate(summary.ranked, 1)}
    others = sorted((c for c in summary.calls if id(c) not in ranked), key=lambda c: (c.status, c.call_id))
    for call in [r.call for r in summary.ranked] + others:
        rows.writerow({name: _cell(v) for name, v in _row(call, *ranked.get(id(call), (None, None))).items()})
    storage.write_bytes(target, text.getvalue().encode("utf-8-sig"))


def _row(call: Call, rank: int | None, worst: Stretch | None) -> dict[str, Any]:
    of_call = {name: getattr(call, name) for name in COLUMNS if hasattr(call, name)}
    stretch = worst and {
        "reason": ENGLISH.reason(worst),
        "worst_emotion": worst.emotion,
        "worst_start_s": worst.start_s,
        "worst_end_s": worst.end_s,
        "worst_negativity": worst.negativity,
    }
    uncertain_s = sum(leg.uncertain_s for leg in call.legs or ())
    return {"rank": rank, **of_call, **(stretch or {}), "uncertain_s": uncertain_s}


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.3f}"
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA) else text
