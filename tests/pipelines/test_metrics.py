"""What a shard's rows count as; the figures as Prometheus reads them are in test_score.py."""

from __future__ import annotations

import json
import re

from ser_ray.errors import UnreadableAudio
from ser_ray.pipelines.metrics import KINDS, account

ROWS = [
    {"status": "ok", "error_type": "", "duration_s": 12.5},
    {"status": "no_speech", "error_type": "", "duration_s": 2.5},
    {"status": "error", "error_type": "truncated", "duration_s": 1.0},
    {"status": "error", "error_type": "ZeroDivisionError", "duration_s": 0.0},
    {"status": "error", "error_type": "RuntimeError", "duration_s": 0.0},
]


def test_account_of_a_shard_sums_up_its_rows_under_bounded_labels() -> None:
    told = json.loads(json.dumps(account(ROWS, {"read": 0.25})))
    assert told == {
        "calls": 5,
        "statuses": {"ok": 1, "no_speech": 1, "error": 3},
        "errors": {"truncated": 1, "other": 2},
        "audio_s": 16.0,
        "seconds": {"read": 0.25},
    }


def test_each_kind_of_error_has_a_label() -> None:
    listed = (UnreadableAudio.__doc__ or "").split("Kinds:")[1]
    assert {*re.findall(r"`(\w+)`", listed), "storage", "error"} <= set(KINDS)
