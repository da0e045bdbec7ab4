"""What a scoring run shall do: the calls of an archive, divided into shards once and for all.

The plan is written before the first call is scored. A shard is the unit of commit: it is scored as one
batch and written as one file, so a run that was killed goes on with exactly the shards that lack a
file, and every call is scored in the same company as in an undisturbed run. Calls that come later get
shards of their own behind the earlier ones, which stand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ser_ray import storage
from ser_ray.corpora.adapter import AUDIO
from ser_ray.corpora.table import read_table
from ser_ray.errors import BadManifest, MissingInput, OutputConflict, StorageFailed
from ser_ray.pipelines.night import dates_in, parse

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

LISTED_AT_ONCE = 50_000  # files
LOOKS = 16  # at files, side by side
LATE = b"late"  # key of the plan's metadata: how many of its calls came after the first plan

CALLS = pa.schema(
    [
        ("call_id", pa.string()),
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("tag", pa.string()),
        ("agent", pa.string()),  # null where not known, as the next
        ("date", pa.string()),  # of the call, 2026-11-22
    ]
)
TOLD = ("call_id", "uri", "agent", "date")  # what a worker is told of a call
PLAN = pa.schema([("shard", pa.string()), *CALLS])


def list_calls(archive: str) -> tuple[pa.Table, int]:
    """The calls of an archive, and how many files are no recordings by their names.

    Args:
        archive: a folder or bucket prefix; the `manifest.json` of an S3 Inventory; or a table (CSV,
            Parquet) with `uri` or `path`, and optionally `call_id`, `agent`, `date`, and `size` in bytes and
            `tag`, which changes with the content: a table with sizes is believed, of others each file is
            looked at. Without a column `date`, the date is the one in the path.

    Returns:
        `CALLS` of each call, in the order of the archive, and the number.

    Raises:
        MissingInput: nothing is there, or no recording.
        BadManifest: a table without these columns, with an id twice, or a date that is none.
    """
    archive, others = storage.require(archive, "archive"), 0
    if archive.lower().endswith((".csv", ".tsv", ".parquet")):
        calls = _tabled(archive)
    else:
        listed = storage.read_inventory(archive) if storage.is_inventory(archive) else _found(archive)
        sounds = []
        for files in listed:
            sound = files.filter(_any_ends(pc.utf8_lower(files["path"]), SOUNDS))
            others += len(files) - len(sound)
            of_files = (sound[name] for name in ("path", "uri", "size", "tag"))
            about = pa.nulls(len(sound), pa.string()), dates_in(sound["uri"])
            sounds.append(pa.table([*of_files, *about], schema=CALLS))
        calls = pa.concat_tables(sounds) if sounds else CALLS.empty_table()
    if not len(calls):
        raise MissingInput(
            f"no recording in {archive} ({others} other files). Recordings end in {', '.join(SOUNDS[:6])}..."
        )
    return calls, others


def make_plan(calls: pa.Table) -> pa.Table:
    """Calls packed into shards of about one size; calls of like size share one, the largest come first."""
    ordered = calls.sort_by([("size", "descending"), ("call_id", "ascending")]).combine_chunks()
    starts: list[int] = []
    size = 0
    for row, of_call in enumerate(ordered["size"].to_pylist()):
        if not starts or row - starts[-1] == SHARD_CALLS or size + of_call > SHARD_BYTES:
            starts.append(row)
            size = 0
        size += of_call
    counts = np.diff([*starts, len(ordered)])
    names = [_shard_name(ordered["call_id"].slice(*place)) for place in zip(starts, counts, strict=True)]
    shards = pa.array(names, pa.string()).take(pa.array(np.repeat(np.arange(len(starts)), counts)))
    return pa.table([shards, *ordered.columns], schema=PLAN)


def settle_plan(out: str, calls: pa.Table, identity: dict[str, Any]) -> pa.Table:
    """The plan of the run in `out`: the one that is there, if it is of the same run, or a new one.

    Calls that the archive had not when the run was begun are added to the plan; `late_calls` counts them.

    Args:
        out: the scores folder.
        calls: the archive as it is now, as `list_calls` gives it.
        identity: everything else that decides what a row says: ensemble, options, version.

    Raises:
        OutputConflict: the folder holds another run's scores; the message says what differs.
    """
    place, about = storage.join(out, "plan.parquet"), storage.join(out, "plan.json")
    if storage.exists(about):
        _compare(storage.read_json(about), identity, out)
        plan = storage.read_parquet(place)
        late = _late(plan, calls, out)
        if not len(late):
            return plan
        metadata = {LATE: str(late_calls(plan) + len(late))}
        plan = pa.concat_tables([plan, make_plan(late)]).replace_schema_metadata(metadata)
        storage.write_parquet(place, plan)
        return plan
    if storage.exists(storage.join(out, "calls")):
        raise OutputConflict(f"{out} holds scores without their plan. Choose another folder, or remove it.")
    plan = make_plan(calls)
    storage.write_parquet(place, plan)
    storage.write_json(about, identity)
    return plan


def late_calls(plan: pa.Table) -> int:
    """How many calls of a plan came after it was first made."""
    return int((plan.schema.metadata or {}).get(LATE, 0))


def shards_of(plan: pa.Table) -> pa.Table:
    """The same by shards: `shard`, and `calls` with a list of what is `TOLD`, in the plan's order."""
    plan = plan.combine_chunks()
    runs = pc.run_end_encode(plan["shard"].combine_chunks())
    calls = pa.StructArray.from_arrays([plan[field].combine_chunks() for field in TOLD], TOLD)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), runs.run_ends])
    return pa.table({"shard": runs.values, "calls": pa.ListArray.from_arrays(offsets, calls)})


def _compare(before: dict[str, Any], now: dict[str, Any], out: str) -> None:
    changed = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
    if changed:
        what = "; ".join(f"{k} was {before.get(k)}, is {now.get(k)}" for k in changed)
        raise OutputConflict(
            f"{out} holds a run with other settings ({what}). Choose another -o for this one."
        )


def _late(plan: pa.Table, calls: pa.Table, out: str) -> pa.Table:
    """The calls that the plan has not; all that it has must be in the archive as they were."""
    places = pc.index_in(plan["call_id"], value_set=calls["call_id"].combine_chunks())
    gone = plan["call_id"].filter(pc.is_null(places))
    before, now = plan.filter(pc.is_valid(places)), calls.take(places.drop_null())
    other = pc.or_(pc.not_equal(before["size"], now["size"]), pc.not_equal(before["tag"], now["tag"]))
    changed = before["call_id"].filter(other)
    if len(gone) or len(changed):
        raise OutputConflict(
            f"the archive is not the one that {out} was begun with: {len(gone)} files are gone, "
            f"{len(changed)} changed, such as {pc.min(gone if len(gone) else changed).as_py()}. Only new "
            "ones can be added. Restore the others, or choose another -o for the archive as it is now."
        )
    if len(before) == len(calls):
        return calls.slice(0, 0)
    return calls.filter(pc.invert(pc.is_in(calls["call_id"], value_set=plan["call_id"].combine_chunks())))


def _found(archive: str) -> Iterator[pa.Table]:
    """Tables of the files below a folder or prefix, so many rows at a time."""
    files = storage.list_files(archive)
    while part := list(islice(files, LISTED_AT_ONCE)):
        yield pa.table({name: [getattr(f, name) for f in part] for name in ("path", "uri", "size", "tag")})


def _tabled(table: str) -> pa.Table:
    listed = read_table(table)
    column = next((c for c in ("uri", "path") if c in listed.column_names), None)
    if column is None:
        raise BadManifest(
            f"{table} lists no calls: it needs a column uri or path, and has {listed.column_names}."
        )
    if listed[column].null_count:
        raise BadManifest(f"{table} has {listed[column].null_count} rows without a path.")
    uris = listed[column].cast(pa.string())
    ids = listed["call_id"].cast(pa.string()) if "call_id" in listed.column_names else uris
    counted = ids.value_counts()
    twice = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
    if len(twice) or ids.null_count:
        example = None if ids.null_count else twice[0].as_py()
        raise BadManifest(f"{table} lists a call twice or without an id, such as {example!r}.")
    whole = pc.or_(pc.starts_with(uris, "/"), pc.match_substring(uris, "://"))
    below = pc.binary_join_element_wise(table.rsplit("/", 1)[0], uris, "/")
    uris = pc.if_else(whole, uris, below)
    agents = _texts(listed["agent"]) if "agent" in listed.column_names else pa.nulls(len(listed), pa.string())
    dates = _dates(listed, table) if "date" in listed.column_names else dates_in(uris)
    about = agents, dates
    return pa.table([ids, uris, *_sizes(listed, uris, table), *about], schema=CALLS)


def _dates(listed: pa.Table, table: str) -> Any:
    dates = _texts(listed["date"])
    wrong = next((day for day in pc.unique(dates).to_pylist() if day is not None and not parse(day)), None)
    if wrong is not None:
        raise BadManifest(
            f"{table} has the date {wrong!r}. Write dates like 2026-11-22, or leave them empty."
        )
    return dates


def _texts(column: Any) -> Any:
    """A column as strings, null where nothing is written."""
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _sizes(listed: pa.Table, uris: Any, table: str) -> tuple[Any, Any]:
    """Sizes and tags of listed calls; a missing one has size 0 and becomes a row of the ledger."""
    if "size" not in listed.column_names:
        with ThreadPoolExecutor(LOOKS) as pool:
            looked = list(pool.map(_look, uris.to_pylist()))
        sizes, tags = zip(*looked, strict=True) if looked else ((), ())
        return pa.array(sizes, pa.int64()), pa.array(tags, pa.string())
    try:
        sizes = pc.fill_null(listed["size"].cast(pa.int64()), 0)
    except pa.ArrowInvalid as error:
        raise BadManifest(f"{table} has a size that is no number of bytes ({error}).") from error
    tags = listed["tag"] if "tag" in listed.column_names else pa.nulls(len(listed))
    return sizes, pc.fill_null(tags.cast(pa.string()), "")


def _look(uri: str) -> tuple[int, str]:
    try:
        found = storage.file_info(uri)
    except StorageFailed as error:
        if error.whole:
            raise
        found = None
    return (found.size, found.tag) if found else (0, "")


def _any_ends(names: Any, endings: tuple[str, ...]) -> Any:
    pattern = "|".join(ending.replace(".", r"\.") for ending in endings)
    return pc.match_substring_regex(names, f"({pattern})$")


def _shard_name(call_ids: pa.ChunkedArray) -> str:
    return hashlib.sha256("\n".join(call_ids.to_pylist()).encode()).hexdigest()[:20]
