"""EMO-DB, the Berlin database of emotional speech (Burkhardt et al. 2005): German, 10 actors."""

from __future__ import annotations

import re
from typing import Any

from ser_ray.corpora.adapter import named

EXPECTS = "files named speaker(2) text(3) emotion(1) version(1), such as wav/03a01Fa.wav"
LETTERS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
MEN = {"03", "10", "11", "12", "15"}
_NAME = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])")


def _parse(stem: str) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    speaker, text, letter, _ = match.groups()
    return {
        "speaker": f"emodb-{speaker}",
        "emotion": LETTERS[letter],
        "raw_label": letter,
        "language": "de",
        "gender": "male" if speaker in MEN else "female",
        "text_id": text,
    }


ADAPTER = named("emodb", EXPECTS, _parse)
