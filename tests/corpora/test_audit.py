from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import soundfile as sf

from ser_ray.corpora import index
from ser_ray.corpora.audit import associate, audio_hashes, audit, conclude, cross
from ser_ray.corpora.manifest import from_rows
from ser_ray.corpora.splits import Fold, split


def table(rows):
    """Manifest of (speaker, text, emotion, intensity) rows."""
    names = ("speaker", "text_id", "emotion", "intensity")
    return from_rows(
        {"id": str(k), "uri": f"/{k}.wav", **dict(zip(names, row, strict=True))} for k, row in enumerate(rows)
    )


def fold(train, test):
    return [Fold("f", np.array(train), np.array(test))]


ROWS = [
    ("a", "t1", "anger", "normal"),  # 0 trains
    ("a", "t2", "fear", "normal"),  # 1 trains
    ("b", "t1", "fear", "normal"),  # 2 trains
    ("a", "t1", "anger", "normal"),  # 3: twin of 0
    ("a", "t1", "anger", "strong"),  # 4: as 0, but stronger
    ("c", "t2", "fear", "normal"),  # 5: another speaker
    ("c", "t3", "anger", "normal"),  # 6: another sentence too
]


def test_each_kind_of_leak_is_counted_among_the_tested():
    found = audit(table(ROWS), fold([0, 1, 2], [3, 4, 5, 6]), "p", [None] * 7).crossings
    assert {kind: (c.tested, c.crossing, c.share) for kind, c in found.items()} == {
        "speaker": (4, 2, 0.5),
        "session": (0, 0, None),
        "sentence": (4, 3, 0.75),
        "twin": (4, 1, 0.25),
        "identical": (0, 0, None),
    }


def test_identical_audio_is_a_twin_whatever_its_labels_say():
    sounds = ["x", "y", "z", "w", "v", "y", "u"]
    found = audit(table(ROWS), fold([0, 1, 2], [3, 4, 5, 6]), "p", sounds).crossings
    assert (found["identical"].crossing, found["twin"].crossing) == (1, 2)


def test_the_verdict_says_in_one_line_what_crosses():
    result = audit(table(ROWS), fold([0, 1, 2], [3, 4, 5, 6]), "p", ["x", "y", "z", "w", "v", "y", "u"])
    assert result.verdict == (
        "NOT speaker-independent: 50% of test utterances are by speakers heard in training; "
        "50% have a twin in training; 75% say a sentence heard in training; "
        "1 sound exactly like a training utterance"
    )
    assert result.by_emotion == {"anger": 4, "fear": 3}
    clean = audit(table(ROWS), fold([0, 1, 2], [6]), "p", list("abcdefg"))
    assert clean.verdict == "speaker-independent"


def test_one_utterance_without_a_speaker_leaves_the_verdict_open_unless_others_cross():
    rows = [(None, "t9", "anger", None), *ROWS[1:]]
    assert conclude(audit(table(rows), fold([0, 1], [5]), "p", [None] * 7).crossings).startswith(
        "speakers not known"
    )
    assert audit(table(rows), fold([0, 1], [3]), "p", [None] * 7).verdict.startswith(
        "NOT speaker-independent: 100%"
    )


def test_every_fold_is_held_against_its_own_training_side():
    folds = [*fold([0], [1]), *fold([1], [0])]
    assert cross("speaker", ["a", "a"], folds).crossing == 2
    assert cross("speaker", ["a", "b"], folds).crossing == 0


def test_speakers_with_one_emotion_each_give_everything_away():
    found = associate(["a"] * 20 + ["b"] * 20, ["anger"] * 20 + ["fear"] * 20)
    assert found.cramers_v == pytest.approx(1.0, abs=0.02)
    assert (found.guessed, found.chance) == (1.0, 0.5)


def test_speakers_with_equal_shares_give_nothing_away():
    found = associate(["a", "a", "b", "b"] * 10, ["anger", "fear"] * 20)
    assert (found.cramers_v, found.guessed, found.chance) == (0.0, 0.5, 0.5)


def test_association_is_the_bias_corrected_figure_of_a_known_table():
    """chi2 = 7.2 over 40: phi2 = .18, minus 1 / 39; both sides shrink to 2 - 1 / 39."""
    speakers = ["a"] * 20 + ["b"] * 20
    emotions = ["anger"] * 14 + ["fear"] * 6 + ["anger"] * 5 + ["fear"] * 15
    chi2 = 40 * (14 * 15 - 6 * 5) ** 2 / (20 * 20 * 19 * 21)
    wanted = ((chi2 / 40 - 1 / 39) / (1 - 1 / 39)) ** 0.5
    found = associate(speakers, emotions)
    assert found.cramers_v == pytest.approx(wanted, abs=1e-9)
    assert (found.guessed, found.chance) == (29 / 40, 21 / 40)


def test_without_speakers_there_is_no_association():
    assert associate([None, None], ["anger", "fear"]) is None


def write(path: Path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.array(values, np.float32), 8000)
    return str(path)


def test_audio_hashes_are_equal_for_equal_bytes_of_the_same_stretch_only(tmp_path):
    same = [write(tmp_path / folder / "x.wav", [0.1, 0.2]) for folder in ("a", "b")]
    other, longer = write(tmp_path / "y.wav", [0.1, 0.3]), write(tmp_path / "z.wav", [0.1, 0.2, 0.3])
    uris = [*same, other, longer, same[0], str(tmp_path / "gone.wav")]
    starts = [None, None, None, None, 0.5, None]
    rows = [
        {"id": str(k), "uri": uri, "start_s": start}
        for k, (uri, start) in enumerate(zip(uris, starts, strict=True))
    ]
    found = audio_hashes(from_rows(rows))
    assert found[0] == found[1]
    assert len({*found[1:5]}) == 4
    assert found[5] is None


def test_ravdess_random70_has_a_twin_for_about_seven_in_ten(real_corpora):
    """Each (actor, sentence, emotion, intensity) was recorded twice: 70 % of the others train."""
    corpus = index("ravdess", str(real_corpora / "ravdess"))
    (pair,) = [n for n in Counter(audio_hashes(corpus)).values() if n > 1]
    assert pair == 2
    five = corpus.filter(
        pc.is_in(corpus["emotion"], value_set=pc.unique(corpus["emotion"]).take([1, 2, 3, 4, 5]))
    )
    assert set(five["emotion"].to_pylist()) == {"calm", "happiness", "sadness", "anger", "fear"}
    assert len(five) == 960
    sounds = audio_hashes(five)

    def twins(protocol, seed):
        folds = split(protocol, five, seed=seed)
        return audit(five, folds, protocol, sounds).crossings["twin"].share

    assert np.mean([twins("random70", seed) for seed in range(10)]) == pytest.approx(0.7, abs=0.02)
    assert twins("twin_safe", 0) == twins("speaker", 0) == 0
