"""A search of five trials, as `tune` writes it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ser_ray.reports.tuning_page import write_tuning_page
from tests.reports.pages import Page

START = datetime(2026, 11, 22, 20, tzinfo=UTC)
SCHEMA = pa.schema([
    ("trial", pa.string()), ("status", pa.string()), ("ua", pa.float64()), ("spread", pa.float64()),
    ("folds", pa.list_(pa.float64())), ("share", pa.float64()), ("seconds", pa.float64()),
    ("ended", pa.timestamp("us", "UTC")), ("error", pa.string()), ("settings", pa.string()),
])  # fmt: skip
SEARCH: dict[str, Any] = {
    "family": "svm", "corpora": ["emodb", "own"], "utterances": 1535,
    "labels": ["anger", "fear", "joy", "calm"],
    "protocol": "5 inner folds, speakers apart", "seed": 3, "searcher": "optuna", "scheduler": "asha",
    "space": {"C": {"type": "log", "low": 0.1, "high": 1000.0},
              "units": {"type": "choice", "choices": [64, 128]}},
    "fixed": {"gamma": 0.3}, "wall_s": 83.0, "trials": {"done": 3, "stopped": 1, "failed": 1},
    "default": {"settings": {"C": 10.0, "units": 64, "gamma": 0.1, "pca": True}, "ua": 0.75, "spread": 0.031},
    "best": {
        "trial": "00003", "settings": {"gamma": 0.3, "pca": True, "C": 1000.0, "units": 64},
        "ua": 0.875, "spread": 0.02,
    },
    "importance": {"units": 0.2, "C": 0.8},
    "outer": None, "versions": {"ser_ray": "0.1.0", "optuna": "5.0.0"},
}  # fmt: skip
OUTER: dict[str, Any] = {
    "protocol": "loso", "utterances": 1535,
    "default": {"ua": [0.85, 0.8, 0.9]}, "tuned": {"ua": [0.86, 0.81, 0.91]},
    "difference": [0.01, -0.01, 0.03],
    "folds": [
        {"fold": "speaker 03", "settings": {"C": 3.0, "units": 128}, "inner_ua": 0.88, "default_ua": 0.8,
         "tuned_ua": 0.795},
        {"fold": "speaker 08", "settings": {"C": 9.0, "units": 64}, "inner_ua": 0.9, "default_ua": 0.8,
         "tuned_ua": 0.8},
    ],
}  # fmt: skip


def row(number: int, status: str, ua: float | None, settings: dict[str, Any], **other: Any) -> dict[str, Any]:
    """A row of trials.parquet; trials end in the order of their numbers."""
    return {
        "trial": f"{number:05}", "status": status, "ua": ua, "spread": ua and 0.025,
        "folds": [ua] * 2 if ua else [],
        "share": 1 / 3 if status == "stopped" else 1.0, "seconds": 61.0, "error": None,
        "ended": START + timedelta(seconds=number), "settings": json.dumps(settings),
    } | other  # fmt: skip


# Rows out of the order of their ends. The stopped one has the highest UA of all.
ROWS = [
    row(3, "done", 0.875, {"C": 1000.0, "units": 64}),
    row(0, "done", 0.5, {"C": 0.1, "units": 64}),
    row(4, "done", 0.625, {"C": 10.0, "units": 128}),
    row(1, "failed", None, {"C": 100.0, "units": 128}, error="out of memory", spread=None, seconds=None),
    row(2, "stopped", 0.9, {"C": 1.0, "units": 128}),
]


def write_search(
    folder: Path, search: dict[str, Any] = SEARCH, rows: list[dict[str, Any]] = ROWS, **changed: Any
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tuning.json").write_text(json.dumps(search | changed))
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "trials.parquet")
    return folder


def page_of(folder: Path, **changed: Any) -> Page:
    """The page of the search above, with some of it changed."""
    write_search(folder / "search", **changed)
    write_tuning_page(str(folder / "search"), str(folder / "page.html"))
    return Page((folder / "page.html").read_text())
