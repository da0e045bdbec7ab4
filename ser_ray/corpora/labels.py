"""The vocabulary of emotions, and the way from a corpus's own words to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

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
GROUPINGS: dict[str, dict[str, tuple[str, ...]]] = {  # by the circumplex of Russell (1980)
    "valence": {
        "negative": ("anger", "contempt", "disgust", "fear", "frustration", "sadness"),
        "neutral": ("boredom", "calm", "neutral", "surprise"),
        "positive": ("excitement", "happiness"),
    },
    "arousal": {
        "high": ("anger", "excitement", "fear", "frustration", "happiness", "surprise"),
        "medium": ("contempt", "disgust", "neutral"),
        "low": ("boredom", "calm", "sadness"),
    },
}
VALENCE = "valence"
NEGATIVE = frozenset(GROUPINGS[VALENCE]["negative"])
Groups = Mapping[str, Sequence[str]]  # labels by the group that they count as

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


def group_labels(labels: Sequence[str], spec: str = VALENCE) -> dict[str, tuple[str, ...]]:
    """The groups of some labels.

    Args:
        labels: what is to be grouped.
        spec: a name of `GROUPINGS`, of which the groups of these labels are taken, or all groups in the form
            `negative=anger+sadness,rest=calm+neutral`.

    Raises:
        UsageError: the text is malformed, or a label is not in exactly one group.
    """
    if spec in GROUPINGS:
        chosen = {name: tuple(m for m in labels if m in members) for name, members in GROUPINGS[spec].items()}
        groups = {name: members for name, members in chosen.items() if members}
    else:
        parts = [text.partition("=") for text in spec.split(",")]
        if not all(name and members for name, _, members in parts):
            raise UsageError(
                f"--groups takes {' or '.join(GROUPINGS)}, or NAME=LABEL+LABEL,NAME=LABEL, not {spec!r}."
            )
        if twice := _twice(name for name, _, _ in parts):
            raise UsageError(f"--groups names {twice} twice. Put its labels together: {twice}=LABEL+LABEL.")
        groups = {name: tuple(members.split("+")) for name, _, members in parts}
    check_groups(groups, labels)
    return groups


def check_groups(groups: Groups, labels: Sequence[str]) -> None:
    """Make sure that each label is in exactly one group.

    Raises:
        UsageError: it is not.
    """
    grouped = [label for members in groups.values() for label in members]
    if twice := _twice(grouped):
        raise UsageError(f"{twice} is twice in the groups. Each label belongs to one group.")
    if strange := [label for label in grouped if label not in labels]:
        raise UsageError(f"no label {strange[0]!r} to group. The labels are: {', '.join(labels)}.")
    if left := [label for label in labels if label not in grouped]:
        raise UsageError(f"{', '.join(left[:5])} in no group. Each label belongs to one group.")


def _twice(names: Iterable[str]) -> str | None:
    """The first name that is there more than once."""
    return next((name for name, times in Counter(names).items() if times > 1), None)
