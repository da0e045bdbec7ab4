"""Speed and memory, measured against a baseline in the same run: medians and ratios.

The machine's cores may be shared, so figures are medians over repeats, and the baseline and the product
take turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from ser_ray import features
from ser_ray.audio.band import in_band
from ser_ray.audio.decode import read_audio
from ser_ray.features.feature import Array
from ser_ray.pipelines.cluster import connect
from ser_ray.pipelines.extract import extract


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


def _repeated(manifest: pa.Table, times: int) -> pa.Table:
    column = manifest.schema.get_field_index("id")
    ids: Sequence[str] = manifest["id"].to_pylist()
    copies = [
        manifest.set_column(column, manifest.schema.field(column), pa.array([f"{i}#{n}" for i in ids]))
        for n in range(times)
    ]
    return pa.concat_tables(copies)
