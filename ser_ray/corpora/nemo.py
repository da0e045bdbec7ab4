"""nEMO (Christop 2024): Polish, 9 actors, 6 emotions, 4,481 utterances of 90 sentences.

Source: data.tsv and README.md of https://github.com/amu-cai/nEMO.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from ser_ray.corpora.adapter import Adapter, IndexOptions, index_by_name
from ser_ray.corpora.listed import Entry, Listing, find_listings, join
from ser_ray.errors import BadManifest

EXPECTS = (
    "files named speaker_emotion_sentence, such as samples/WR0_surprised_64.wav, and their table data.tsv"
)
EMOTIONS = {
    "anger": "anger",
    "fear": "fear",
    "happiness": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprised": "surprise",
}
WOMEN = {"EB0", "IC0", "KD0", "MK0"}
COLUMNS = {"file_id", "emotion", "speaker_id", "gender"}
_NAME = re.compile(rf"([A-Z]{{2}}\d)_({'|'.join(EMOTIONS)})_(\d+)")


def _parse(stem: str) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    speaker, emotion, sentence = match.groups()
    return {
        "speaker": f"nemo-{speaker}",
        "emotion": EMOTIONS[emotion],
        "raw_label": emotion,
        "language": "pl",
        "gender": "female" if speaker in WOMEN else "male",
        "text_id": sentence,
    }


def _entry(listing: Listing, row: dict[str, str | None]) -> Entry:
    file, emotion = listing.cell(row, "file_id"), listing.cell(row, "emotion").lower()
    columns = _parse(file.removesuffix(".wav"))
    if columns is None or columns["raw_label"] != emotion:
        raise BadManifest(f"{listing.uri} lists {file} as {emotion}. Expected: {EXPECTS}.")
    speaker, gender = listing.cell(row, "speaker_id"), listing.cell(row, "gender")
    return Entry(listing.name, file, {**columns, "speaker": f"nemo-{speaker}", "gender": gender})


def _index(root: str, options: IndexOptions) -> pa.Table:
    listings = find_listings(root, "nemo", EXPECTS, COLUMNS.issubset, optional=True)
    if not listings:  # the names alone say all but the gender, which is known
        return index_by_name(root, "nemo", EXPECTS, _parse, options)
    return join(
        root, "nemo", EXPECTS, [_entry(table, row) for table in listings for row in table.rows], options
    )


ADAPTER = Adapter("nemo", EXPECTS, _index)
