"""Speed and memory of listing and planning, beside a plain loop over the same inventory.

Each side runs in a process of its own, whose largest memory is told.
"""

from __future__ import annotations

import csv
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ser_ray import storage
from ser_ray.pipelines.plan import SHARD_BYTES, SHARD_CALLS, list_calls, settle_plan, shards_of

FILE_OBJECTS = 250_000  # of each file of the inventory
Figures = dict[str, float]


def benchmark_plan(objects: int, repeats: int) -> dict[str, Any]:
    """From the inventory of a bucket to the work that is left: a first run, and one that goes on.

    Args:
        objects: in the simulated inventory.
        repeats: of both sides, in turn.

    Returns:
        Seconds of each step, and of all; seconds of processor time, the imports included; the largest
        resident memory, MiB; the same of the plain loop, and `ratio`: how many times faster.
    """
    plain, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        manifest = _make_inventory(folder, objects)
        for run in range(repeats):
            plain.append(_apart("plain", manifest, storage.join(folder, f"plain-{run}")))
            ours.append(_apart("ours", manifest, storage.join(folder, f"scores-{run}")))
    figures = {name: median(run[name] for run in ours) for name in ours[0]}
    beside = {f"plain_{name}": median(run[name] for run in plain) for name in plain[0]}
    ratio = median(p["seconds"] / o["seconds"] for p, o in zip(plain, ours, strict=True))
    return {"objects": objects, "repeats": repeats, **figures, **beside, "ratio": ratio}


def _plan(manifest: str, out: str) -> Figures:
    clock, started = {}, time.perf_counter()
    calls, _ = list_calls(manifest)
    clock["list_seconds"] = time.perf_counter() - started
    plan = settle_plan(out, calls, {})
    clock["plan_seconds"] = time.perf_counter() - started - clock["list_seconds"]
    plan = settle_plan(out, calls, {})
    shards = len(shards_of(plan))
    seconds = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time()}
    return {**clock, "shards": shards, **seconds}


def _plain_loop(manifest: str, out: str) -> Figures:
    """What users would write: dictionaries in lists."""
    started = time.perf_counter()
    calls: list[dict[str, Any]] = []
    for file in sorted(Path(manifest).parents[1].glob("data/*")):
        with gzip.open(file, "rt", newline="") as lines:
            for bucket, key, size, tag in csv.reader(lines):
                calls.append({"call_id": key, "uri": f"s3://{bucket}/{key}", "size": int(size), "tag": tag})
    calls.sort(key=lambda call: (-call["size"], call["call_id"]))
    shards: list[list[dict[str, Any]]] = []
    for call in calls:
        if not shards or len(shards[-1]) == SHARD_CALLS or sum(c["size"] for c in shards[-1]) > SHARD_BYTES:
            shards.append([])
        shards[-1].append(call)
    rows = [{"shard": str(number), **call} for number, shard in enumerate(shards) for call in shard]
    storage.write_parquet(storage.join(out, "plan.parquet"), pa.Table.from_pylist(rows))
    before = {r["call_id"]: r for r in pq.read_table(storage.join(out, "plan.parquet")).to_pylist()}
    assert all(before[c["call_id"]]["tag"] == c["tag"] for c in calls)
    seconds = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time()}
    return {"shards": len(shards), **seconds}


def _apart(side: str, manifest: str, out: str) -> Figures:
    command = [sys.executable, "-m", "ser_ray.pipelines.planning_benchmark", side, manifest, out]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(run.stdout))


def _make_inventory(folder: str, objects: int) -> str:
    """An inventory of so many calls, as S3 writes it; the place of its manifest."""
    sizes, files = np.random.default_rng(0).integers(100_000, 8_000_000, objects).tolist(), []
    for first in range(0, objects, FILE_OBJECTS):
        lines = (
            f'"calls","dt%3D2026-11-22/agent-{i % 997:03d}/{i:012x}-{i * 2654435761 % 2**32:08x}.wav",'
            f'"{sizes[i]}","{i:032x}"\n'
            for i in range(first, min(first + FILE_OBJECTS, objects))
        )
        files.append({"key": f"inventory/calls/daily/data/{first}.csv.gz"})
        data = gzip.compress("".join(lines).encode(), 1)
        storage.write_bytes(storage.join(folder, "data", f"{first}.csv.gz"), data)
    manifest = storage.join(folder, "2026-11-22T00-00Z", "manifest.json")
    schema = {"fileFormat": "CSV", "fileSchema": "Bucket, Key, Size, ETag"}
    about = {"sourceBucket": "calls", "destinationBucket": "arn:aws:s3:::inventories", **schema}
    storage.write_json(manifest, {**about, "files": files})
    return manifest


if __name__ == "__main__":
    figures = (_plan if sys.argv[1] == "ours" else _plain_loop)(*sys.argv[2:])
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**figures, "peak_mib": peak_kib / 1024}))
