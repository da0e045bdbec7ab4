"""URDU (Latif et al. 2018): Urdu talk shows, spontaneous, 400 utterances in four emotions.

The paper counts 38 speakers; the names of the 400 published files tell 29 apart (18 men, 11 women).
"""

from __future__ import annotations

import re
from typing import Any

from ser_ray.corpora.adapter import named

EXPECTS = "files named speaker_file_emotion and number, such as Angry/SM1_F1_A01.wav"
LETTERS = {"A": "Angry", "H": "Happy", "N": "Neutral", "S": "Sad"}  # as the corpus names its folders
EMOTIONS = {"Angry": "anger", "Happy": "happiness", "Neutral": "neutral", "Sad": "sadness"}
_NAME = re.compile(r"(S([MF])\d+)_F\d+_([AHNS])\d+")


def _parse(stem: str) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    speaker, sex, letter = match.groups()
    return {
        "speaker": f"urdu-{speaker}",
        "emotion": EMOTIONS[LETTERS[letter]],
        "raw_label": LETTERS[letter],
        "language": "ur",
        "gender": "male" if sex == "M" else "female",
    }


ADAPTER = named("urdu", EXPECTS, _parse)
