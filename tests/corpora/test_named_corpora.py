from collections import Counter

import numpy as np
import pytest
import soundfile as sf

from ser_ray.corpora import IndexOptions, index
from ser_ray.corpora.manifest import SCHEMA, validate
from ser_ray.errors import BadManifest, MissingInput, UsageError


def make_files(folder, names, rate=16000):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, np.zeros(rate // 100, np.float32), rate, format="WAV")
    return str(folder)


def rows_of(corpus, root, options=None):
    table = index(corpus, root, options)
    assert validate(table).equals(table)
    return {row["id"]: row for row in table.to_pylist()}


def filled(**columns):
    return dict.fromkeys(SCHEMA.names) | columns


SAVEE = [f"{letters}{n:02d}" for letters in ("a", "d", "f", "h", "sa", "su") for n in range(1, 16)]
SAVEE += [f"n{n:02d}" for n in range(1, 31)]
SPEAKERS = ("DC", "JE", "JK", "KL")


@pytest.fixture
def savee(tmp_path):
    """The whole of SAVEE in its official form, with what else lies there."""
    (tmp_path / "Info.txt").write_text("four male speakers")
    (tmp_path / "DC").mkdir()
    (tmp_path / "DC/._a01.wav").write_bytes(b"\0")
    wav = tmp_path / "DC/a01.wav"
    make_files(tmp_path, ["DC/a01.wav"], rate=44100)
    for speaker in SPEAKERS:  # all the same bytes: an index keeps every recording, an audit tells of them
        for name in SAVEE:
            path = tmp_path / speaker / f"{name}.wav"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(wav.read_bytes())
    return str(tmp_path)


@pytest.fixture
def tess(tmp_path):
    return make_files(
        tmp_path,
        [
            "OAF_angry/OAF_back_angry.wav",
            "OAF_disgust/OAF_back_disgust.wav",
            "OAF_Fear/OAF_back_fear.wav",
            "OAF_happy/OAF_back_happy.wav",
            "OAF_neutral/OA_bite_neutral.wav",
            "OAF_Pleasant_surprise/OAF_back_ps.wav",
            "OAF_Sad/OAF_back_sad.wav",
            "YAF_pleasant_surprised/YAF_back_ps.wav",
            "YAF_sad/YAF_Back_sad.wav",
            "YAF_sad/silence.wav",
        ],
        rate=24414,
    )


@pytest.fixture
def crema_d(tmp_path):
    """A clone of the official repository: audio as pointers of Git LFS, and everything twice."""
    stems = ["1001_DFA_ANG_XX", "1001_IEO_DIS_LO", "1002_IEO_FEA_MD", "1002_IEO_HAP_HI"]
    stems += ["1040_ITH_SAD_X", "1091_WSI_NEU_XX"]
    for folder, ending in (("AudioWAV", "wav"), ("AudioMP3", "mp3")):
        (tmp_path / folder).mkdir()
        for stem in stems:
            pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 72108\n"
            (tmp_path / folder / f"{stem}.{ending}").write_text(pointer)
    (tmp_path / "VideoDemographics.csv").write_text(
        '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
        '1002,21,"Female","Caucasian","Not Hispanic"\n1040,42,"Male","Caucasian","Not Hispanic"\n'
    )
    return tmp_path


def test_savee_folders_say_the_speaker_and_names_the_emotion_and_sentence(savee):
    rows = rows_of("savee", savee)
    assert len(rows) == 480
    assert Counter(row["emotion"] for row in rows.values()) == {
        "neutral": 120,
        **dict.fromkeys(("anger", "disgust", "fear", "happiness", "sadness", "surprise"), 60),
    }
    assert rows["savee/KL_sa15"] == filled(
        id="savee/KL_sa15",
        uri=f"{savee}/KL/sa15.wav",
        corpus="savee",
        speaker="savee-KL",
        emotion="sadness",
        raw_label="sa",
        language="en",
        gender="male",
        text_id="sadness-15",
    )
    assert Counter(row["speaker"] for row in rows.values()) == {f"savee-{name}": 120 for name in SPEAKERS}


def test_savee_sentences_that_are_the_same_have_the_same_text_id(savee):
    texts = {key: row["text_id"] for key, row in rows_of("savee", savee).items()}
    common = {key for key, text in texts.items() if text == "common-02" and "/JE_" in key}
    assert common == {
        f"savee/JE_{name}" for name in ("a02", "d02", "f02", "h02", "n02", "n17", "sa02", "su02")
    }
    specific = {key for key, text in texts.items() if text == "happiness-05"}
    assert specific == {f"savee/{s}_{name}" for s in SPEAKERS for name in ("h05", "n30")}
    assert texts["savee/DC_n19"] == texts["savee/DC_a04"] == "anger-04"
    assert texts["savee/DC_n15"] == "neutral-15"
    # Per speaker 3 common sentences, 2 specific and 10 generic ones for each of seven emotions.
    assert len(set(texts.values())) == 3 + 7 * 12


@pytest.mark.parametrize("form", ["ALL/{}_{}.wav", "{}{}.wav", "AudioData/{}/{}.WAV"])
def test_savee_in_other_forms_gives_the_same_ids(form, tmp_path):
    root = make_files(
        tmp_path, [form.format("DC", "su01"), form.format("JK", "n30"), "a99.wav", "DC_a16.wav", "DC_n31.wav"]
    )
    assert rows_of("savee", root).keys() == {"savee/DC_su01", "savee/JK_n30"}


def test_savee_of_four_classes_has_300_utterances(savee):
    rows = rows_of("savee", savee, IndexOptions(variant="4class"))
    counts = Counter(row["emotion"] for row in rows.values())
    assert counts == {"anger": 60, "happiness": 60, "neutral": 120, "sadness": 60}
    assert len(rows_of("savee", savee, IndexOptions(variant="7class"))) == 480
    own = IndexOptions(variant="4class", labels={"su": "excitement", "n": "-"})
    counts = Counter(row["emotion"] for row in rows_of("savee", savee, own).values())
    assert counts == {"anger": 60, "happiness": 60, "excitement": 60, "sadness": 60}


def test_tess_names_say_actress_word_and_emotion(tess):
    rows = rows_of("tess", tess)
    assert {key.removeprefix("tess/"): row["emotion"] for key, row in rows.items()} == {
        "OAF_back_angry": "anger",
        "OAF_back_disgust": "disgust",
        "OAF_back_fear": "fear",
        "OAF_back_happy": "happiness",
        "OA_bite_neutral": "neutral",
        "OAF_back_ps": "surprise",
        "OAF_back_sad": "sadness",
        "YAF_back_ps": "surprise",
        "YAF_Back_sad": "sadness",
    }
    assert rows["tess/OA_bite_neutral"] == filled(
        id="tess/OA_bite_neutral",
        uri=f"{tess}/OAF_neutral/OA_bite_neutral.wav",
        corpus="tess",
        speaker="tess-OAF",  # the name lacks a letter; the folder tells who speaks
        emotion="neutral",
        raw_label="neutral",
        language="en",
        gender="female",
        text_id="bite",
    )
    assert {
        (rows[f"tess/{n}"]["speaker"], rows[f"tess/{n}"]["text_id"]) for n in ("YAF_back_ps", "YAF_Back_sad")
    } == {("tess-YAF", "back")}


def test_tess_nested_in_itself_is_refused_with_the_folder_of_one_copy(tmp_path):
    names = [f"OAF_angry/OAF_{word}_angry.wav" for word in ("back", "bar", "base")]
    inner = "TESS Toronto emotional speech set data"
    root = make_files(tmp_path, [f"{inner}/{n}" for n in names] + [f"{inner}/{inner}/{n}" for n in names])
    with pytest.raises(BadManifest) as error:
        index("tess", root)
    assert "OAF_back_angry lies twice in " in str(error.value)
    assert "(and so do 2 more)" in str(error.value)
    folder = str(error.value).partition("such as ")[2].removesuffix(".")
    assert folder == f"{root}/{inner}/{inner}"
    assert len(index("tess", folder)) == 3


def test_crema_d_names_say_actor_sentence_emotion_and_intensity(crema_d):
    rows = rows_of("crema_d", str(crema_d))
    assert rows["crema_d/1002_IEO_HAP_HI"] == filled(
        id="crema_d/1002_IEO_HAP_HI",
        uri=f"{crema_d}/AudioWAV/1002_IEO_HAP_HI.wav",
        corpus="crema_d",
        speaker="crema_d-1002",
        emotion="happiness",
        raw_label="HAP",
        language="en",
        gender="female",
        text_id="IEO",
        intensity="high",
    )
    said = {(row["raw_label"], row["emotion"], row["intensity"], row["gender"]) for row in rows.values()}
    assert said == {
        ("ANG", "anger", "unspecified", "male"),
        ("DIS", "disgust", "low", "male"),
        ("FEA", "fear", "medium", "female"),
        ("HAP", "happiness", "high", "female"),
        ("SAD", "sadness", "unspecified", "male"),  # 1040_ITH_SAD_X, as published
        ("NEU", "neutral", "unspecified", None),  # an actor who is not in the table
    }


def test_crema_d_finds_the_table_of_actors_beside_its_audio_and_does_without(crema_d):
    waves = str(crema_d / "AudioWAV")
    assert rows_of("crema_d", waves) == rows_of("crema_d", str(crema_d))
    table = crema_d / "VideoDemographics.csv"
    table.write_text("ActorID,Age\n1001,51\n")
    with pytest.raises(BadManifest, match=r"VideoDemographics\.csv lacks ActorID or Sex; it has"):
        index("crema_d", waves)
    table.unlink()
    assert {row["gender"] for row in rows_of("crema_d", waves).values()} == {None}
    mp3 = rows_of("crema_d", str(crema_d / "AudioMP3"))
    assert mp3["crema_d/1001_DFA_ANG_XX"]["uri"].endswith("AudioMP3/1001_DFA_ANG_XX.mp3")


def test_urdu_names_say_speaker_sex_and_emotion(tmp_path):
    names = ["Angry/SM1_F8_A08", "Happy/SF6_F10_H034", "Neutral/SM5_F72_N0100", "Sad/SM25_F1_S051"]
    root = make_files(tmp_path, [f"{name}.wav" for name in [*names, "Sad/SX1_F1_S01"]], rate=44100)
    rows = rows_of("urdu", root)
    assert rows["urdu/SF6_F10_H034"] == filled(
        id="urdu/SF6_F10_H034",
        uri=f"{root}/Happy/SF6_F10_H034.wav",
        corpus="urdu",
        speaker="urdu-SF6",
        emotion="happiness",
        raw_label="Happy",
        language="ur",
        gender="female",
    )
    assert [(row["speaker"], row["gender"], row["emotion"], row["raw_label"]) for row in rows.values()] == [
        ("urdu-SM1", "male", "anger", "Angry"),
        ("urdu-SF6", "female", "happiness", "Happy"),
        ("urdu-SM5", "male", "neutral", "Neutral"),
        ("urdu-SM25", "male", "sadness", "Sad"),
    ]


def test_emovo_names_say_emotion_speaker_and_sentence(tmp_path):
    emotions = ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
    root = make_files(tmp_path, [f"EMOVO/f1/{emotion}-f1-b1.wav" for emotion in emotions], rate=48000)
    sf.write(tmp_path / "EMOVO/tri-m3-N5.wav", np.zeros((480, 2), np.float32), 44100)  # odd rate, stereo
    sf.write(tmp_path / "EMOVO/gio-m2-l4.wav", np.zeros(480, np.float32), 48000, format="AIFF")
    (tmp_path / "EMOVO/documents").mkdir()
    (tmp_path / "EMOVO/documents/emovo.pdf").write_bytes(b"%PDF")
    rows = rows_of("emovo", root)
    assert {row["raw_label"]: row["emotion"] for row in rows.values()} == {
        "dis": "disgust",
        "gio": "happiness",
        "neu": "neutral",
        "pau": "fear",
        "rab": "anger",
        "sor": "surprise",
        "tri": "sadness",
    }
    assert rows["emovo/tri-m3-N5"] == filled(
        id="emovo/tri-m3-N5",
        uri=f"{root}/EMOVO/tri-m3-N5.wav",
        corpus="emovo",
        speaker="emovo-m3",
        emotion="sadness",
        raw_label="tri",
        language="it",
        gender="male",
        text_id="n5",
    )
    assert (rows["emovo/gio-f1-b1"]["speaker"], rows["emovo/gio-f1-b1"]["gender"]) == ("emovo-f1", "female")
    assert rows["emovo/gio-m2-l4"]["text_id"] == "l4"  # named .wav, but AIFF
    assert len(rows) == 9


@pytest.mark.parametrize("corpus", ["savee", "tess", "crema_d", "urdu", "emovo"])
def test_a_folder_of_another_corpus_is_answered_with_what_lies_there(corpus, tmp_path):
    make_files(tmp_path, ["wav/03a01Fa.wav", "wav/03a01Nc.wav", "more/x.flac", "top.wav"])
    (tmp_path / "erkennung.txt").write_text("no audio")
    with pytest.raises(MissingInput) as error:
        index(corpus, str(tmp_path))
    assert str(error.value).startswith(
        f"no {corpus} file in {tmp_path} (4 other audio files). Expected: files "
    )
    assert str(error.value).endswith(
        " Found: 3 .wav, 1 .flac, such as more/x.flac, top.wav, wav/03a01Fa.wav; subfolders more, wav."
    )


def test_a_folder_without_audio_is_answered_with_its_other_files(tmp_path):
    (tmp_path / "Session1").mkdir()
    for name in ("EMOVO.zip", "Session1/b.txt", "LICENSE"):
        (tmp_path / name).write_text("x")
    with pytest.raises(MissingInput) as error:
        index("emovo", str(tmp_path))
    assert "(0 other audio files)" in str(error.value)
    assert " Found: 1 .zip, 1 without ending, 1 .txt, such as EMOVO.zip, LICENSE, Session1/b.txt; " in str(
        error.value
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingInput, match=r"Found: no file at all\.$"):
        index("emovo", str(tmp_path / "none"))


def test_an_utterance_in_two_formats_side_by_side_is_refused(tmp_path):
    root = make_files(tmp_path, ["f1/dis-f1-b1.wav", "f1/dis-f1-b1.flac"])
    with pytest.raises(BadManifest, match=r"dis-f1-b1 lies twice in .*\.flac, .*\.wav\. Keep one of them\.$"):
        index("emovo", root)


def test_a_label_that_the_corpus_does_not_have_is_refused_with_those_it_has(tess):
    with pytest.raises(UsageError, match=r"nothing in .* is labelled 'surprise', but ps \(2\), sad \(2\), "):
        index("tess", tess, IndexOptions(labels={"surprise": "-"}))
    kept = index("tess", tess, IndexOptions(labels={"ps": "-", "sad": "boredom"}))
    assert Counter(kept["emotion"].to_pylist())["boredom"] == 2
    assert "surprise" not in kept["emotion"].to_pylist()


def test_an_unknown_variant_is_refused_with_those_known(savee, tess):
    with pytest.raises(UsageError, match=r"--variant 5class: .* Known: 7class \(all, 480.*; 4class \(anger"):
        index("savee", savee, IndexOptions(variant="5class"))
    with pytest.raises(UsageError, match=r"tess has no variants\. Leave the option out"):
        index("tess", tess, IndexOptions(variant="4class"))
