"""ESD, the emotional speech dataset (Zhou et al. 2022): 10 Mandarin and 10 English speakers, 5 emotions.

Each speaker says 350 sentences in each emotion, 35,000 utterances in all; the sentences are the same for
all speakers of a language. The number of a file says the sentence: 350 each of neutral, angry, happy, sad
and surprise, in this order. The folder says the emotion; where files lie without one, the number does.
Transcripts (0001/0001.txt, in four encodings) add nothing to that and are not read.

Sources: ReadMe.txt of the corpus, https://github.com/HLTSingapore/Emotional-Speech-Data.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from ser_ray.corpora.adapter import Adapter, IndexOptions, index_by_path

EXPECTS = "files named speaker(4)_number(6) in folders of emotions, such as 0011/Angry/train/0011_000351.wav"
EMOTIONS = {
    "Neutral": "neutral",
    "Angry": "anger",
    "Happy": "happiness",
    "Sad": "sadness",
    "Surprise": "surprise",
}
PARTS = ("train", "evaluation", "test")
SENTENCES = 350
MANDARIN = range(1, 11)
SPEAKERS = range(1, 21)
MEN = {4, 5, 6, 8, 10, 11, 12, 13, 14, 20}
_NAME = re.compile(r"(\d{4})_(\d{6})")


def _parse(path: str) -> tuple[str, dict[str, Any]] | None:
    *above, stem = path.split("/")
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    speaker, number = int(match[1]), int(match[2]) - 1
    if speaker not in SPEAKERS or number not in range(len(EMOTIONS) * SENTENCES):
        return None
    language = "zh" if speaker in MANDARIN else "en"
    folders = [folder.capitalize() for folder in reversed(above)]
    by_number = list(EMOTIONS)[number // SENTENCES]
    raw_label = next((folder for folder in folders if folder in EMOTIONS), by_number)
    return stem, {
        "speaker": f"esd-{match[1]}",
        "emotion": EMOTIONS[raw_label],
        "raw_label": raw_label,
        "language": language,
        "gender": "male" if speaker in MEN else "female",
        "text_id": f"{language}-{number % SENTENCES + 1:03d}",
        "split": next((folder.lower() for folder in folders if folder.lower() in PARTS), None),
    }


def _index(root: str, options: IndexOptions) -> pa.Table:
    return index_by_path(root, "esd", EXPECTS, _parse, options)


ADAPTER = Adapter("esd", EXPECTS, _index)
