"""What a scoring run tells Prometheus while it goes on, through Ray's own export (`ray_` before each name).

The driver counts what its workers report with each shard. It lives on the head, so that no figure goes with a
spot machine, and each has one series a run.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Any

from ray.util.metrics import Counter, Gauge, Metric

from ser_ray import storage

METRICS: dict[str, tuple[type[Metric], str, tuple[str, ...]]] = {
    "ser_ray_calls": (Counter, "Calls that got a row.", ("run", "status")),
    "ser_ray_errors": (Counter, "Calls that failed.", ("run", "type")),
    "ser_ray_audio_seconds": (Counter, "Audio of these calls.", ("run",)),
    "ser_ray_busy_seconds": (Counter, "Time of the workers, each with its core.", ("run", "stage")),
    "ser_ray_core_times_real_time": (Gauge, "Audio for each second of a core, so far.", ("run",)),
    "ser_ray_calls_waiting": (Gauge, "Calls that have no row yet.", ("run",)),
    "ser_ray_complete_timestamp_seconds": (Gauge, "When the run was complete, since 1970.", ("run",)),
}
AUDIO = ("missing", "empty", "not_audio", "unsupported", "truncated", "corrupt", "no_samples", "not_finite")
OTHERS = ("bad_rate", "too_many_channels", "timeout", "crash", "narrow_band", "storage", "denied", "error")
KINDS = (*AUDIO, *OTHERS)


def account(rows: Sequence[Mapping[str, Any]], seconds: Mapping[str, float]) -> dict[str, Any]:
    """What a worker reports of a shard: its rows and its time by stage, summed up."""
    kinds = (row["error_type"] if row["error_type"] in KINDS else "other" for row in rows)  # bounded labels
    return {
        "calls": len(rows),
        "statuses": Tally(row["status"] for row in rows),
        "errors": Tally(kind for kind, row in zip(kinds, rows, strict=True) if row["status"] == "error"),
        "audio_s": sum(row["duration_s"] for row in rows),
        "seconds": dict(seconds),
    }


class RunMetrics:
    """The figures of one run.

    Args:
        out: its scores folder, whose name is the label `run`.
        waiting: calls that have no row yet.
    """

    def __init__(self, out: str, waiting: int) -> None:
        self.run = storage.name(out)
        self.waiting = waiting
        self._audio_s = self._busy_s = 0.0
        self._metrics: dict[str, Any] = {
            name: kind(name, description=what, tag_keys=labels)
            for name, (kind, what, labels) in METRICS.items()
        }
        self._set("ser_ray_calls_waiting", waiting)

    def add(self, shard: Mapping[str, Any]) -> None:
        """Take in what `account` gave for one shard."""
        for status, count in shard["statuses"].items():
            self._count("ser_ray_calls", count, status=status)
        for kind, count in shard["errors"].items():
            self._count("ser_ray_errors", count, type=kind)
        for stage, seconds in shard["seconds"].items():
            self._count("ser_ray_busy_seconds", seconds, stage=stage)
        self._count("ser_ray_audio_seconds", shard["audio_s"])
        self.waiting -= shard["calls"]
        self._audio_s += shard["audio_s"]
        self._busy_s += sum(shard["seconds"].values())
        self._set("ser_ray_calls_waiting", self.waiting)
        self._set("ser_ray_core_times_real_time", self._audio_s / self._busy_s if self._busy_s else 0.0)

    def complete(self) -> None:
        """All calls have their rows, and they add up."""
        self._set("ser_ray_complete_timestamp_seconds", time.time())

    def _count(self, name: str, value: float, **labels: str) -> None:
        if value > 0:
            self._metrics[name].inc(value, {"run": self.run, **labels})

    def _set(self, name: str, value: float) -> None:
        self._metrics[name].set(value, {"run": self.run})
