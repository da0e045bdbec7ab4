"""What a scoring run shall do: the calls of an archive, divided into shards once and for all.

The plan is written before the first call is scored. A shard is the unit of commit: it is scored as one
batch and written as one file, so a run that was killed goes on with exactly the shards that lack a
file, and every call is scored in the same company as in an undisturbed run.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.adapter import AUDIO
from ser_ray.corpora.table import read_table
from ser_ray.errors import BadManifest, MissingInput, OutputConflict

SOUNDS = (
    *AUDIO,
    ".wma",
    ".amr",
    ".m4b",
    ".mp4",
    ".webm",
    ".gsm",
    ".au",
    ".snd",
    ".raw",
    ".vox",
    ".oga",
    ".aac",
)
SHARD_CALLS = 16
SHARD_BYTES = 64 << 20  # an hour of 8 kHz stereo telephone audio is 58 MB

PLAN = pa.schema(
    [(c, pa.string()) for c in ("shard", "call_id", "uri")] + [("size", pa.int64()), ("tag", pa.string())]
)


@dataclass(frozen=True)
class Call:
    """One recording of an archive; `tag` changes with its content."""

    call_id: str
    uri: str
    size: int
    tag: str


def list_calls(archive: str) -> tuple[list[Call], int]:
    """The calls of an archive, and how many files are no recordings by their names.

    Args:
        archive: a folder or bucket prefix; or a table (CSV, Parquet) with `uri` or `path`, and
            optionally `call_id`.

    Raises:
        MissingInput: nothing is there, or no recording.
        BadManifest: a table without these columns, or with an id twice.
    """
    archive = storage.require(archive, "archive")
    if archive.lower().endswith((".csv", ".tsv", ".parquet")):
        calls, others = _listed(archive), 0
    else:
        files = list(storage.list_files(archive))
        calls = [Call(f.path, f.uri, f.size, f.tag) for f in files if f.path.lower().endswith(SOUNDS)]
        others = len(files) - len(calls)
    if not calls:
        raise MissingInput(
            f"no recording in {archive} ({others} other files). Recordings end in {', '.join(SOUNDS[:6])}..."
        )
    return calls, others


def make_plan(calls: Iterable[Call]) -> pa.Table:
    """Calls packed into shards of about one size; calls of like size share one, the largest come first."""
    ordered = sorted(calls, key=lambda c: (-c.size, c.call_id))
    shards: list[list[Call]] = []
    size = 0
    for call in ordered:
        if not shards or len(shards[-1]) == SHARD_CALLS or size + call.size > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(call)
        size += call.size
    rows = [
        {"shard": _shard_name(shard), **{k: getattr(call, k) for k in ("call_id", "uri", "size", "tag")}}
        for shard in shards
        for call in shard
    ]
    return pa.Table.from_pylist(rows, schema=PLAN)


def settle_plan(out: str, calls: list[Call], identity: dict[str, Any]) -> pa.Table:
    """The plan of the run in `out`: the one that is there, if it is of the same run, or a new one.

    Args:
        out: the scores folder.
        calls: the archive as it is now.
        identity: everything else that decides what a row says: ensemble, options, version.

    Raises:
        OutputConflict: the folder holds another run's scores; the message says what differs.
    """
    place, about = storage.join(out, "plan.parquet"), storage.join(out, "plan.json")
    if storage.exists(about):
        _compare(storage.read_json(about), identity, out)
        plan = storage.read_parquet(place)
        _compare_archive(plan, calls, out)
        return plan
    if storage.exists(storage.join(out, "calls")):
        raise OutputConflict(f"{out} holds scores without their plan. Choose another folder, or remove it.")
    plan = make_plan(calls)
    storage.write_parquet(place, plan)
    storage.write_json(about, identity)
    return plan


def _compare(before: dict[str, Any], now: dict[str, Any], out: str) -> None:
    changed = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
    if changed:
        what = "; ".join(f"{k} was {before.get(k)}, is {now.get(k)}" for k in changed)
        raise OutputConflict(
            f"{out} holds a run with other settings ({what}). Choose another -o for this one."
        )


def _compare_archive(plan: pa.Table, calls: list[Call], out: str) -> None:
    before = {r["call_id"]: (r["size"], r["tag"]) for r in plan.to_pylist()}
    now = {c.call_id: (c.size, c.tag) for c in calls}
    added, gone = now.keys() - before.keys(), before.keys() - now.keys()
    changed = {i for i in now.keys() & before.keys() if now[i] != before[i]}
    if added or gone or changed:
        example = min(added or gone or changed)
        raise OutputConflict(
            f"the archive is not the one that {out} was begun with: {len(added)} files are new, "
            f"{len(gone)} gone, {len(changed)} changed, such as {example}. "
            "Choose another -o for the archive as it is now."
        )


def _listed(table: str) -> list[Call]:
    listed = read_table(table)
    column = next((c for c in ("uri", "path") if c in listed.column_names), None)
    if column is None:
        raise BadManifest(
            f"{table} lists no calls: it needs a column uri or path, and has {listed.column_names}."
        )
    folder = table.rsplit("/", 1)[0]
    if listed[column].null_count:
        raise BadManifest(f"{table} has {listed[column].null_count} rows without a path.")
    uris = [str(u) for u in listed[column].to_pylist()]
    ids = listed["call_id"].to_pylist() if "call_id" in listed.column_names else uris
    twice = [i for i, n in Counter(ids).items() if n > 1]
    if twice or None in ids:
        raise BadManifest(f"{table} lists a call twice or without an id, such as {(twice or [None])[0]!r}.")
    places = [u if u.startswith("/") or "://" in u else storage.join(folder, u) for u in uris]
    return [Call(str(i), u, *_size(u)) for i, u in zip(ids, places, strict=True)]


def _size(uri: str) -> tuple[int, str]:
    """Size and tag of one file; a missing one has size 0 and becomes a row of the ledger."""
    found = next(iter(storage.list_files(uri)), None) if storage.exists(uri) else None
    return (found.size, found.tag) if found else (0, "")


def _shard_name(calls: list[Call]) -> str:
    return hashlib.sha256("\n".join(c.call_id for c in calls).encode()).hexdigest()[:20]
