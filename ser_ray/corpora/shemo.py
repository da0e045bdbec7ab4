"""ShEMO, Sharif emotional speech database (Mohamad Nezami et al. 2019): Persian radio plays, 87 speakers.

3,000 semi-natural utterances, labelled by majority of 12 annotators. Source of the names: README.md of
https://github.com/pariajm/sharif-emotional-speech-dataset.
"""

from __future__ import annotations

import re
from typing import Any

from ser_ray.corpora.adapter import named

EXPECTS = "files named gender(F M) speaker(2) emotion(A F H N S W) number(2), such as female/F01A01.wav"
LETTERS = {
    "A": "anger",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "W": "surprise",
}
_NAME = re.compile(r"(([FM])\d\d)([AFHNSW])\d\d+")


def _parse(stem: str) -> dict[str, Any] | None:
    match = _NAME.fullmatch(stem)
    if not match:
        return None
    speaker, sex, letter = match.groups()
    return {
        "speaker": f"shemo-{speaker}",
        "emotion": LETTERS[letter],
        "raw_label": letter,
        "language": "fa",
        "gender": "male" if sex == "M" else "female",
    }


ADAPTER = named("shemo", EXPECTS, _parse)
