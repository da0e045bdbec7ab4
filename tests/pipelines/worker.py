"""Calls scored by a worker in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_ray import storage
from ser_ray.fusion import load_ensemble
from ser_ray.pipelines.calls import Stopwatch
from ser_ray.pipelines.shard import ScoreOptions, ShardScorer


def worker(
    deployment: Any, out: Path, options: ScoreOptions | None = None, kind: type[ShardScorer] = ShardScorer
) -> ShardScorer:
    """A worker with the ensemble of a deployment."""
    _, fingerprint = load_ensemble(deployment.ensemble)
    return kind(deployment.ensemble, fingerprint, str(out), options or ScoreOptions())


def a_good_call(deployment: Any) -> Path:
    damaged = storage.read_parquet(f"{deployment.archive}/damaged.parquet")["call"].to_pylist()
    return next(p for p in sorted(Path(deployment.archive).glob("call-*")) if p.name not in damaged)


def score_one(scorer: ShardScorer, path: Path) -> dict[str, Any]:
    return scorer.score([{"call_id": path.name, "uri": str(path)}], Stopwatch())[0]
