"""The vocabulary of emotions, and the way from a corpus's own words to it."""

from __future__ import annotations

from collections.abc import Mapping

from ser_ray.errors import UsageError

EMOTIONS = (
    "anger",
    "boredom",
    "calm",
    "contempt",
    "disgust",
    "excitement",
    "fear",
    "frustration",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
NEGATIVE = frozenset({"anger", "contempt", "disgust", "fear", "frustration", "sadness"})

DROP = "-"  # the target of a label whose utterances are to be left out

_WORDS = {
    "anger": "angry ang a_anger rage irritated irritation 분노 화남",
    "boredom": "bored 지루함",
    "calm": "calmness relaxed",
    "contempt": "contemptuous",
    "disgust": "disgusted dis 혐오",
    "excitement": "excited exc",
    "fear": "fearful afraid anxiety anxious fea anxiety/fear 공포 두려움",
    "frustration": "frustrated fru",
    "happiness": "happy joy joyful hap 기쁨 행복",
    "neutral": "neu neutrality normal 중립",
    "sadness": "sad 슬픔",
    "surprise": "surprised pleasant_surprise sur 놀람",
}
SYNONYMS: dict[str, str] = {
    word: emotion for emotion, words in _WORDS.items() for word in (emotion, *words.split())
}


def emotion_of(raw: str, labels: Mapping[str, str] | None = None) -> str | None:
    """The emotion that a corpus's own label means, None where nothing is known of it.

    Args:
        raw: the label as the corpus writes it.
        labels: the user's own mapping, which goes before ours; a target `-` drops the utterance.
    """
    if labels and raw in labels:
        return labels[raw]
    return SYNONYMS.get(raw.strip().lower().replace(" ", "_"))


def check_targets(labels: Mapping[str, str]) -> None:
    """Make sure that a user's own mapping leads to emotions that we know, or to `-`.

    Raises:
        UsageError: it does not.
    """
    for raw, emotion in labels.items():
        if emotion not in (DROP, *EMOTIONS):
            raise UsageError(
                f"--label {raw}={emotion}: no emotion {emotion!r}. Known: {', '.join(EMOTIONS)}, "
                f"and {DROP} to leave it out."
            )
