from collections import Counter

import numpy as np
import pytest
import soundfile as sf

from ser_ray.corpora import IndexOptions, index
from ser_ray.corpora.manifest import SCHEMA, validate
from ser_ray.errors import BadManifest, MissingInput, UsageError

# Dialogue -> utterances of it: turn, label, words.
DIALOGUES = {
    "Ses01F_impro01": [
        ("F000", "neu", "Excuse me."),
        ("M000", "xxx", "Do you have your forms?"),
        ("F001", "exc", "[LAUGHTER] Excuse me!"),
        ("M001", "oth", "[LAUGHTER]"),
        ("MXX0", "fru", "It's   Mr. O'Neil, 3 times\x85 already."),
    ],
    "Ses01M_script01_1b": [("F000", "hap", "Well."), ("M000", "ang", "No."), ("M001", "dis", "Ugh.")],
    "Ses05M_impro05a": [("F010", "sad", "I know."), ("M011", "fea", "Help!"), ("M012", "sur", "Really?")],
}
EVALUATORS = (
    "C-E2:\tNeutral;\t()\nC-E4:\tAnger; Other;\t(caf\xe9 [1.5 - 2.5]\tSes01F_impro09_F000\tang\t[1, 1, 1])\n"
    "C-F1:\tNeutral;\t(curious)\nA-E3:\tval 3; act 2; dom  2;\t()\nA-E4:\tval 2; act 3; dom ;\t(mad)\n"
)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1"))


def make_release(root, dialogues=DIALOGUES):
    """The part of the full release that matters, with the macOS files and folders of single evaluators."""
    for dialogue, utterances in dialogues.items():
        session = root / f"Session{dialogue[4]}"
        summary = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\r\n\r\n"
        spoken = ""
        for number, (turn, label, words) in enumerate(utterances):
            name = f"{dialogue}_{turn}"
            summary += f"[{number}.2901 - {number + 1}.2357]\t{name}\t{label}\t[2.5000, 2.5000, 2.5000]\r\n"
            summary += EVALUATORS
            spoken += f"{name} [{number:03d}.2901-{number + 1:03d}.2357]: {words}\nM: untimed aside\n"
            wav = session / "sentences/wav" / dialogue / f"{name}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            sf.write(wav, np.zeros(160, np.float32), 16000)
        write(session / f"dialog/EmoEvaluation/{dialogue}.txt", summary)
        write(session / f"dialog/EmoEvaluation/._{dialogue}.txt", "\0\5\26\7Mac OS X")
        single = summary.replace("neu", "ang")
        write(session / f"dialog/EmoEvaluation/Categorical/{dialogue}_e2_cat.txt", single)
        write(session / f"dialog/transcriptions/{dialogue}.txt", spoken)
        write(session / f"sentences/wav/{dialogue}/._{dialogue}_F000.wav", "\0\5\26\7")
        (session / "dialog/wav").mkdir(exist_ok=True)
        sf.write(session / f"dialog/wav/{dialogue}.wav", np.zeros((160, 2), np.float32), 16000)
    write(root / "README.txt", "IEMOCAP")
    return str(root)


@pytest.fixture
def release(tmp_path):
    return make_release(tmp_path / "IEMOCAP_full_release")


def labels_of(root, variant=None, **labels):
    table = index("iemocap", root, IndexOptions(variant=variant, labels=labels))
    assert validate(table).equals(table)
    return {row["id"].removeprefix("iemocap/"): row["emotion"] for row in table.to_pylist()}


FOUR = {
    "Ses01F_impro01_F000": "neutral",
    "Ses01F_impro01_F001": "happiness",
    "Ses01M_script01_1b_F000": "happiness",
    "Ses01M_script01_1b_M000": "anger",
    "Ses05M_impro05a_F010": "sadness",
}


def test_the_default_is_four_classes_with_excitement_as_happiness(release):
    assert labels_of(release) == FOUR
    assert labels_of(release, "4class") == FOUR


def test_a_row_says_who_speaks_not_who_wears_the_markers(release):
    rows = {row["id"]: row for row in index("iemocap", release).to_pylist()}
    assert rows["iemocap/Ses01M_script01_1b_F000"] == dict.fromkeys(SCHEMA.names) | {
        "id": "iemocap/Ses01M_script01_1b_F000",
        "uri": f"{release}/Session1/sentences/wav/Ses01M_script01_1b/Ses01M_script01_1b_F000.wav",
        "corpus": "iemocap",
        "speaker": "iemocap-Ses01F",
        "emotion": "happiness",
        "raw_label": "hap",
        "language": "en",
        "gender": "female",
        "session": "Ses01",
        "text_id": "well",
    }
    assert [(row["speaker"], row["gender"], row["session"]) for row in rows.values()] == [
        ("iemocap-Ses01F", "female", "Ses01"),
        ("iemocap-Ses01F", "female", "Ses01"),
        ("iemocap-Ses01F", "female", "Ses01"),
        ("iemocap-Ses01M", "male", "Ses01"),
        ("iemocap-Ses05F", "female", "Ses05"),
    ]
    assert rows["iemocap/Ses01F_impro01_F001"]["raw_label"] == "exc"


@pytest.mark.parametrize(
    ("variant", "counts"),
    [
        ("4class_improvised", {"neutral": 1, "happiness": 1, "sadness": 1}),
        ("4class_scripted", {"happiness": 1, "anger": 1}),
        ("4class_no_excitement", {"neutral": 1, "happiness": 1, "anger": 1, "sadness": 1}),
        ("4class_no_excitement_improvised", {"neutral": 1, "sadness": 1}),
        (
            "6class",
            {"neutral": 1, "excitement": 1, "frustration": 1, "happiness": 1, "anger": 1, "sadness": 1},
        ),
        (
            "all",
            {"neutral": 1, "excitement": 1, "frustration": 1, "happiness": 1, "anger": 1, "sadness": 1}
            | {"disgust": 1, "fear": 1, "surprise": 1},
        ),
    ],
)
def test_each_variant_keeps_its_labels_and_dialogues(variant, counts, release):
    assert Counter(labels_of(release, variant).values()) == counts


def test_the_users_labels_go_before_those_of_the_variant(release):
    labels = labels_of(release, "4class", fru="anger", exc="-", xxx="neutral")
    assert labels == {
        "Ses01F_impro01_F000": "neutral",
        "Ses01F_impro01_M000": "neutral",
        "Ses01F_impro01_MXX0": "anger",
        "Ses01M_script01_1b_F000": "happiness",
        "Ses01M_script01_1b_M000": "anger",
        "Ses05M_impro05a_F010": "sadness",
    }
    with pytest.raises(UsageError, match=r"nothing in .* is labelled 'happy', but neu \(1\)"):
        labels_of(release, happy="-")
    with pytest.raises(UsageError, match=r"no such variant\. Known: 4class \(.*5,531.*; all \("):
        labels_of(release, "5class")
    with pytest.raises(BadManifest, match="left out by --label or --variant"):
        labels_of(f"{release}/Session5", "4class_scripted")


def test_the_words_of_the_transcription_are_the_text_id(release):
    table = index("iemocap", release, IndexOptions(variant="all", labels={"oth": "neutral"}))
    texts = {row["id"].removeprefix("iemocap/"): row["text_id"] for row in table.to_pylist()}
    assert texts["Ses01F_impro01_F000"] == texts["Ses01F_impro01_F001"] == "excuse me"
    assert texts["Ses01F_impro01_M001"] == "laughter"
    assert texts["Ses01F_impro01_MXX0"] == "it's mr o'neil 3 times already"


def test_without_transcriptions_the_text_id_is_null(tmp_path):
    root = make_release(tmp_path)
    for path in tmp_path.glob("Session*/dialog/transcriptions/*.txt"):
        path.unlink()
    assert set(index("iemocap", root)["text_id"].to_pylist()) == {None}


def test_the_folder_above_the_release_one_session_and_flac_will_do(release, tmp_path):
    assert labels_of(str(tmp_path)) == FOUR
    assert labels_of(f"{release}/Session5") == {"Ses05M_impro05a_F010": "sadness"}
    wav = tmp_path / "IEMOCAP_full_release/Session5/sentences/wav/Ses05M_impro05a/Ses05M_impro05a_F010.wav"
    wav.rename(wav.with_suffix(".FLAC"))
    assert labels_of(f"{release}/Session5") == {"Ses05M_impro05a_F010": "sadness"}


def test_labelled_utterances_without_audio_are_counted_and_named(release, tmp_path):
    for path in tmp_path.rglob("Ses01F_impro01_*.wav"):
        path.unlink()
    with pytest.raises(BadManifest) as error:
        index("iemocap", release)
    assert str(error.value) == (
        f"2 of 5 labelled utterances in {release} have no audio, such as Ses01F_impro01_F000, "
        "Ses01F_impro01_F001. Unpack sentences/wav of Session1 again."
    )
    assert len(labels_of(release, "4class_scripted")) == 2  # nothing is missing of what is asked for


def test_audio_without_a_label_is_counted_and_named(release, tmp_path):
    for path in tmp_path.rglob("EmoEvaluation/Ses05*.txt"):
        path.unlink()
    with pytest.raises(BadManifest) as error:
        index("iemocap", release)
    assert str(error.value) == (
        f"3 of 11 utterances in {release} have no label, such as Ses05M_impro05a_F010, "
        "Ses05M_impro05a_M011, Ses05M_impro05a_M012. Unpack dialog/EmoEvaluation of Session5 again."
    )


def test_a_summary_line_that_is_damaged_is_not_passed_over(release, tmp_path):
    (path,) = tmp_path.rglob("EmoEvaluation/Ses05M_impro05a.txt")
    path.write_text(path.read_text("latin-1").replace("\tsad\t[2.5000", "\tsad"))
    with pytest.raises(
        BadManifest, match=r"1 of 11 utterances in .* have no label, such as Ses05M_impro05a_F010\."
    ):
        index("iemocap", release)


def test_a_label_that_iemocap_does_not_have_is_refused_until_the_user_says_what_it_means(tmp_path):
    root = make_release(tmp_path, {"Ses02F_impro02": [("F000", "bor", "Well."), ("M000", "neu", "So.")]})
    with pytest.raises(
        BadManifest, match=r"does not have in .*: bor\. Say what each means with --label bor="
    ):
        index("iemocap", root)
    assert labels_of(root, bor="boredom") == {
        "Ses02F_impro02_F000": "boredom",
        "Ses02F_impro02_M000": "neutral",
    }


def test_a_release_unpacked_twice_is_refused_with_the_folder_of_one_copy(tmp_path):
    make_release(tmp_path / "a")
    make_release(tmp_path / "b")
    with pytest.raises(
        BadManifest, match=r"lies twice in .* \(and so do 10 more\)\. Give the folder of one .*/a\.$"
    ):
        index("iemocap", str(tmp_path))


def test_labels_that_lie_there_twice_are_refused(release, tmp_path):
    (path,) = tmp_path.rglob("EmoEvaluation/Ses05M_impro05a.txt")
    write(tmp_path / "old/EmoEvaluation/Ses05M_impro05a.txt", path.read_text("latin-1").replace("sad", "ang"))
    with pytest.raises(BadManifest, match=r"Ses05M_impro05a_F010 lies twice in .*/old/EmoEvaluation/"):
        index("iemocap", str(tmp_path))
    assert labels_of(release) == FOUR


def test_a_folder_without_labels_is_answered_with_what_lies_there(tmp_path):
    wav = tmp_path / "wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    wav.parent.mkdir(parents=True)
    sf.write(wav, np.zeros(160, np.float32), 16000)
    with pytest.raises(MissingInput) as error:
        index("iemocap", str(tmp_path))
    assert "no iemocap label in " in str(error.value)
    assert "Expected: the full release, folders Session1 to Session5" in str(error.value)
    assert " Found: 1 .wav, such as wav/Ses01F_impro01/Ses01F_impro01_F000.wav; subfolders wav." in str(
        error.value
    )
