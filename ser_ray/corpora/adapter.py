"""What a corpus adapter is: a description of a folder, and the way from it to a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.labels import DROP, check_targets
from ser_ray.corpora.manifest import from_rows
from ser_ray.errors import BadManifest, MissingInput, UsageError
from ser_ray.storage import FileInfo

AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".m4a", ".opus")


@dataclass(frozen=True)
class IndexOptions:
    """What a user may say about a corpus.

    Attributes:
        columns: our column name -> the column of the user's table that holds it (`csv`).
        labels: the corpus's own label -> emotion, or `-` to leave those utterances out.
        variant: which of the adapter's `variants`; its first where None.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    variant: str | None = None


@dataclass(frozen=True)
class Adapter:
    """One corpus: its name, what its folder looks like, and `index(root, options)` -> manifest.

    Attributes:
        variants: the selections that the literature makes of it, name -> one line; the first is the default.
    """

    name: str
    expects: str
    index: Callable[[str, IndexOptions], pa.Table]
    variants: Mapping[str, str] = field(default_factory=dict)


def check_variant(adapter: Adapter, variant: str | None) -> None:
    """Make sure that the adapter knows the variant.

    Raises:
        UsageError: it does not; the message lists those that it knows.
    """
    if variant is None or variant in adapter.variants:
        return
    if not adapter.variants:
        raise UsageError(f"--variant {variant}: {adapter.name} has no variants. Leave the option out.")
    known = "; ".join(f"{name} ({what})" for name, what in adapter.variants.items())
    raise UsageError(f"--variant {variant}: {adapter.name} has no such variant. Known: {known}.")


def index_by_name(
    root: str,
    corpus: str,
    expects: str,
    parse: Callable[[str], dict[str, Any] | None],
    options: IndexOptions,
) -> pa.Table:
    """Index a corpus whose file names say everything.

    Args:
        root: its folder or bucket prefix.
        corpus: its name, first part of each id.
        expects: what the folder should look like, for the error.
        parse: file name without ending -> manifest columns, or None for a file of another kind.
        options: its `labels` go before what `parse` says of the emotion.

    Raises:
        MissingInput: the folder is not there, or no file in it has a name of the corpus.
        BadManifest: the folder holds an utterance twice, or no utterance is left.
        UsageError: `options` names an emotion that we do not know, or a label that the corpus has not.
    """

    def by_path(path: str) -> tuple[str, dict[str, Any]] | None:
        stem = storage.name(path)
        columns = parse(stem)
        return None if columns is None else (stem, columns)

    return index_by_path(root, corpus, expects, by_path, options)


def named(name: str, expects: str, parse: Callable[[str], dict[str, Any] | None]) -> Adapter:
    """The adapter of a corpus whose file names say everything; see `index_by_name`."""
    return Adapter(name, expects, lambda root, options: index_by_name(root, name, expects, parse, options))


def index_by_path(
    root: str,
    corpus: str,
    expects: str,
    parse: Callable[[str], tuple[str, dict[str, Any]] | None],
    options: IndexOptions,
) -> pa.Table:
    """Index a corpus whose folders and file names say everything.

    As `index_by_name`, but `parse` gets the path below `root` without ending, and gives the
    utterance's name, unique in the corpus, beside its columns.
    """
    check_targets(options.labels)
    root = storage.require(root, f"{corpus} folder")
    audio = list(storage.list_files(root, AUDIO))
    places: dict[str, list[FileInfo]] = {}
    rows = []
    for file in audio:
        parsed = parse(file.path.rsplit(".", 1)[0])
        if parsed is not None:
            name, columns = parsed
            places.setdefault(name, []).append(file)
            rows.append({"id": f"{corpus}/{name}", "uri": file.uri, "corpus": corpus, **columns})
    if not rows:
        raise nothing_found(root, f"{corpus} file", expects, audio)
    refuse_copies(root, places)
    return from_rows(apply_labels(rows, options, root))


def apply_labels(rows: Sequence[Mapping[str, Any]], options: IndexOptions, root: str) -> list[dict[str, Any]]:
    """Rows with the user's own mapping of `raw_label` before ours, without those to be left out.

    Raises:
        UsageError: the mapping has a label that no row has.
        BadManifest: no row is left.
    """
    there = Counter(row["raw_label"] for row in rows)
    for raw in options.labels:
        if there and raw not in there:
            named = ", ".join(f"{label} ({n})" for label, n in there.most_common())
            raise UsageError(f"--label {raw}=...: nothing in {root} is labelled {raw!r}, but {named}.")
    relabelled = [{**row, "emotion": options.labels.get(row["raw_label"], row["emotion"])} for row in rows]
    kept = [row for row in relabelled if row["emotion"] != DROP]
    if not kept:
        raise BadManifest(f"every utterance in {root} is left out by --label or --variant.")
    return kept


def refuse_copies(root: str, places: Mapping[str, Sequence[FileInfo]]) -> None:
    """Make sure that each utterance lies in one place only.

    Raises:
        BadManifest: some do not; the message names a folder that holds one copy, where there is one.
    """
    twice = {name: files for name, files in places.items() if len(files) > 1}
    if not twice:
        return
    name, (first, second, *_) = next(iter(twice.items()))
    more = f" (and so do {len(twice) - 1} more)" if len(twice) > 1 else ""
    folder = _folder_of_one(first.path, second.path)
    mend = (
        f"Give the folder of one copy, such as {storage.join(root, folder)}" if folder else "Keep one of them"
    )
    raise BadManifest(f"{name} lies twice in {root}: {first.uri}, {second.uri}{more}. {mend}.")


def _folder_of_one(first: str, second: str) -> str:
    """The highest folder above the deeper one of two paths that is not above the other; '' if none."""
    deeper, other = sorted((first.split("/"), second.split("/")), key=len, reverse=True)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(deeper, other, strict=False)))
    return "/".join(deeper[: same + 1]) if same + 1 < len(deeper) else ""


def nothing_found(root: str, what: str, expects: str, audio: Sequence[FileInfo]) -> MissingInput:
    """The error for a folder that is not the corpus: what was expected, and what lies there instead.

    Args:
        root: the folder.
        what: what is missing in it.
        expects: what it should look like.
        audio: the audio files in it; where there are none, all its files are told of.
    """
    files = audio or list(storage.list_files(root))
    others = f"{len(audio)} other audio file{'' if len(audio) == 1 else 's'}"
    return MissingInput(f"no {what} in {root} ({others}). Expected: {expects}. Found: {_describe(files)}.")


def _describe(files: Sequence[FileInfo]) -> str:
    if not files:
        return "no file at all"
    endings = Counter(PurePosixPath(file.path).suffix.lower() or "without ending" for file in files)
    counts = ", ".join(f"{n} {ending}" for ending, n in endings.most_common(4))
    folders = sorted({file.path.split("/")[0] for file in files if "/" in file.path})
    named = f"; subfolders {', '.join(folders[:5])}{' ...' if len(folders) > 5 else ''}" if folders else ""
    return f"{counts}, such as {', '.join(file.path for file in files[:3])}{named}"
