"""TESS, Toronto emotional speech set (Pichora-Fuller & Dupuis 2010): English, 2 women.

2,800 utterances "Say the word ...": 200 words in seven emotions by an older and a younger actress.
"""

from __future__ import annotations

import re
from typing import Any

from ser_ray.corpora.adapter import named

EXPECTS = "files named speaker(OAF YAF)_word_emotion, such as OAF_angry/OAF_back_angry.wav"
WORDS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",  # pleasant surprise
    "sad": "sadness",
}
# OA: the published set has one file that lacks a letter, OAF_neutral/OA_bite_neutral.wav.
_NAME = re.compile(rf"(OAF?|YAF)_([^_]+)_({'|'.join(WORDS)})", re.IGNORECASE)


def _parse(stem: str) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    speaker, word, emotion = match[1].upper(), match[2].lower(), match[3].lower()
    return {
        "speaker": "tess-YAF" if speaker == "YAF" else "tess-OAF",
        "emotion": WORDS[emotion],
        "raw_label": emotion,
        "language": "en",
        "gender": "female",
        "text_id": word,
    }


ADAPTER = named("tess", EXPECTS, _parse)
