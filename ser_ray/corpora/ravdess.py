"""RAVDESS, speech part (Livingstone & Russo 2018): English, 24 actors, 8 emotions."""

from __future__ import annotations

import re
from typing import Any

from ser_ray.corpora.adapter import named

EXPECTS = (
    "audio-only speech files named 03-01-emotion-intensity-statement-repetition-actor, "
    "such as Actor_01/03-01-05-01-02-01-01.wav"
)
CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
_NAME = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")


def _parse(stem: str) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    emotion, intensity, statement, _, actor = match.groups()
    return {
        "speaker": f"ravdess-{actor}",
        "emotion": CODES[emotion],
        "raw_label": emotion,
        "language": "en",
        "gender": "male" if int(actor) % 2 else "female",
        "text_id": statement,
        "intensity": "normal" if intensity == "01" else "strong",
    }


ADAPTER = named("ravdess", EXPECTS, _parse)
