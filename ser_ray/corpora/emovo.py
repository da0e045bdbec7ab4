"""EMOVO (Costantini et al. 2014): Italian, 6 actors, 14 sentences in seven emotions, 588 utterances."""

from __future__ import annotations

import re
from typing import Any

from ser_ray.corpora.adapter import named

EXPECTS = "files named emotion(3)-speaker(2)-sentence(2), such as f1/dis-f1-b1.wav"
WORDS = {
    "dis": "disgust",
    "gio": "happiness",  # gioia
    "neu": "neutral",
    "pau": "fear",  # paura
    "rab": "anger",  # rabbia
    "sor": "surprise",  # sorpresa
    "tri": "sadness",  # tristezza
}
_NAME = re.compile(rf"({'|'.join(WORDS)})-([mf][123])-([bdln]\d)", re.IGNORECASE)


def _parse(stem: str) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    emotion, speaker, sentence = match[1].lower(), match[2].lower(), match[3].lower()
    return {
        "speaker": f"emovo-{speaker}",
        "emotion": WORDS[emotion],
        "raw_label": emotion,
        "language": "it",
        "gender": "male" if speaker[0] == "m" else "female",
        "text_id": sentence,
    }


ADAPTER = named("emovo", EXPECTS, _parse)
