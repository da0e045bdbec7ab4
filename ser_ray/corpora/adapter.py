"""What a corpus adapter is: a description of a folder, and the way from it to a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.labels import DROP, check_targets
from ser_ray.corpora.manifest import from_rows
from ser_ray.errors import BadManifest, MissingInput

AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".m4a", ".opus")


@dataclass(frozen=True)
class IndexOptions:
    """What a user may say about a corpus.

    Attributes:
        columns: our column name -> the column of the user's table that holds it (`csv`).
        labels: the corpus's own label -> emotion, or `-` to leave those utterances out.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """One corpus: its name, what its folder looks like, and `index(root, options)` -> manifest."""

    name: str
    expects: str
    index: Callable[[str, IndexOptions], pa.Table]


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
        UsageError: `options` names an emotion that we do not know.
    """
    check_targets(options.labels)
    found: dict[str, dict[str, Any]] = {}
    others = 0
    for file in storage.list_files(storage.require(root, f"{corpus} folder"), AUDIO):
        stem = storage.name(file.uri).rsplit(".", 1)[0]
        parsed = parse(stem)
        if parsed is None:
            others += 1
        elif stem in found:
            raise BadManifest(
                f"{stem} lies twice in {root}: {found[stem]['uri']}, {file.uri}. Give the folder of one copy."
            )
        else:
            emotion = options.labels.get(parsed["raw_label"], parsed["emotion"])
            row = {"id": f"{corpus}/{stem}", "uri": file.uri, "corpus": corpus}
            found[stem] = {**row, **parsed, "emotion": emotion}
    if not found:
        raise MissingInput(f"no {corpus} file in {root} ({others} other audio files). Expected: {expects}.")
    rows = [row for row in found.values() if row["emotion"] != DROP]
    if not rows:
        raise BadManifest(f"every utterance in {root} is left out by --label.")
    return from_rows(rows)
