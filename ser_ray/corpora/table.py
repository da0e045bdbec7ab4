"""`csv`: any corpus that comes as a table (CSV, TSV or Parquet) of paths and labels."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from ser_ray import storage
from ser_ray.corpora.adapter import Adapter, IndexOptions
from ser_ray.corpora.labels import DROP, EMOTIONS, check_targets, emotion_of
from ser_ray.corpora.manifest import SCHEMA, from_rows
from ser_ray.errors import BadManifest, UsageError

UTF8 = ("utf-8-sig",)  # with or without a byte order mark
EXPECTS = "a CSV, TSV or Parquet file with columns uri (or path) and emotion; any names by --map ours=theirs"


def _index(root: str, options: IndexOptions) -> pa.Table:
    check_targets(options.labels)
    uri = storage.require(root, "table")
    table = _rename(read_table(uri), options)
    for column in ("uri", "emotion"):
        if column not in table.column_names:
            raise BadManifest(
                f"{uri} lacks the column {column!r}; it has {table.column_names}. "
                f"Name it with --map {column}=COLUMN."
            )
    folder = uri.rsplit("/", 1)[0]
    rows = [_row(row, folder, uri) for row in _typed(table, uri).to_pylist()]
    return from_rows(_label(rows, options, uri))


def read_table(uri: str, encodings: Sequence[str] = UTF8) -> pa.Table:
    """A CSV, TSV (all columns as strings) or Parquet file.

    Args:
        uri: where it is.
        encodings: how a CSV or TSV may be written; the first that fits its bytes is taken.

    Raises:
        BadManifest: it is none of them, or has a column twice.
    """
    parquet = uri.lower().endswith((".parquet", ".pq"))
    table = storage.read_parquet(uri) if parquet else _read_csv(uri, encodings)
    twice = [c for c, n in Counter(table.column_names).items() if n > 1]
    if twice:
        raise BadManifest(f"{uri} has the column {twice[0]!r} more than once.")
    return table


def require_known(raw_labels: Iterable[str], labels: Mapping[str, str], where: str) -> None:
    """Make sure that every label of a corpus means something to us or to the user.

    Args:
        raw_labels: the labels as the corpus writes them, one for each utterance.
        labels: the user's own mapping.
        where: table or folder, for the error.

    Raises:
        BadManifest: some do not; the message counts them and says the mend.
    """
    unknown = Counter(raw for raw in raw_labels if emotion_of(raw, labels) is None)
    if unknown:
        named = ", ".join(f"{label} ({n})" for label, n in unknown.most_common(8))
        raise BadManifest(
            f"labels that we do not know in {where}: {named}. Say what each means with "
            f"--label {next(iter(unknown))}=EMOTION, or drop it with =-. Emotions: {', '.join(EMOTIONS)}."
        )


def _read_csv(uri: str, encodings: Sequence[str]) -> pa.Table:
    data = storage.read_bytes(uri)
    try:
        text = _decode(data, encodings)
        header = text.partition("\n")[0].strip("\r")
        delimiter = max(",;\t", key=header.count)
        names = next(csv.reader([header], delimiter=delimiter), [])
        return pacsv.read_csv(
            pa.BufferReader(text.encode()),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        known = " or ".join(name.upper().removesuffix("-SIG") for name in encodings)
        raise BadManifest(
            f"{uri} is not a readable CSV in {known}: {error}. Correct it, or save it in that encoding."
        ) from error


def _decode(data: bytes, encodings: Sequence[str]) -> str:
    for encoding in encodings[:-1]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode(encodings[-1])


def _rename(table: pa.Table, options: IndexOptions) -> pa.Table:
    columns = dict(options.columns)
    if "uri" not in columns and "uri" not in table.column_names and "path" in table.column_names:
        columns["uri"] = "path"
    for ours, theirs in columns.items():
        if ours not in SCHEMA.names:
            raise UsageError(
                f"--map {ours}={theirs}: no column {ours!r}. Ours are: {', '.join(SCHEMA.names)}."
            )
        if theirs not in table.column_names:
            raise UsageError(f"--map {ours}={theirs}: the table has no {theirs!r}, but {table.column_names}.")
    kept = {c: table[c] for c in table.column_names if c not in columns}
    return pa.table({**kept, **{ours: table[theirs] for ours, theirs in columns.items()}})


def _typed(table: pa.Table, uri: str) -> pa.Table:
    """The manifest's columns alone, in its types."""
    columns = {}
    for field in SCHEMA:
        if field.name not in table.column_names:
            continue
        column = table[field.name]
        try:
            if field.name == "channel":  # tables of floating point numbers write 1 as 1.0
                column = column.cast(pa.float64())
            columns[field.name] = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadManifest(f"{uri}: the column {field.name!r} is not {field.type}: {error}.") from error
    return pa.table(columns)


def _row(row: dict[str, Any], folder: str, table: str) -> dict[str, Any]:
    if not row["uri"]:
        raise BadManifest(f"{table} has rows without a path.")
    relative = row["uri"]
    if not (relative.startswith("/") or "://" in relative):
        row["uri"] = storage.join(folder, relative)
    if not row.get("id"):
        start, end = row.get("start_s"), row.get("end_s")
        stretch = "" if start is end is None else f"#{start or 0.0}-{'' if end is None else end}"
        leg = f"@{row['channel']}" if row.get("channel") is not None else ""
        row["id"] = f"{row.get('corpus') or 'csv'}/{relative.removeprefix('/')}{stretch}{leg}"
    return row


def _label(rows: list[dict[str, Any]], options: IndexOptions, uri: str) -> list[dict[str, Any]]:
    require_known((row["emotion"] for row in rows if row["emotion"] is not None), options.labels, uri)
    kept = []
    for row in rows:
        raw = row["emotion"]
        emotion = None if raw is None else emotion_of(raw, options.labels)
        if emotion != DROP:
            kept.append({**row, "raw_label": row.get("raw_label") or raw, "emotion": emotion})
    if not kept:
        raise BadManifest(f"{uri} holds no utterance.")
    return kept


ADAPTER = Adapter("csv", EXPECTS, _index)
