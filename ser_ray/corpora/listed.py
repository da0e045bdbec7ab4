"""Corpora whose labels stand in tables beside the audio: find the tables, join them with the files.

Both sides are accounted for. A recording that a table lists and that is not there is an error, never a
silently smaller corpus. A file that no table lists is kept without a label where it lies in a folder with
listed ones; elsewhere it is none of the corpus's business.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.adapter import AUDIO, IndexOptions, apply_labels, nothing_found, refuse_copies
from ser_ray.corpora.labels import check_targets
from ser_ray.corpora.manifest import from_rows
from ser_ray.corpora.table import UTF8, read_table
from ser_ray.errors import BadManifest
from ser_ray.storage import FileInfo

TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Listing:
    """One label table.

    Attributes:
        uri: where it lies.
        columns: names of its columns, each as `plain` makes it: in lower case, without spaces.
        rows: column -> value, without spaces around it; None where it is empty.
    """

    uri: str
    columns: tuple[str, ...]
    rows: list[dict[str, str | None]]

    @property
    def name(self) -> str:
        """Its file name."""
        return storage.name(self.uri)

    def cell(self, row: Mapping[str, str | None], column: str) -> str:
        """The value of a column that every row must have.

        Raises:
            BadManifest: it is empty.
        """
        value = row[column]
        if value is None:
            raise BadManifest(f"{self.uri} has a row without {column}: {dict(row)}. Fill it or take it out.")
        return value


@dataclass(frozen=True)
class Entry:
    """One listed recording: its file as the table `listing` names it, and its manifest columns."""

    listing: str
    file: str
    columns: Mapping[str, Any]


def plain(column: str) -> str:
    """A column's name as `Listing.columns` has it."""
    return "".join(column.split()).lower()


def find_listings(
    root: str,
    corpus: str,
    expects: str,
    fits: Callable[[set[str]], bool],
    encodings: Sequence[str] = UTF8,
    optional: bool = False,
) -> list[Listing]:
    """The label tables of a corpus: its CSV and TSV files that have the right columns.

    Args:
        root: folder or bucket prefix.
        corpus: its name, for the error.
        expects: what the folder should look like, for the error.
        fits: whether a table with these columns (as in `Listing.columns`) is one.
        encodings: how the tables may be written.
        optional: none is no error.

    Raises:
        MissingInput: the folder is not there, or no table in it fits; the message says what is there.
        BadManifest: a table cannot be read.
    """
    root = storage.require(root, f"{corpus} folder")
    listings = [_read(file.uri, encodings) for file in storage.list_files(root, TABLES)]
    fitting = [listing for listing in listings if fits(set(listing.columns))]
    if not fitting and not optional:
        seen = [f"{listing.name} with {', '.join(listing.columns)}" for listing in listings[:3]]
        what = f"label table of {corpus}" + (f" (but {'; '.join(seen)})" if seen else "")
        raise nothing_found(root, what, expects, list(storage.list_files(root, AUDIO)))
    return fitting


def join(
    root: str,
    corpus: str,
    expects: str,
    entries: Sequence[Entry],
    options: IndexOptions,
    ignored: Iterable[str] = (),
    gaps: float = 0.0,
) -> pa.Table:
    """The manifest of listed recordings, each with its file below `root`.

    A file is found by its name, with or without ending; where the table names folders too, these must
    fit. `id` is the name without ending.

    Args:
        root: folder or bucket prefix.
        corpus: its name, first part of each id.
        expects: what the folder should look like, for the error.
        entries: the recordings, with `emotion` and `raw_label` among their columns.
        options: its `labels` go before the entries' emotion.
        ignored: files that a table lists as not to be used; they need not be there.
        gaps: share of a table's recordings that the corpus as published lacks; so many are left out.

    Raises:
        MissingInput: not one of the recordings is there.
        BadManifest: some are not there, are there twice, or are listed with different labels.
        UsageError: `options` names an emotion that we do not know, or a label that the corpus has not.
    """
    check_targets(options.labels)
    root = storage.require(root, f"{corpus} folder")
    audio = list(storage.list_files(root, AUDIO))
    listed = _merge(entries)
    found = _find(root, corpus, expects, listed, audio, gaps)
    rows = [
        {"id": f"{corpus}/{key}", "uri": file.uri, "corpus": corpus, **listed[key].columns}
        for key, file in found.items()
    ]
    rest = [
        {"id": f"{corpus}/{file.path}", "uri": file.uri, "corpus": corpus}
        for file in _unlisted(audio, list(found.values()), {_key(file) for file in ignored})
    ]
    return from_rows([*apply_labels(rows, options, root), *rest])


def _read(uri: str, encodings: Sequence[str]) -> Listing:
    table = read_table(uri, encodings)
    columns = [plain(name) for name in table.column_names]
    twice = [c for c, n in Counter(columns).items() if n > 1]
    if twice:
        raise BadManifest(f"{uri} has the column {twice[0]!r} more than once.")
    rows = table.rename_columns(columns).to_pylist()
    return Listing(
        uri, tuple(columns), [{c: (v or "").strip() or None for c, v in row.items()} for row in rows]
    )


def _merge(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Entries by file without ending; those of one file become one, where none contradicts another."""
    listed: dict[str, Entry] = {}
    for entry in entries:
        key = _key(entry.file)
        before = listed.get(key, entry)
        said = {column: value for column, value in entry.columns.items() if value is not None}
        unlike = [c for c, value in said.items() if before.columns.get(c) not in (None, value)]
        if unlike:
            raise BadManifest(
                f"{entry.file} is listed twice with unlike {', '.join(unlike)}: in {before.listing} and in "
                f"{entry.listing}. Take the wrong row out."
            )
        listed[key] = replace(before, columns={**before.columns, **said})
    return listed


def _key(file: str) -> str:
    return _bare(file.replace("\\", "/").removeprefix("./").strip("/"))


def _bare(path: str) -> str:
    """A path without its ending, and with letters composed, as archives made on a Mac are not."""
    ending = next((e for e in AUDIO if path.lower().endswith(e)), "")
    return unicodedata.normalize("NFC", path[: len(path) - len(ending)])


def _find(
    root: str,
    corpus: str,
    expects: str,
    listed: Mapping[str, Entry],
    audio: Sequence[FileInfo],
    gaps: float,
) -> dict[str, FileInfo]:
    """The one file of each listed recording."""
    places = _places(listed, audio)
    if not any(places.values()):
        tables = ", ".join(sorted({entry.listing for entry in listed.values()})) or "its table"
        raise nothing_found(root, f"{corpus} recording that {tables} lists", expects, audio)
    _refuse_missing(root, listed, places, gaps)
    refuse_copies(root, places)
    found = {key: files[0] for key, files in places.items() if files}
    _refuse_shared(found)
    return found


def _places(listed: Iterable[str], audio: Sequence[FileInfo]) -> dict[str, list[FileInfo]]:
    """The files that each listed name may mean."""
    by_name: dict[str, list[tuple[str, FileInfo]]] = {}
    for file in audio:
        path = f"/{_bare(file.path)}"
        by_name.setdefault(storage.name(path), []).append((path, file))
    return {
        key: [file for path, file in by_name.get(storage.name(key), []) if path.endswith(f"/{key}")]
        for key in listed
    }


def _refuse_missing(
    root: str, listed: Mapping[str, Entry], places: Mapping[str, Sequence[FileInfo]], gaps: float
) -> None:
    missing: dict[str, list[str]] = {}
    for key, files in places.items():
        if not files:
            missing.setdefault(listed[key].listing, []).append(listed[key].file)
    all_of = Counter(entry.listing for entry in listed.values())
    told, instead = [], []
    for table, names in missing.items():
        if len(names) <= gaps * all_of[table]:
            continue
        told.append(f"{len(names)} of the {all_of[table]} that {table} lists, such as {', '.join(names[:3])}")
        whole = len(names) == all_of[table]
        instead.append(f"move {table} out of the folder" if whole else f"take these rows out of {table}")
    if told:
        raise BadManifest(
            f"recordings are not in {root}: {'; '.join(told)}. "
            f"Finish the download, or {' and '.join(instead)}."
        )


def _refuse_shared(found: Mapping[str, FileInfo]) -> None:
    names: dict[str, list[str]] = {}
    for key, file in found.items():
        names.setdefault(file.uri, []).append(key)
    for uri, keys in names.items():
        if len(keys) > 1:
            raise BadManifest(f"{' and '.join(keys)} are both {uri}. List each recording once.")


def _unlisted(audio: Sequence[FileInfo], listed: Sequence[FileInfo], ignored: set[str]) -> list[FileInfo]:
    folders = {file.path.rpartition("/")[0] for file in listed}
    known = {file.uri for file in listed}
    beside = [f for f in audio if f.uri not in known and f.path.rpartition("/")[0] in folders]
    return [f for f in beside if storage.name(_bare(f.path)) not in ignored]
