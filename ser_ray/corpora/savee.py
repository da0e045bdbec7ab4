"""SAVEE, Surrey Audio-Visual Expressed Emotion (Haq & Jackson 2009): British English, 4 men.

480 utterances: 15 sentences in each of six emotions and 30 in neutral, by each speaker.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from ser_ray.corpora.adapter import Adapter, IndexOptions, index_by_path
from ser_ray.corpora.labels import DROP

EXPECTS = (
    "files named letters(a d f h n sa su) number(2) in folders DC, JE, JK and KL, such as "
    "AudioData/DC/sa01.wav, or all in one folder, such as DC_sa01.wav"
)
LETTERS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
VARIANTS = {
    "7class": "all, 480 utterances",
    "4class": "anger, happiness, neutral and sadness, 300 utterances",
}
FOUR = {"anger", "happiness", "neutral", "sadness"}

# The corpus's page: each emotion has 3 common, 2 specific and 10 generic sentences, and "the 3 common
# and 2 x 6 = 12 emotion-specific sentences were recorded as neutral to give 30 neutral sentences". So
# n01-n15 are neutral's own, n16-n30 those fifteen. Their order is not published. This one fits the
# durations of the files best of all 720 orders of the emotions, and it is the order in which MEAD
# (Wang et al. 2020) lists the same sentences.
_AS_NEUTRAL = [f"common-{i:02d}" for i in (1, 2, 3)] + [
    f"{emotion}-{i:02d}"
    for emotion in ("anger", "disgust", "fear", "surprise", "sadness", "happiness")
    for i in (4, 5)
]
_PATH = re.compile(r"(?:.*/)?(DC|JE|JK|KL)[/_-]?([adfhn]|sa|su)(\d\d)", re.IGNORECASE)


def _text(emotion: str, number: int) -> str:
    if emotion == "neutral" and number > 15:
        return _AS_NEUTRAL[number - 16]
    return f"{'common' if number <= 3 else emotion}-{number:02d}"


def _parse(path: str, kept: set[str]) -> tuple[str, dict[str, Any]] | None:
    match = _PATH.fullmatch(path)
    if not match:
        return None
    speaker, letters, digits = match[1].upper(), match[2].lower(), match[3]
    emotion = LETTERS[letters]
    if not 1 <= int(digits) <= (30 if emotion == "neutral" else 15):
        return None
    return f"{speaker}_{letters}{digits}", {
        "speaker": f"savee-{speaker}",
        "emotion": emotion if emotion in kept else DROP,
        "raw_label": letters,
        "language": "en",
        "gender": "male",
        "text_id": _text(emotion, int(digits)),
    }


def _index(root: str, options: IndexOptions) -> pa.Table:
    kept = FOUR if options.variant == "4class" else set(LETTERS.values())
    return index_by_path(root, "savee", EXPECTS, lambda path: _parse(path, kept), options)


ADAPTER = Adapter("savee", EXPECTS, _index, VARIANTS)
