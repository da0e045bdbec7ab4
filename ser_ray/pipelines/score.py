"""Scoring an archive of calls with an ensemble, on Ray Data: one row for each call, whatever happens.

SCORES/plan.parquet, plan.json    what is to be done, and with what: settled before the first call
      /calls/SHARD.parquet        the rows, each file whole or not there
      /segments/SHARD.parquet     the same exploded, written when the run completes
      /run.json                   counts that add up, hours, speed, versions
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import ser_ray
from ser_ray import storage
from ser_ray.audio.band import NARROW_RATE
from ser_ray.audio.decode import AudioReader
from ser_ray.corpora.labels import EMOTIONS
from ser_ray.errors import BandMismatch, UnreadableAudio, UsageError
from ser_ray.fusion import Ensemble, load_ensemble
from ser_ray.pipelines.attempts import READ_LIMIT_S
from ser_ray.pipelines.cluster import Progress, connect, quiet, run_batches
from ser_ray.pipelines.drift import Tally, drift_of
from ser_ray.pipelines.members import gpu_pool
from ser_ray.pipelines.metrics import RunMetrics
from ser_ray.pipelines.parallel import sheltered
from ser_ray.pipelines.plan import late_calls, list_calls, settle_plan, shards_of
from ser_ray.pipelines.reconciliation import reconcile
from ser_ray.pipelines.scores import explode, figures, total
from ser_ray.pipelines.shard import METADATA, ScoreOptions, ShardScorer
from ser_ray.pipelines.train import versions

FORMAT = 1
COUNTED = [  # for run.json
    "status",
    "error_type",
    "duration_s",
    "speech_s",
    "sample_rate",
    "worst_score",
    "legs",
]
READ_AT_ONCE = 8  # files of shards; a bucket takes its time for each
PROBED = 12  # calls whose rate is looked at before the run begins
PROBE_S = 60.0  # for that; a call that takes longer, or kills what reads it, gets its row in the run


def score(
    archive: str,
    ensemble: str,
    out: str,
    options: ScoreOptions | None = None,
    progress: Progress = quiet,
    call_time_limit_s: float = READ_LIMIT_S,
    workers: int | None = None,
) -> dict[str, Any]:
    """Score every call of an archive, or go on where an earlier run was cut off.

    Args:
        archive: folder, bucket prefix, or table of calls.
        ensemble: an ensemble directory, or a model's.
        out: scores folder.
        options: how calls are heard.
        progress: told how far it is.
        call_time_limit_s: the longest that reading and decoding one call may take.
        workers: at most so many; None: as many as the cluster has CPUs.

    Returns:
        The content of `run.json`.

    Raises:
        MissingInput, BadManifest, BadModel: the archive or the ensemble is not what it should be.
        UsageError: the ensemble tells something else than emotions apart.
        BandMismatch: a wide-band ensemble for an archive of telephone audio.
        OutputConflict: `out` holds scores of another archive, ensemble or option.
        RunFailed: the cluster broke off, or the counts do not add up in the end.
    """
    options = options or ScoreOptions()
    started, out = time.monotonic(), storage.absolute(out)
    loaded, fingerprint = load_ensemble(ensemble)
    _check_labels(loaded, ensemble)
    calls, others = list_calls(archive)
    identity = {
        "archive": storage.absolute(archive),
        "ensemble": fingerprint,
        "options": json.loads(json.dumps(asdict(options))),
        "ser_ray": ser_ray.__version__,
    }
    if not options.allow_band_mismatch and loaded.band == "wide":
        _probe_band(calls)
    plan = settle_plan(out, calls, identity)
    about = _about_run(identity, storage.absolute(ensemble), loaded, options, others)
    work, place = _work(plan, out), storage.join(out, "run.json")
    if len(work) == 0 and storage.exists(place) and storage.read_json(place)["complete"]:
        return dict(storage.read_json(place))
    storage.write_json(place, {**about, **_account(out, plan, started, loaded), "complete": False})
    connect()
    waiting = pc.sum(pc.list_value_length(work["calls"])).as_py() or 0
    metrics = RunMetrics(out, waiting)
    if len(work):
        uri = storage.absolute(ensemble)
        with gpu_pool(loaded, uri, fingerprint, len(work)) as pool:
            arguments = (uri, fingerprint, out, options, pool)
            counted = (progress, "calls", waiting)
            given: dict[str, Any] = {
                "done_with": metrics.add,
                "limit_s": call_time_limit_s,
                "workers": workers,
            }
            run_batches(ShardScorer, arguments, work, 1, *counted, **given)
    _write_segments(out)
    account = _account(out, plan, started, loaded)
    account["reconciliation"] = reconcile(out, plan["call_id"].to_pylist())
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    run = {**about, **account, "finished": finished, "complete": True}
    storage.write_json(place, run)
    metrics.complete()
    return run


def _check_labels(ensemble: Ensemble, uri: str) -> None:
    others = [label for label in ensemble.labels if label not in EMOTIONS]
    if others:
        raise UsageError(
            f"{uri} does not tell emotions apart: it knows {', '.join(others[:3])}. Score by a model or an "
            "ensemble that learned emotions."
        )


def _probe_band(calls: pa.Table) -> None:
    """Refuse an archive whose first readable calls are all of telephone rate."""
    rows = range(0, len(calls), max(1, len(calls) // PROBED))[:PROBED]
    chosen = [calls["uri"][row].as_py() for row in rows]
    rates = sheltered(_rates, [uri for uri in chosen if storage.is_local(uri)], PROBE_S)
    if rates and max(rates) <= NARROW_RATE:
        raise BandMismatch(
            f"the archive is telephone audio ({max(rates)} Hz), the ensemble learned from wide-band audio. "
            "Train its members with --band telephone, or pass --allow-band-mismatch."
        )


def _rates(uris: list[str]) -> list[int]:
    """Sample rates of those recordings that can be read, Hz."""
    rates = []
    for uri in uris:
        with suppress(UnreadableAudio), AudioReader(storage.local_path(uri)) as reader:
            rates.append(reader.info.sample_rate)
    return rates


def _work(plan: pa.Table, out: str) -> pa.Table:
    """Shards that have no file yet, one a row with its calls as a list."""
    folder = storage.join(out, "calls")
    storage.clear_partial(folder)
    done = [storage.name(file).removesuffix(".parquet") for file in _shard_files(out)]
    shards = shards_of(plan)
    return shards.filter(pc.invert(pc.is_in(shards["shard"], value_set=pa.array(done, pa.string()))))


def _about_run(
    identity: dict[str, Any], uri: str, ensemble: Ensemble, options: ScoreOptions, others: int
) -> dict[str, Any]:
    """The part of `run.json` that is known before the first call."""
    return {
        "format": FORMAT,
        "archive": identity["archive"],
        "ensemble": {
            "uri": uri,
            "fingerprint": identity["ensemble"],
            "rule": ensemble.fusion.rule,
            "labels": list(ensemble.labels),
            "groups": {name: list(members) for name, members in ensemble.groups.items()},
            "negative": list(ensemble.negative),
            "certain_from": options.threshold(ensemble),
            "band": ensemble.band,
            "members": list(ensemble.members),
        },
        "options": identity["options"],
        "other_files": others,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "finished": None,
        "versions": versions(),
    }


def _account(out: str, plan: pa.Table, started: float, ensemble: Ensemble) -> dict[str, Any]:
    """The part of `run.json` that is counted from the rows written so far."""
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    audio_s = speech_s = 0.0
    peak_mib, tally, narrow = 0, Tally(), 0
    for _, calls in _read_shards(out, COUNTED):
        about = json.loads(calls.schema.metadata[METADATA])
        seconds.update(about["seconds"])
        tally.merge(about["drift"])
        peak_mib = max(peak_mib, about["peak_mib"])
        counts.update(calls["status"].to_pylist())
        narrow += sum(0 < rate <= NARROW_RATE for rate in calls["sample_rate"].to_pylist())
        totals.update(total(calls))

        errors.update(kind for kind in calls["error_type"].to_pylist() if kind)
        audio_s += sum(calls["duration_s"].to_pylist())
        speech_s += sum(calls["speech_s"].to_pylist())
    wall_s, busy_s = time.monotonic() - started, sum(seconds.values())
    drift = drift_of(tally, ensemble, narrow / max(1, counts.total()))
    return {
        "counts": {"listed": len(plan), **{s: counts[s] for s in ("ok", "no_speech", "error")}},
        "late_calls": late_calls(plan),
        "errors": dict(errors),
        "figures": figures(totals),
        "audio_hours": audio_s / 3600,
        "speech_hours": speech_s / 3600,
        "wall_s": wall_s,
        "times_real_time": audio_s / wall_s,
        "core_times_real_time": audio_s / busy_s if busy_s else 0.0,
        "peak_worker_mib": peak_mib,
        "stage_seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        **({"drift": drift} if drift else {}),
    }


def _write_segments(out: str) -> None:
    """Explode the rows of all shards."""
    with storage.new_directory(storage.join(out, "segments")) as folder:
        for file, calls in _read_shards(out):
            pq.write_table(explode(calls), folder / storage.name(file), compression="zstd")


def _read_shards(out: str, columns: list[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
    """The files of all shards with their rows, in name order, several on their way at once."""
    files = iter(_shard_files(out))
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        while part := list(islice(files, 8 * READ_AT_ONCE)):
            yield from zip(
                part, pool.map(lambda file: storage.read_parquet(file, columns), part), strict=True
            )


def _shard_files(out: str) -> list[str]:
    folder = storage.join(out, "calls")
    return [file.uri for file in storage.list_files(folder, (".parquet",))]
