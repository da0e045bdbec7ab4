"""Speed and memory, measured against a baseline in the same run: medians and ratios.

The machine's cores may be shared, so figures are medians over repeats, and the baseline and the product
take turns.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from ser_ray import features, storage
from ser_ray.audio.band import in_band
from ser_ray.audio.decode import AudioReader, read_audio
from ser_ray.errors import UnreadableAudio
from ser_ray.features.feature import Array
from ser_ray.pipelines.cluster import connect
from ser_ray.pipelines.extract import extract
from ser_ray.pipelines.plan import list_calls
from ser_ray.pipelines.score import score
from ser_ray.pipelines.shard import METADATA, ScoreOptions


def benchmark_extract(manifest: pa.Table, spec: str, hours: float, repeats: int) -> dict[str, Any]:
    """Extraction on Ray beside a plain single-process loop over the same files.

    Args:
        manifest: rows, repeated under new ids until there are `hours` of audio.
        spec: the feature.
        hours: of audio.
        repeats: of both, in turn.

    Returns:
        Audio hours, files, times real time of each, and `ratio`: speed on Ray to cores x plain loop.
    """
    cpus = connect()
    once_s = _plain_loop(manifest, spec)[1]
    work = _repeated(manifest, max(1, round(hours * 3600 / once_s)))
    plain, ours = [], []
    for _ in range(repeats):
        wall_s, audio_s = _plain_loop(work, spec)
        plain.append(audio_s / wall_s)
        with tempfile.TemporaryDirectory() as store:
            done = extract(work, store, [spec])
            ours.append(done.audio_s / done.wall_s)
    return {
        "feature": spec,
        "files": len(work),
        "audio_hours": once_s * (len(work) / len(manifest)) / 3600,
        "cores": cpus,
        "repeats": repeats,
        "plain_times_real_time": median(plain),
        "ray_times_real_time": median(ours),
        "ray_times_real_time_per_core": median(ours) / cpus,
        "ray_files_per_s": median(ours) / (once_s / len(manifest)),
        "ratio": median(o / (cpus * p) for o, p in zip(ours, plain, strict=True)),
    }


def benchmark_score(archive: str, ensemble: str, repeats: int) -> dict[str, Any]:
    """Scoring: speed a core, where the time goes, memory; beside it the floor, reading and decoding alone.

    Args:
        archive: calls.
        ensemble: ensemble directory.
        repeats: of both, in turn.

    Returns:
        Times real time by the clock and by the workers' own time, seconds of each stage for an hour of
        audio, the floor's, the largest resident memory of a worker, MiB, and the course of the last run.
    """
    cpus = connect()
    floors, runs = [], []
    for _ in range(repeats):
        floors.append(_decode_only(archive))
        with tempfile.TemporaryDirectory() as out:
            runs.append(score(archive, ensemble, scores := storage.join(out, "scores"), ScoreOptions()))
            course = course_of(scores)
    hours = runs[0]["audio_hours"]
    stages = runs[0]["stage_seconds"]
    return {
        "calls": runs[0]["counts"]["listed"],
        "audio_hours": hours,
        "speech_hours": runs[0]["speech_hours"],
        "cores": cpus,
        "repeats": repeats,
        "times_real_time_per_core_by_clock": median(r["times_real_time"] for r in runs) / cpus,
        "times_real_time_per_core_at_work": median(r["core_times_real_time"] for r in runs),
        "seconds_per_audio_hour": {
            s: median(r["stage_seconds"].get(s, 0.0) for r in runs) / hours for s in stages
        },
        "floor_seconds_per_audio_hour": median(floors) / hours,
        "peak_worker_mib": max(r["peak_worker_mib"] for r in runs),
        **course,
    }


def course_of(scores: str, parts: int = 10) -> dict[str, list[float]]:
    """How a run went from its first shard on: speed, and a worker's largest memory so far, MiB.

    Args:
        scores: of a run that was not interrupted.
        parts: of about as many calls each, for which the figures are; long calls come first.
    """
    shards = []
    for file in storage.list_files(storage.join(scores, "calls"), (".parquet",)):
        calls = storage.read_parquet(file.uri, ["duration_s"])
        about = json.loads(calls.schema.metadata[METADATA])
        shards.append((about["ended"], len(calls), sum(calls["duration_s"].to_pylist()), about["peak_mib"]))
    shards.sort()
    cuts = np.unique(np.linspace(1, len(shards), parts + 1).astype(int))
    stretches = [np.array(shards[a - 1 : b]) for a, b in pairwise(cuts)]  # each after the one before it
    lasted = [stretch[-1, 0] - stretch[0, 0] for stretch in stretches]
    return {
        "calls_per_s_by_parts": [float(s[1:, 1].sum() / t) for s, t in zip(stretches, lasted, strict=True)],
        "times_real_time_by_parts": [
            float(s[1:, 2].sum() / t) for s, t in zip(stretches, lasted, strict=True)
        ],
        "peak_worker_mib_by_parts": [float(s[1:, 3].max()) for s in stretches],
    }


def benchmark_features(manifest: pa.Table, files: int, repeats: int) -> dict[str, Any]:
    """Our features beside librosa's and openSMILE's, on one core without Ray.

    Args:
        manifest: rows, of which `files` evenly spaced ones are read, at 16 kHz.
        files: how many.
        repeats: of both, in turn.

    Returns:
        Files, audio hours, and for each feature times real time of both sides and the ratio.
    """
    from ser_ray.features.benchmark import RATE, compare

    waves = _waves(manifest, files, RATE)
    hours = sum(map(len, waves)) / RATE / 3600
    with threadpool_limits(1):
        return {"files": len(waves), "audio_hours": hours, "repeats": repeats, **compare(waves, repeats)}


def benchmark_is10(manifest: pa.Table, files: int, repeats: int) -> dict[str, Any]:
    """Our IS10 beside openSMILE's, numbers and speed, on one core without Ray.

    Args:
        manifest: rows, of which `files` evenly spaced ones are read, at 16 kHz.
        files: how many.
        repeats: of both, in turn.

    Returns:
        Files, audio hours, and what `is10_parity.compare_is10` finds.

    Raises:
        UsageError: openSMILE is not installed.
    """
    from ser_ray.features.is10_parity import RATE, compare_is10

    waves = _waves(manifest, files, RATE)
    hours = sum(map(len, waves)) / RATE / 3600
    with threadpool_limits(1):
        return {"files": len(waves), "audio_hours": hours, "repeats": repeats, **compare_is10(waves, repeats)}


def _waves(manifest: pa.Table, files: int, rate: int) -> list[Array]:
    """Evenly spaced rows of a manifest as float32 waves [samples] at a rate in Hz."""
    rows = manifest.take(np.unique(np.linspace(0, len(manifest) - 1, files).astype(int)))
    columns = (rows[c].to_pylist() for c in ("uri", "start_s", "end_s", "channel"))
    return [read_audio(uri, rate, *place)[0] for uri, *place in zip(*columns, strict=True)]


def _plain_loop(manifest: pa.Table, spec: str) -> tuple[float, float]:
    """What users would write: read, compute, keep; seconds by the clock, and of audio."""
    feature, audio_s, kept = features.get(spec), 0.0, []
    columns = (manifest[c].to_pylist() for c in ("uri", "start_s", "end_s", "channel"))
    started = time.perf_counter()
    for uri, start_s, end_s, channel in zip(*columns, strict=True):
        wave, rate = read_audio(uri, None, start_s, end_s, channel)
        audio_s += len(wave) / rate
        kept.append(feature(in_band(wave, rate, feature.rate, feature.band)))
    return time.perf_counter() - started, audio_s


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


def _repeated(manifest: pa.Table, times: int) -> pa.Table:
    column = manifest.schema.get_field_index("id")
    ids: Sequence[str] = manifest["id"].to_pylist()
    copies = [
        manifest.set_column(column, manifest.schema.field(column), pa.array([f"{i}#{n}" for i in ids]))
        for n in range(times)
    ]
    return pa.concat_tables(copies)
