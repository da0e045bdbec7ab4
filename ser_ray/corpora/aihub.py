"""AI-Hub dialogue speech for emotion classification (dataSetSn=263): Korean, 7 emotions.

Each utterance was heard by five listeners, who each named an emotion and its strength (0, 1, 2). It comes
in three parts, each a table in CP949 (4차년도.csv, 5차년도.csv, 5차년도_2차.csv) and a folder of recordings
named by their wav_id. The tables give age and gender of a speaker, but no name, so `speaker` is empty.

`emotion` is what most listeners heard. Where none was heard most, it is empty and `raw_label` has all that
was heard, such as angry|neutral|sadness: training skips these utterances, and counts them; `--label` can
name an emotion for them, or leave them out. `intensity` is the middle strength of those who heard
`emotion`. `text_id` is a hash of the sentence.

The published 4차년도 lists 16 recordings that it lacks, which are left out, and has 16 that it does not
list, which are kept without a label.

Sources: public code that reads the corpus (the parts write 4번 감정세기 with and without its space, and
angry or anger, sadness or sad), and a public importer's count of the gaps.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from statistics import median_low
from typing import Any

import pyarrow as pa

from ser_ray.corpora.adapter import Adapter, IndexOptions
from ser_ray.corpora.labels import emotion_of
from ser_ray.corpora.listed import Entry, Listing, find_listings, join
from ser_ray.corpora.table import UTF8, require_known
from ser_ray.errors import BadManifest

EXPECTS = (
    "a table with the columns wav_id and 1번 감정 to 5번 감정, such as 4차년도.csv, and its recordings named "
    "by wav_id, such as 4차년도/5e258fd1305bcf3ad153a6a4.wav"
)
VARIANTS = {
    "majority": "the emotion that most of the five listeners heard",
    "agreed": "the emotion that three or more of the five listeners heard",
    "scripted": "the emotion of the scene that was played (상황)",
}
LISTENERS = range(1, 6)
TEXT, SCENE, GENDER = "발화문", "상황", "성별"
GENDERS = {"남": "male", "남성": "male", "남자": "male", "여": "female", "여성": "female", "여자": "female"}
AGREED = 3
GAPS = 16 / 14606  # of 4차년도


def _index(root: str, options: IndexOptions) -> pa.Table:
    scripted = options.variant == "scripted"
    columns = {"wav_id", SCENE if scripted else "1번감정"}
    listings = find_listings(root, "aihub_emotion", EXPECTS, columns.issubset, (*UTF8, "cp949"))
    entries = []
    for listing in listings:
        for row in listing.rows:
            heard = _played(row) if scripted else _heard(listing, row, options.variant == "agreed")
            entries.append(Entry(listing.name, listing.cell(row, "wav_id"), {**_speaker(row), **heard}))
    outcomes = (entry.columns["raw_label"] for entry in entries)
    decided = (raw for raw in outcomes if raw is not None and "|" not in raw)
    require_known(decided, options.labels, root)
    return join(root, "aihub_emotion", EXPECTS, entries, options, gaps=GAPS)


def _speaker(row: dict[str, str | None]) -> dict[str, Any]:
    text, gender = row.get(TEXT), row.get(GENDER)
    return {
        "language": "ko",
        "gender": None if gender is None else GENDERS.get(gender, gender.lower()),
        "text_id": None if text is None else hashlib.sha256(text.encode()).hexdigest()[:12],
    }


def _played(row: dict[str, str | None]) -> dict[str, Any]:
    scene = row[SCENE]
    word = None if scene is None else scene.lower()
    return {"raw_label": word, "emotion": None if word is None else emotion_of(word), "intensity": None}


def _heard(listing: Listing, row: dict[str, str | None], agreed: bool) -> dict[str, Any]:
    """What the listeners heard, decided by majority."""
    words, strengths = [], []
    for listener in LISTENERS:
        word = row.get(f"{listener}번감정")
        if word is not None:
            words.append(word.lower())
            strengths.append(row.get(f"{listener}번감정세기"))
    meant = [emotion_of(word) or word for word in words]  # anger and angry are one
    votes = Counter(meant).most_common()
    tied = len(votes) > 1 and votes[0][1] == votes[1][1]
    if not votes or tied or (agreed and votes[0][1] < AGREED):
        return {"raw_label": "|".join(sorted(set(words))) or None, "emotion": None, "intensity": None}
    winner = votes[0][0]
    mine = [i for i, emotion in enumerate(meant) if emotion == winner]
    return {
        "raw_label": min(words[i] for i in mine),
        "emotion": winner,
        "intensity": _middle(listing, [strengths[i] for i in mine]),
    }


def _middle(listing: Listing, strengths: list[str | None]) -> str | None:
    try:
        known = [float(strength) for strength in strengths if strength is not None]
    except ValueError as error:
        raise BadManifest(f"{listing.uri} has a 감정세기 that is no number: {error}.") from error
    return f"{median_low(known):g}" if known else None


ADAPTER = Adapter("aihub_emotion", EXPECTS, _index, VARIANTS)
