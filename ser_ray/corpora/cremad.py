"""CREMA-D, crowd-sourced emotional multimodal actors (Cao et al. 2014): English, 91 actors.

7,442 utterances: 12 sentences in six emotions, one of them at three intensities. The emotion is the
one that was acted, not the one that the crowd heard.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.adapter import Adapter, IndexOptions, index_by_name
from ser_ray.corpora.table import read_table
from ser_ray.errors import BadManifest

EXPECTS = "files named actor(4)_sentence(3)_emotion(3)_intensity(2), such as AudioWAV/1001_DFA_ANG_XX.wav"
CODES = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
# X: the published set has one file that lacks a letter, 1040_ITH_SAD_X.wav.
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}
WAVES = "AudioWAV"  # the same recordings lie beside it, as the raters heard them, in AudioMP3
ACTORS = "VideoDemographics.csv"
_NAME = re.compile(rf"(\d{{4}})_([A-Z]{{3}})_({'|'.join(CODES)})_({'|'.join(INTENSITIES)})")


def _parse(stem: str, genders: dict[str, str]) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    actor, sentence, emotion, intensity = match.groups()
    return {
        "speaker": f"crema_d-{actor}",
        "emotion": CODES[emotion],
        "raw_label": emotion,
        "language": "en",
        "gender": genders.get(actor),
        "text_id": sentence,
        "intensity": INTENSITIES[intensity],
    }


def _genders(uri: str) -> dict[str, str]:
    """Actor -> `female` or `male`, from the corpus's table of its actors."""
    table = read_table(uri)
    if not {"ActorID", "Sex"} <= set(table.column_names):
        raise BadManifest(
            f"{uri} lacks ActorID or Sex; it has {table.column_names}. "
            "Fetch CREMA-D's table again, or move this one away to do without gender."
        )
    return {row["ActorID"]: row["Sex"] and row["Sex"].lower() for row in table.to_pylist()}


def _index(root: str, options: IndexOptions) -> pa.Table:
    root = storage.require(root, "crema_d folder")
    waves = storage.join(root, WAVES)
    folder = waves if storage.exists(waves) else root
    above = folder.rsplit("/", 1)[0] if storage.name(folder) == WAVES else root
    tables = [uri for uri in (storage.join(root, ACTORS), storage.join(above, ACTORS)) if storage.exists(uri)]
    genders = _genders(tables[0]) if tables else {}
    return index_by_name(folder, "crema_d", EXPECTS, lambda stem: _parse(stem, genders), options)


ADAPTER = Adapter("crema_d", EXPECTS, _index)
