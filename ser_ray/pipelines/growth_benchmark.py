"""How scoring grows: archives of more and more calls, and one long call among many short ones."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import soundfile

from ser_ray import storage
from ser_ray.pipelines.plan import list_calls
from ser_ray.pipelines.scoring_benchmark import Done, score_once


def benchmark_growth(
    archive: str, ensemble: str, hours: str, long_hours: float, repeats: int
) -> dict[str, Any]:
    """Score archives of several sizes, each made of the same few calls again and again.

    Args:
        archive: local calls that soundfile reads.
        ensemble: ensemble directory.
        hours: of audio of each archive, such as `1,10,100`.
        long_hours: a call of this length is added to the last archive, which is then measured once more;
            0 for none.
        repeats: of each size.

    Returns:
        For each size calls and audio hours; seconds of a worker for an hour of audio, by the clock and of
        the processor; largest resident memory, MiB; seconds from the end of the last shard but one to the
        end of all, and seconds of the longest shard, which no tail should exceed; and seconds and memory as
        ratios to the first size's.
    """
    paths = [storage.local_path(uri) for uri in list_calls(archive)[0]["uri"].to_pylist()]
    sizes = [(float(size), 0.0) for size in hours.split(",")]
    sizes += [(sizes[-1][0], long_hours)] if long_hours else []
    rows = [_measure(paths, ensemble, *size, repeats) for size in sizes]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("seconds_per_audio_hour", "cpu_seconds_per_audio_hour", "peak_worker_mib"):
        columns[f"{name}_to_first"] = [value / columns[name][0] for value in columns[name]]
    return columns


def build_archive(folder: Path, paths: list[Path], hours: float, long_hours: float = 0.0) -> int:
    """Link calls into a folder again and again until there are `hours` of audio; the number of files.

    A call of `long_hours` is made of the first one, over and over.
    """
    lasting = [soundfile.info(str(path)).duration for path in paths]
    files, left_s = 0, hours * 3600
    while left_s > 0:
        path, duration_s = paths[files % len(paths)], lasting[files % len(paths)]
        _link(path, folder / f"call-{files:06d}{path.suffix}")
        files, left_s = files + 1, left_s - duration_s
    if long_hours:
        _write_long(paths[0], folder / f"call-long{paths[0].suffix}", long_hours)
        files += 1
    return files


def tail_of(shards: list[Done]) -> float:
    """Seconds from the end of the last shard but one to the end of all; 0 of a single shard."""
    ends = sorted(shard.ended for shard in shards)
    return ends[-1] - ends[-2] if len(ends) > 1 else 0.0


def _measure(
    paths: list[Path], ensemble: str, hours: float, long_hours: float, repeats: int
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        calls = build_archive(Path(folder), paths, hours, long_hours)
        runs = [score_once(folder, ensemble, None) for _ in range(repeats)]
    working = [sum(shard.ended - shard.began for shard in shards) for _, shards in runs]
    audio_hours = runs[0][0]["audio_hours"]
    return {
        "calls": calls,
        "audio_hours": audio_hours,
        "seconds_per_audio_hour": median(working) / audio_hours,
        "cpu_seconds_per_audio_hour": median(sum(s.cpu_s for s in shards) for _, shards in runs)
        / audio_hours,
        "peak_worker_mib": max(run["peak_worker_mib"] for run, _ in runs),
        "tail_s": median(tail_of(shards) for _, shards in runs),
        "longest_shard_s": median(max(s.ended - s.began for s in shards) for _, shards in runs),
    }


def _link(path: Path, place: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)


def _write_long(path: Path, place: Path, hours: float) -> None:
    info = soundfile.info(str(path))
    about = {"samplerate": info.samplerate, "channels": info.channels, "subtype": info.subtype}
    block, left = soundfile.read(str(path), dtype="float32")[0], round(hours * 3600 * info.samplerate)
    with soundfile.SoundFile(str(place), "w", **about) as out:
        while left > 0:
            out.write(block[:left])
            left -= len(block)
