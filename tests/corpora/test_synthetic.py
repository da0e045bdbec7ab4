from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from ser_ray.corpora.manifest import validate
from ser_ray.corpora.synthetic import make_corpus
from ser_ray.errors import UnknownName, UsageError


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_every_speaker_says_every_sentence_in_every_emotion(tmp_path):
    table = make_corpus(str(tmp_path), speakers=3, emotions=("anger", "sadness"), per_emotion=2)
    rows = validate(table).to_pylist()
    assert len(rows) == 12
    said = {(row["speaker"], row["emotion"], row["text_id"]) for row in rows}
    sentences = {row["text_id"] for row in rows}
    assert len(sentences) == 2
    assert said == {
        (s, e, t)
        for s in table["speaker"].unique().to_pylist()
        for e in ("anger", "sadness")
        for t in sentences
    }
    assert {row["speaker"]: row["gender"] for row in rows} == {
        "speaker01": "female",
        "speaker02": "male",
        "speaker03": "female",
    }
    assert {row["corpus"] for row in rows} == {"synthetic"}


def test_files_are_16_khz_pcm_and_hold_sound(tmp_path):
    for row in make_corpus(str(tmp_path), speakers=1, per_emotion=1).to_pylist():
        info = sf.info(row["uri"])
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert 1.0 < info.duration < 6.0
        assert 0.01 < np.abs(sf.read(row["uri"])[0]).max() < 1.0


def test_the_seed_makes_the_corpus_and_a_larger_one_holds_the_smaller(tmp_path):
    make_corpus(str(tmp_path / "a"), speakers=1, emotions=("anger",), per_emotion=1, seed=3)
    make_corpus(str(tmp_path / "b"), speakers=2, emotions=("fear", "anger"), per_emotion=2, seed=3)
    make_corpus(str(tmp_path / "c"), speakers=1, emotions=("anger",), per_emotion=1, seed=4)
    small, large, other = (contents(tmp_path / name) for name in "abc")
    assert len(large) == 8
    assert small.items() <= large.items()
    assert small.keys() == other.keys()
    assert small != other


def test_impossible_corpora_are_refused(tmp_path):
    with pytest.raises(UsageError, match="at least one speaker"):
        make_corpus(str(tmp_path), speakers=0)
    with pytest.raises(UnknownName, match="happiness"):
        make_corpus(str(tmp_path), emotions=("hapiness",))
    assert list(tmp_path.iterdir()) == []
