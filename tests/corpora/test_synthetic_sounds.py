from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from sklearn.ensemble import RandomForestClassifier

from ser_ray import features
from ser_ray.corpora.manifest import labelled, validate
from ser_ray.corpora.synthetic_sounds import make_sounds
from ser_ray.errors import BadManifest, UsageError


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return make_sounds(str(tmp_path_factory.mktemp("sounds")), classes=10, per_class=8)


def test_every_class_has_its_sounds_which_have_no_emotion(sounds):
    assert set(Counter(validate(sounds)["raw_label"].to_pylist()).values()) == {8}
    assert len(set(sounds["raw_label"].to_pylist())) == 10
    for column in ("emotion", "speaker"):
        assert sounds[column].null_count == 80
    assert set(sounds["corpus"].to_pylist()) == {"synthetic_sounds"}
    info = sf.info(sounds["uri"][0].as_py())
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


def test_a_simple_classifier_tells_the_classes_apart_but_not_by_loudness_and_length(sounds):
    feature, labels = features.get("mfcc_stats"), np.array(sounds["raw_label"].to_pylist())
    waves = [sf.read(uri, dtype="float32")[0] for uri in sounds["uri"].to_pylist()]
    heard = np.stack(feature.batch(waves))
    crude = np.array([(len(wave), np.log(np.std(wave))) for wave in waves])
    train = np.arange(80) % 8 < 6

    def accuracy(X):
        forest = RandomForestClassifier(100, random_state=0).fit(X[train], labels[train])
        return np.mean(forest.predict(X[~train]) == labels[~train])

    assert accuracy(heard) > 0.8
    assert accuracy(crude) < 0.5


def test_the_seed_makes_the_corpus_and_a_larger_one_holds_the_smaller(tmp_path):
    make_sounds(str(tmp_path / "a"), classes=2, per_class=1, seed=3)
    make_sounds(str(tmp_path / "b"), classes=3, per_class=2, seed=3)
    make_sounds(str(tmp_path / "c"), classes=2, per_class=1, seed=4)
    small, large, other = (contents(tmp_path / name) for name in "abc")
    assert len(large) == 6
    assert small.items() <= large.items()
    assert small.keys() == other.keys()
    assert not set(small.values()) & set(other.values())


def test_its_classes_are_learned_where_they_are_asked_for(sounds):
    assert labelled(sounds, "training", "raw_label")["emotion"].equals(sounds["raw_label"])
    with pytest.raises(BadManifest, match=r"Its raw_label has 10 classes.*--label raw_label"):
        labelled(sounds, "training")


@pytest.mark.parametrize(
    ("options", "message"), [({"classes": 13}, "There are 12"), ({"per_class": 0}, "one")]
)
def test_impossible_corpora_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        make_sounds(str(tmp_path), **options)
    assert list(tmp_path.iterdir()) == []
