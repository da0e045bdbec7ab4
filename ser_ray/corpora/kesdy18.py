"""KESDy18 (Noh et al. 2021, ETRI): acted Korean speech, 30 voice actors, 4 emotions, 2,880 utterances.

ETRI gives the corpus under a licence, and its exact layout is not public. Two are read:

- a table with one row for each recording. Its columns are known by the names in `COLUMNS`; any other can
  be named, such as `--map uri=COLUMN --map emotion=COLUMN --map speaker=COLUMN`;
- without such a table, folders or file names with the words angry, happy, neutral or sad. The speaker is
  then empty: nothing public says where he stands.

Sources: https://nanum.etri.re.kr/share/kjnoh2/KESDy18 (as its sister pages describe it),
doi:10.3390/s21051579, and public code that reads copies of the corpus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ser_ray.corpora.adapter import Adapter, IndexOptions, index_by_path
from ser_ray.corpora.labels import emotion_of
from ser_ray.corpora.listed import Entry, Listing, find_listings, join, plain
from ser_ray.corpora.table import UTF8, require_known
from ser_ray.errors import UsageError

EXPECTS = (
    "a table with the columns file and emotion (any names by --map uri=COLUMN --map emotion=COLUMN) and its "
    "recordings, or folders named angry, happy, neutral and sad"
)
FOUR = {"anger", "happiness", "neutral", "sadness"}
COLUMNS = {
    "uri": (
        "file",
        "filename",
        "file_name",
        "wav",
        "wav_id",
        "wav_file",
        "segmentid",
        "segment_id",
        "파일명",
    ),
    "emotion": ("emotion", "label", "감정"),
    "speaker": ("speaker", "speaker_id", "actor", "화자", "성우"),
    "gender": ("gender", "sex", "성별"),
    "text_id": ("sentence", "sentence_id", "text_id", "문장", "문장번호"),
}
SEXES = {"m": "male", "남": "male", "남성": "male", "f": "female", "여": "female", "여성": "female"}


def _index(root: str, options: IndexOptions) -> pa.Table:
    for ours in options.columns:
        if ours not in COLUMNS:
            raise UsageError(f"--map {ours}=...: a table of kesdy18 has only {', '.join(COLUMNS)} to map.")
    said = {ours: (plain(theirs),) for ours, theirs in options.columns.items()}
    spellings = {**COLUMNS, **said}
    needed = {"uri", "emotion", *said}
    listings = find_listings(
        root,
        "kesdy18",
        EXPECTS,
        lambda columns: needed <= _ours(columns, spellings).keys(),
        (*UTF8, "cp949"),
        optional=not said,
    )
    if not listings:
        return index_by_path(root, "kesdy18", EXPECTS, _parse, options)
    entries = [
        _entry(listing, row, _ours(set(listing.columns), spellings))
        for listing in listings
        for row in listing.rows
    ]
    require_known((entry.columns["raw_label"] for entry in entries), options.labels, root)
    return join(root, "kesdy18", EXPECTS, entries, options)


def _ours(columns: set[str], spellings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Our column -> the table's, for those that it has."""
    found = {ours: [name for name in names if name in columns] for ours, names in spellings.items()}
    return {ours: names[0] for ours, names in found.items() if names}


def _entry(listing: Listing, row: Mapping[str, str | None], ours: Mapping[str, str]) -> Entry:
    raw_label = listing.cell(row, ours["emotion"])
    speaker, gender, text = (
        row[ours[column]] if column in ours else None for column in ("speaker", "gender", "text_id")
    )
    columns = {
        "speaker": None if speaker is None else f"kesdy18-{speaker}",
        "emotion": emotion_of(raw_label),
        "raw_label": raw_label,
        "language": "ko",
        "gender": None if gender is None else SEXES.get(gender.lower(), gender.lower()),
        "text_id": text,
    }
    return Entry(listing.name, listing.cell(row, ours["uri"]), columns)


def _parse(path: str) -> tuple[str, dict[str, Any]] | None:
    """By the word for an emotion that stands nearest to the end of the path."""
    words = re.findall(r"[a-z]+|[가-힣]+", path.lower())
    raw_label = next((word for word in reversed(words) if emotion_of(word) in FOUR), None)
    if raw_label is None:
        return None
    return path, {"emotion": emotion_of(raw_label), "raw_label": raw_label, "language": "ko"}


ADAPTER = Adapter("kesdy18", EXPECTS, _index)
