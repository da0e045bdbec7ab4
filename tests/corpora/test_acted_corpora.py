"""nEMO, ShEMO and ESD: folders of the official form, in miniature."""

import numpy as np
import pytest
import soundfile as sf

from ser_ray.corpora import IndexOptions, index
from ser_ray.errors import BadManifest, MissingInput

TSV = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"


def make_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(folder / name, np.zeros(16, np.float32), 16000)
    return str(folder)


def rows_of(corpus, root, labels=None):
    return {row["id"]: row for row in index(corpus, str(root), IndexOptions(labels=labels or {})).to_pylist()}


def said(row, *columns):
    return tuple(row[column] for column in columns)


@pytest.fixture
def nemo(tmp_path):
    """The published form: blanks before the speaker, low quotation marks in the text."""
    lines = [
        "WR0_surprised_64.wav\tsurprised\tUcho wykrywa.\tucho wykrywa\t        WR0\tmale\t23",
        "EB0_neutral_13.wav\tneutral\t„Ród smoka” to serial.\t„ród smoka” to serial\t        EB0\tfemale\t27",
        "KS0_happiness_4.wav\thappiness\tDzieci, jeść.\tdzieci jeść\t        KS0\tmale\t23",
    ]
    (tmp_path / "data.tsv").write_bytes((TSV + "\n".join(lines) + "\n").encode())
    return make_files(tmp_path, *(f"samples/{line.split(chr(9))[0]}" for line in lines))


@pytest.mark.parametrize("with_table", [True, False])
def test_nemo_is_read_by_its_table_and_as_well_by_its_names(nemo, tmp_path, with_table):
    if not with_table:
        (tmp_path / "data.tsv").unlink()
    columns = ("emotion", "raw_label", "speaker", "gender", "language", "text_id", "corpus")
    assert {key: said(row, *columns) for key, row in rows_of("nemo", nemo).items()} == {
        "nemo/EB0_neutral_13": ("neutral", "neutral", "nemo-EB0", "female", "pl", "13", "nemo"),
        "nemo/KS0_happiness_4": ("happiness", "happiness", "nemo-KS0", "male", "pl", "4", "nemo"),
        "nemo/WR0_surprised_64": ("surprise", "surprised", "nemo-WR0", "male", "pl", "64", "nemo"),
    }


def test_nemo_accounts_for_both_sides_of_its_table(nemo, tmp_path):
    make_files(tmp_path, "samples/MK0_anger_8.wav")
    rows = rows_of("nemo", nemo)
    assert (len(rows), rows["nemo/samples/MK0_anger_8.wav"]["emotion"]) == (4, None)
    (tmp_path / "samples/KS0_happiness_4.wav").unlink()
    with pytest.raises(BadManifest, match=r"1 of the 3 that data\.tsv lists, such as KS0_happiness_4\.wav"):
        rows_of("nemo", nemo)


def test_a_nemo_table_that_contradicts_a_name_is_refused(tmp_path):
    make_files(tmp_path, "samples/WR0_anger_1.wav")
    (tmp_path / "data.tsv").write_text(TSV + "WR0_anger_1.wav\tfear\tx\tx\tWR0\tmale\t23\n")
    with pytest.raises(BadManifest, match=r"data\.tsv lists WR0_anger_1\.wav as fear"):
        rows_of("nemo", tmp_path)


def test_shemo_names_say_gender_speaker_and_emotion(tmp_path):
    women = [f"female/F01{letter}01.wav" for letter in "AFHNSW"]
    make_files(tmp_path, *women, "male/M53A22.wav", "male/M7A22.wav", "male/M53X01.wav", "male/._M53A23.wav")
    rows = rows_of("shemo", tmp_path)
    assert {key.removeprefix("shemo/"): said(row, "emotion", "raw_label") for key, row in rows.items()} == {
        "F01A01": ("anger", "A"),
        "F01F01": ("fear", "F"),
        "F01H01": ("happiness", "H"),
        "F01N01": ("neutral", "N"),
        "F01S01": ("sadness", "S"),
        "F01W01": ("surprise", "W"),
        "M53A22": ("anger", "A"),
    }
    assert said(rows["shemo/F01F01"], "speaker", "gender", "language") == ("shemo-F01", "female", "fa")
    assert said(rows["shemo/M53A22"], "speaker", "gender", "text_id") == ("shemo-M53", "male", None)


def test_a_shemo_speaker_is_told_from_the_one_of_the_other_sex_with_the_same_number(tmp_path):
    make_files(tmp_path, "female/F01A01.wav", "male/M01A01.wav")
    assert {row["speaker"] for row in rows_of("shemo", tmp_path).values()} == {"shemo-F01", "shemo-M01"}


def test_esd_folders_and_numbers_say_emotion_sentence_and_part(tmp_path):
    make_files(
        tmp_path,
        "0001/Neutral/train/0001_000001.wav",
        "0001/Angry/evaluation/0001_000351.wav",
        "0010/Happy/test/0010_001050.wav",
        "0011/Sad/0011_001051.wav",
        "0015/Surprise/train/0015_001750.wav",
    )
    (tmp_path / "0001/0001.txt").write_bytes("0001_000001\t打远一看\t中立\r\n".encode("gb2312"))
    (tmp_path / "0010/0010.txt").write_bytes("0010_001050\t打远一看\t快乐\r\n".encode("utf-16"))
    columns = ("emotion", "raw_label", "speaker", "gender", "language", "text_id", "split")
    assert {key: said(row, *columns) for key, row in rows_of("esd", tmp_path).items()} == {
        "esd/0001_000001": ("neutral", "Neutral", "esd-0001", "female", "zh", "zh-001", "train"),
        "esd/0001_000351": ("anger", "Angry", "esd-0001", "female", "zh", "zh-001", "evaluation"),
        "esd/0010_001050": ("happiness", "Happy", "esd-0010", "male", "zh", "zh-350", "test"),
        "esd/0011_001051": ("sadness", "Sad", "esd-0011", "male", "en", "en-001", None),
        "esd/0015_001750": ("surprise", "Surprise", "esd-0015", "female", "en", "en-350", "train"),
    }


def test_esd_speakers_are_the_women_and_men_of_its_readme(tmp_path):
    make_files(tmp_path, *(f"{n:04d}/Sad/{n:04d}_001051.wav" for n in range(1, 21)))
    letters = "".join(row["gender"][0] for row in rows_of("esd", tmp_path).values())
    assert letters == "fffmmmfmfm" + "mmmmfffffm"


def test_esd_files_without_a_folder_of_emotion_go_by_their_number(tmp_path):
    make_files(tmp_path, *(f"0012/0012_{number:06d}.wav" for number in (350, 351, 701, 1051, 1401)))
    make_files(tmp_path, "0012/0012_000000.wav", "0012/0012_001751.wav", "0021/0021_000001.wav")
    emotions = [row["emotion"] for row in rows_of("esd", tmp_path).values()]
    assert emotions == ["neutral", "anger", "happiness", "sadness", "surprise"]


def test_the_folder_goes_before_the_number_in_any_case(tmp_path):
    make_files(tmp_path, "0012/happy/TRAIN/0012_000001.wav")
    (row,) = rows_of("esd", tmp_path).values()
    assert said(row, "emotion", "raw_label", "split") == ("happiness", "Happy", "train")


@pytest.mark.parametrize(
    ("corpus", "files", "raw"),
    [
        ("nemo", ["WR0_surprised_1.wav", "WR0_anger_1.wav"], "surprised"),
        ("shemo", ["F01W01.wav", "F01A01.wav"], "W"),
        ("esd", ["0001/Surprise/0001_001401.wav", "0001/Angry/0001_000351.wav"], "Surprise"),
    ],
)
def test_the_users_labels_go_before_ours(tmp_path, corpus, files, raw):
    make_files(tmp_path, *files)
    emotions = [row["emotion"] for row in rows_of(corpus, tmp_path, {raw: "excitement"}).values()]
    assert sorted(emotions) == ["anger", "excitement"]
    assert [row["emotion"] for row in rows_of(corpus, tmp_path, {raw: "-"}).values()] == ["anger"]


@pytest.mark.parametrize("corpus", ["nemo", "shemo", "esd"])
def test_a_wrong_folder_is_answered_with_what_was_expected_and_what_was_found(corpus, tmp_path):
    make_files(tmp_path, "calls/a.wav", "calls/b.flac")
    with pytest.raises(
        MissingInput,
        match=rf"no {corpus} file in .* \(2 other audio files\)\. Expected: files named .*such as .*"
        r"Found: 1 \.wav, 1 \.flac, such as calls/a\.wav",
    ):
        rows_of(corpus, tmp_path)


@pytest.mark.parametrize(
    ("corpus", "name"), [("nemo", "WR0_anger_1"), ("shemo", "F01A01"), ("esd", "0001_000351")]
)
def test_a_corpus_unpacked_twice_is_refused_with_both_places(corpus, name, tmp_path):
    make_files(tmp_path, f"x/{name}.wav", f"copy/x/{name}.wav")
    with pytest.raises(BadManifest, match=rf"{name} lies twice in .*/copy/x/{name}\.wav"):
        rows_of(corpus, tmp_path)
