"""Labels and the groups that they count as."""

import pytest

from ser_ray.corpora.labels import EMOTIONS, GROUPINGS, NEGATIVE, check_groups, group_labels
from ser_ray.errors import UsageError

LABELS = ("anger", "calm", "happiness", "sadness")


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_emotion_is_in_one_group(name: str) -> None:
    check_groups(GROUPINGS[name], EMOTIONS)
    assert group_labels(EMOTIONS, name) == GROUPINGS[name]


def test_groups_hold_the_labels_that_are_there() -> None:
    assert group_labels(LABELS) == {
        "negative": ("anger", "sadness"), "neutral": ("calm",), "positive": ("happiness",)
    }  # fmt: skip
    assert group_labels(LABELS, "arousal") == {"high": ("anger", "happiness"), "low": ("calm", "sadness")}
    assert set(group_labels(EMOTIONS)["negative"]) == NEGATIVE
    own = group_labels(LABELS, "loud=anger+happiness,soft=calm+sadness")
    assert own == {"loud": ("anger", "happiness"), "soft": ("calm", "sadness")}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("valance", "valence or arousal"),
        ("a=", "valence or arousal"),
        ("a=anger+calm,a=happiness+sadness", "names a twice"),
        ("a=anger+calm,b=calm+happiness+sadness", "calm is twice"),
        ("a=anger+calm,b=happiness", "sadness in no group"),
        ("a=anger+calm+rage,b=happiness+sadness", "no label 'rage'.*anger, calm, happiness, sadness"),
    ],
)
def test_what_are_no_groups_is_refused_with_the_mend(spec: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        group_labels(LABELS, spec)
