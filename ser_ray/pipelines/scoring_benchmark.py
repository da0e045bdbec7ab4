"""Speed of scoring, by stage: beside the floor, loops that users would write, and itself on one worker."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from ser_ray import storage
from ser_ray.audio.decode import AudioReader
from ser_ray.errors import UnreadableAudio
from ser_ray.pipelines.cluster import connect
from ser_ray.pipelines.plan import list_calls
from ser_ray.pipelines.score import score
from ser_ray.pipelines.scoring_peers import peers_of
from ser_ray.pipelines.shard import METADATA


class Done(NamedTuple):
    """A shard as its file tells: by whom it was scored, when (seconds of the epoch), and at what cost."""

    ended: float
    began: float
    worker: str
    calls: int
    audio_s: float
    peak_mib: float
    cpu_s: float


def benchmark_score(archive: str, ensemble: str, repeats: int, peer_calls: int) -> dict[str, Any]:
    """Scoring: speed a core, where the time goes, memory.

    Args:
        archive: calls.
        ensemble: ensemble directory.
        repeats: of the floor, of one worker and of all workers, in turn.
        peer_calls: evenly spaced calls that the loops of `scoring_peers` are given; they are slow.

    Returns:
        Times real time by the clock, by the workers' own time, and by their processor time, which other
        work on the same cores hardly lengthens; seconds of each stage for an hour of audio, and the floor's,
        which is reading and decoding alone; the largest resident memory of a worker, MiB; the share of the
        workers' time between their first shard and their last that they waited for Ray; speed of all
        workers to that of one, starts left out; for each loop that users would write its calls, times real
        time, and `ratio`: our speed to its, by processor time; and the course of the last run.
    """
    cpus = connect()
    floors, runs, alone, shards = [], [], [], []
    for _ in range(repeats):
        floors.append(_decode_only(archive))
        runs.append(found := score_once(archive, ensemble, None))
        shards.append(found[1])
        if cpus > 1:
            alone.append(score_once(archive, ensemble, 1)[1])
    told = [run for run, _ in runs]
    hours = told[0]["audio_hours"]
    of_processor = median(3600 * hours / sum(shard.cpu_s for shard in run) for run in shards)
    peers = peers_of(archive, ensemble, peer_calls)
    return {
        "calls": told[0]["counts"]["listed"],
        "audio_hours": hours,
        "speech_hours": told[0]["speech_hours"],
        "cores": cpus,
        "repeats": repeats,
        "times_real_time_per_core_by_clock": median(run["times_real_time"] for run in told) / cpus,
        "times_real_time_per_core_at_work": median(run["core_times_real_time"] for run in told),
        "times_real_time_of_processor": of_processor,
        "seconds_per_audio_hour": {
            stage: median(run["stage_seconds"].get(stage, 0.0) for run in told) / hours
            for stage in told[0]["stage_seconds"]
        },
        "floor_seconds_per_audio_hour": median(floors) / hours,
        "peak_worker_mib": max(run["peak_worker_mib"] for run in told),
        "ray_share": median(map(waiting_share, shards)),
        "all_workers_to_one": median(
            speed_of(several) / speed_of(one) for several, one in zip(shards, alone, strict=True)
        )
        if alone
        else None,
        "beside": {
            name: {**peer, "ratio": of_processor / peer["times_real_time_of_processor"]}
            for name, peer in peers.items()
        },
        **course_of(shards[-1]),
    }


def score_once(archive: str, ensemble: str, workers: int | None) -> tuple[dict[str, Any], list[Done]]:
    """`run.json` of a run that is thrown away, and its shards."""
    with tempfile.TemporaryDirectory() as folder:
        scores = storage.join(folder, "scores")
        return score(archive, ensemble, scores, workers=workers), shards_done(scores)


def shards_done(scores: str) -> list[Done]:
    """The shards of a run that was not interrupted, in the order of their ends."""
    shards = []
    for file in storage.list_files(storage.join(scores, "calls"), (".parquet",)):
        calls = storage.read_parquet(file.uri, ["duration_s"])
        about = json.loads(calls.schema.metadata[METADATA])
        times = (about["ended"], about["began"], about["worker"])
        audio_s = sum(calls["duration_s"].to_pylist())
        shards.append(Done(*times, len(calls), audio_s, about["peak_mib"], about["cpu_s"]))
    return sorted(shards)


def waiting_share(shards: Sequence[Done]) -> float:
    """Share of the workers' time between shards, from each one's first beginning to its last end.

    It is spent on Ray, on writing the shards' files and on the ledger of attempts.
    """
    by_worker: dict[str, list[Done]] = {}
    for shard in shards:
        by_worker.setdefault(shard.worker, []).append(shard)
    there = sum(max(s.ended for s in own) - min(s.began for s in own) for own in by_worker.values())
    return 1.0 - sum(shard.ended - shard.began for shard in shards) / there


def speed_of(shards: Sequence[Done]) -> float:
    """Times real time from the beginning of the first shard to the end of the last."""
    lasted = max(shard.ended for shard in shards) - min(shard.began for shard in shards)
    return sum(shard.audio_s for shard in shards) / lasted


def course_of(shards: Sequence[Done], parts: int = 10) -> dict[str, list[float]]:
    """How a run went from its first shard on: speed, and a worker's largest memory so far, MiB.

    Args:
        shards: in the order of their ends.
        parts: of about as many calls each, for which the figures are; long calls come first.
    """
    cuts = np.unique(np.linspace(1, len(shards), parts + 1).astype(int))
    stretches = [shards[a - 1 : b] for a, b in pairwise(cuts)]  # each after the one before it
    lasted = [stretch[-1].ended - stretch[0].ended for stretch in stretches]
    timed = list(zip((stretch[1:] for stretch in stretches), lasted, strict=True))
    return {
        "calls_per_s_by_parts": [sum(shard.calls for shard in part) / s for part, s in timed],
        "times_real_time_by_parts": [sum(shard.audio_s for shard in part) / s for part, s in timed],
        "peak_worker_mib_by_parts": [max(shard.peak_mib for shard in part) for part, _ in timed],
    }


def _decode_only(archive: str) -> float:
    """Seconds to read and decode every call, in one process."""
    calls, _ = list_calls(archive)
    started = time.perf_counter()
    for uri in calls["uri"].to_pylist():
        try:
            with storage.local_copy(uri) as path, AudioReader(path) as reader:
                for _ in reader.blocks():
                    pass
        except UnreadableAudio:
            continue
    return time.perf_counter() - started
