"""The manifest: one row for each labelled utterance. `ser-ray index` writes it, every verb reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ser_ray import storage
from ser_ray.audio.augmentation import parse
from ser_ray.corpora.labels import EMOTIONS
from ser_ray.errors import BadManifest, StorageFailed, UsageError

EMOTION, RAW_LABEL = LABELS = ("emotion", "raw_label")  # columns whose values can be learned
SOUNDS = " Its raw_label has {} classes, which ser-ray train learns with --label raw_label."
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # stable and unique
        pa.field("uri", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),  # null: from the start
        pa.field("end_s", pa.float64()),  # null: to the end
        pa.field("channel", pa.int32()),  # null: the mean of all channels
        pa.field("corpus", pa.string()),
        pa.field("speaker", pa.string()),
        pa.field("emotion", pa.string()),  # a word of labels.EMOTIONS
        pa.field("raw_label", pa.string()),  # the corpus's own word for it; of a sound, what it is
        pa.field("language", pa.string()),
        pa.field("gender", pa.string()),
        pa.field("session", pa.string()),
        pa.field("text_id", pa.string()),  # which sentence is spoken
        pa.field("intensity", pa.string()),  # how strongly it was meant, in the corpus's own word
        pa.field("split", pa.string()),
        # null: as recorded; else what is done to the sound, see audio.augmentation.describe
        pa.field("augmentation", pa.string()),
        pa.field("source_id", pa.string()),  # of a copy: the id of the row that it was made from
    ]
)


def from_rows(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A manifest from dicts; columns that a row lacks are null."""
    return validate(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA))


def write_manifest(table: pa.Table, uri: str) -> None:
    """Write a manifest as Parquet."""
    storage.write_parquet(uri, validate(table))


def read_manifest(uri: str) -> pa.Table:
    """Read a manifest; relative `uri`s are taken from the manifest's own folder.

    Raises:
        MissingInput: there is no such file.
        BadManifest: it is no Parquet, lacks a column, repeats an id or holds impossible values.
    """
    uri = storage.require(uri, "manifest")
    try:
        table = storage.read_parquet(uri)
    except StorageFailed as error:
        raise BadManifest(f"{error} A manifest is the Parquet file that `ser-ray index` writes.") from error
    table = validate(table)
    folder = uri.rsplit("/", 1)[0]
    uris = [
        u if u.startswith("/") or "://" in u else storage.join(folder, u) for u in table["uri"].to_pylist()
    ]
    return table.set_column(
        table.schema.get_field_index("uri"), SCHEMA.field("uri"), pa.array(uris, pa.string())
    )


def validate(table: pa.Table) -> pa.Table:
    """`table` with exactly the manifest's columns and types.

    Raises:
        BadManifest: the message names the column or the ids at fault.
    """
    for column in ("id", "uri"):
        if column not in table.column_names:
            raise BadManifest(f"the manifest lacks the column {column!r}; it has {table.column_names}.")
    twice = [c for c, n in Counter(table.column_names).items() if n > 1]
    if twice:
        raise BadManifest(f"the manifest has the column {twice[0]!r} more than once.")
    columns = []
    for field in SCHEMA:
        if field.name not in table.column_names:
            columns.append(pa.nulls(len(table), field.type))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadManifest(
                f"the manifest's column {field.name!r} is not {field.type}: {error}."
            ) from error
    result = pa.table(columns, schema=SCHEMA)
    _check_values(result)
    _check_copies(result)
    return result


def labelled(table: pa.Table, why: str, label: str = EMOTION) -> pa.Table:
    """The rows that have a label, with the label as their `emotion`.

    Args:
        table: a manifest.
        why: what needs them.
        label: `emotion`, or `raw_label`: the corpus's own words, such as the classes of sounds.

    Raises:
        UsageError: another label.
        BadManifest: fewer than two different ones are there.
    """
    if label not in LABELS:
        raise UsageError(f"label={label!r} cannot be learned. Set it to one of: {', '.join(LABELS)}.")
    raw = set(table[RAW_LABEL].to_pylist()) - {None}
    if label != EMOTION:
        place = table.schema.get_field_index(EMOTION)
        table = table.set_column(place, table.schema.field(EMOTION), table[label])
    rows = table.filter(pc.is_valid(table[EMOTION]))
    if len(set(rows[EMOTION].to_pylist())) < 2:
        what = "emotions" if label == EMOTION else f"classes in {label}"
        raise BadManifest(
            f"{why} needs utterances of at least two {what}; this manifest has {len(rows)} labelled."
            + (SOUNDS.format(len(raw)) if len(raw) > 1 and not len(rows) else "")
        )
    return rows


def originals(table: pa.Table) -> np.ndarray:
    """Numbers of the rows that are no augmented copies."""
    return np.flatnonzero(table["source_id"].is_null().to_numpy())


def with_copies(table: pa.Table, rows: np.ndarray) -> np.ndarray:
    """Row numbers `rows` and those of the copies made from them, ascending."""
    chosen = pc.is_in(table["source_id"], value_set=table["id"].take(pa.array(rows)).combine_chunks())
    copies = np.flatnonzero(pc.and_(chosen, pc.is_valid(table["source_id"])).to_numpy())
    return np.union1d(rows, copies)


def _check_values(table: pa.Table) -> None:
    for column in ("id", "uri"):
        empty = table[column].to_pylist().count("") + table[column].null_count
        if empty:
            raise BadManifest(f"the manifest's column {column!r} is empty in {empty} rows.")
    repeated = [i for i, n in Counter(table["id"].to_pylist()).items() if n > 1]
    if repeated:
        raise BadManifest(
            f"{len(repeated)} ids stand more than once, such as {repeated[:3]}. Ids must be unique."
        )
    unknown = set(table["emotion"].to_pylist()) - {None, *EMOTIONS}
    if unknown:
        raise BadManifest(
            f"emotions outside our vocabulary: {sorted(unknown)}. Known: {', '.join(EMOTIONS)}."
        )
    start, end = pc.fill_null(table["start_s"], 0.0), table["end_s"]
    finite = pc.and_(pc.is_finite(start), pc.fill_null(pc.is_finite(end), True))
    ordered = pc.and_(pc.greater_equal(start, 0.0), pc.fill_null(pc.greater(end, start), True))
    wrong = pc.index(pc.and_(finite, ordered), False).as_py()
    if wrong >= 0:
        raise BadManifest(
            f"{table['id'][wrong]} lies from {table['start_s'][wrong]} to {table['end_s'][wrong]} s; "
            "start_s must be 0 or more, and end_s after it."
        )
    if pc.any(pc.less(table["channel"], 0)).as_py():
        raise BadManifest("some rows have a channel below 0; the first channel is 0.")


def _check_copies(table: pa.Table) -> None:
    ids, texts, sources = (table[column].to_pylist() for column in ("id", "augmentation", "source_id"))
    rows = list(zip(ids, texts, sources, strict=True))
    half = [name for name, text, source in rows if (text is None) != (source is None)]
    if half:
        raise BadManifest(
            f"{len(half)} rows, such as {half[0]}, have one of the columns augmentation and source_id; "
            "a copy has both, a recording has neither."
        )
    copies = {name for name, _, source in rows if source is not None}
    again = [source for source in sources if source in copies]
    if again:
        raise BadManifest(f"{again[0]} is a copy and stands in source_id; make copies of recordings only.")
    for text in sorted(set(texts) - {None}):
        try:
            parse(text)
        except UsageError as error:
            raise BadManifest(f"the manifest's column augmentation holds {text!r}: {error}") from error
