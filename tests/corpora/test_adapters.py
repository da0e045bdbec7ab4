from collections import Counter

import numpy as np
import pytest
import soundfile as sf

from ser_ray.corpora import CORPORA, IndexOptions, index
from ser_ray.corpora.manifest import validate
from ser_ray.errors import BadManifest, MissingInput, UnknownName, UsageError


def make_files(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, np.zeros(160, np.float32), 16000)
    return str(folder)


@pytest.fixture
def emodb(tmp_path):
    """One utterance of each emotion, by a man and a woman, and what else lies in such a folder."""
    names = ["03a01Wa", "03a01La", "03a02Ea", "08b03Ab", "08b03Fa", "08a07Td", "16b10Na"]
    (tmp_path / "erkennung.txt").write_text("03a01Wa 92.00")
    return make_files(tmp_path, [f"wav/{n}.wav" for n in names] + ["wav/noise.wav", "wav/03a01Xa.wav"])


@pytest.fixture
def ravdess(tmp_path):
    """Two actors x eight emotions, with a song, a stray file and FLAC in place of WAV."""
    speech = [
        f"Actor_{a:02d}/03-01-{e:02d}-01-02-01-{a:02d}.{'wav' if a == 1 else 'flac'}"
        for a in (1, 2)
        for e in range(1, 9)
    ]
    return make_files(tmp_path, [*speech, "Actor_01/03-02-05-01-02-01-01.wav", "Actor_01/._03-01-05.wav"])


def test_emodb_names_say_speaker_gender_sentence_and_emotion(emodb):
    rows = {row["id"]: row for row in index("emodb", emodb).to_pylist()}
    assert {key.removeprefix("emodb/"): row["emotion"] for key, row in rows.items()} == {
        "03a01Wa": "anger",
        "03a01La": "boredom",
        "03a02Ea": "disgust",
        "08b03Ab": "fear",
        "08b03Fa": "happiness",
        "08a07Td": "sadness",
        "16b10Na": "neutral",
    }
    man, woman = rows["emodb/03a01Wa"], rows["emodb/08b03Ab"]
    assert (man["speaker"], man["gender"], man["text_id"], man["raw_label"]) == (
        "emodb-03",
        "male",
        "a01",
        "W",
    )
    assert (woman["speaker"], woman["gender"], woman["text_id"], woman["raw_label"]) == (
        "emodb-08",
        "female",
        "b03",
        "A",
    )
    assert {(row["corpus"], row["language"]) for row in rows.values()} == {("emodb", "de")}
    assert man["uri"] == f"{emodb}/wav/03a01Wa.wav"


def test_ravdess_names_say_actor_gender_statement_and_emotion(ravdess):
    table = index("ravdess", ravdess)
    assert validate(table).equals(table)
    rows = table.to_pylist()
    assert [row["emotion"] for row in rows[:8]] == [
        "neutral",
        "calm",
        "happiness",
        "sadness",
        "anger",
        "fear",
        "disgust",
        "surprise",
    ]
    assert Counter(row["speaker"] for row in rows) == {"ravdess-01": 8, "ravdess-02": 8}
    assert {row["speaker"]: row["gender"] for row in rows} == {"ravdess-01": "male", "ravdess-02": "female"}
    assert {(row["text_id"], row["language"], row["corpus"]) for row in rows} == {("02", "en", "ravdess")}
    assert rows[-1]["id"] == "ravdess/03-01-08-01-02-01-02"
    assert rows[-1]["uri"].endswith("Actor_02/03-01-08-01-02-01-02.flac")


def test_the_users_labels_rename_and_drop_emotions_of_any_corpus(emodb):
    options = IndexOptions(labels={"A": "-", "F": "excitement"})
    emotions = index("emodb", emodb, options)["emotion"].to_pylist()
    assert Counter(emotions) == Counter(["anger", "boredom", "disgust", "excitement", "sadness", "neutral"])
    with pytest.raises(UsageError, match="no emotion 'exitement'"):
        index("emodb", emodb, IndexOptions(labels={"F": "exitement"}))
    with pytest.raises(BadManifest, match="left out by --label"):
        index("emodb", emodb, IndexOptions(labels=dict.fromkeys("WLEAFTN", "-")))


def test_a_corpus_unpacked_twice_is_refused_with_both_places(tmp_path):
    name = "Actor_01/03-01-05-01-02-01-01.wav"
    root = make_files(tmp_path, [name, f"copy/{name}"])
    with pytest.raises(BadManifest, match=r"03-01-05-01-02-01-01 lies twice in .*Actor_01.*copy/Actor_01"):
        index("ravdess", root)


@pytest.mark.parametrize("corpus", ["emodb", "ravdess"])
def test_a_wrong_folder_is_answered_with_what_was_expected(corpus, tmp_path):
    make_files(tmp_path, ["a.wav", "b/c.flac"])
    with pytest.raises(
        MissingInput, match=rf"no {corpus} file in .* \(2 other audio files\)\. Expected: .*such as"
    ):
        index(corpus, str(tmp_path))
    with pytest.raises(MissingInput, match=f"{corpus} folder not found"):
        index(corpus, str(tmp_path / "no"))


def test_an_unknown_corpus_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="emodb"):
        index("emo-db", ".")


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_every_adapter_goes_by_its_own_name_and_says_what_it_expects(name):
    assert CORPORA[name].name == name
    assert len(CORPORA[name].expects) > 20


def test_the_whole_emodb_is_535_utterances(real_corpora):
    table = index("emodb", str(real_corpora / "emodb"))
    assert Counter(table["emotion"].to_pylist()) == {
        "anger": 127,
        "boredom": 81,
        "fear": 69,
        "happiness": 71,
        "sadness": 62,
        "disgust": 46,
        "neutral": 79,
    }
    speakers = {(row["speaker"], row["gender"]) for row in table.to_pylist()}
    assert len(speakers) == 10
    assert Counter(gender for _, gender in speakers) == {"male": 5, "female": 5}
    assert len(set(table["text_id"].to_pylist())) == 10
    without_fear = index("emodb", str(real_corpora / "emodb"), IndexOptions(labels={"A": "-"}))
    assert len(without_fear) == 466


def test_the_whole_ravdess_is_1440_utterances(real_corpora):
    table = index("ravdess", str(real_corpora / "ravdess"))
    counts = Counter(table["emotion"].to_pylist())
    assert counts.pop("neutral") == 96
    assert len(counts) == 7
    assert set(counts.values()) == {192}
    assert set(Counter(table["speaker"].to_pylist()).values()) == {60}
    assert len(set(table["speaker"].to_pylist())) == 24
