"""FSDKaggle2018 and ESC-50: folders of the official form, in miniature."""

import numpy as np
import pytest
import soundfile as sf

from ser_ray.corpora import IndexOptions, index
from ser_ray.corpora.manifest import labelled
from ser_ray.errors import BadManifest, MissingInput, UsageError

TRAIN = """fname,label,manually_verified,freesound_id,license
00044347.wav,Hi-hat,0,28739,Attribution
001ca53d.wav,Saxophone,1,358827,Attribution
"""
SCORED = """fname,label,usage,freesound_id,license
00326aa9.wav,Oboe,Private,355125,Attribution
00eac343.wav,Hi-hat,Public,371494,Creative Commons 0
"""
WHOLE_TEST = SCORED + "00063640.wav,None,Ignored,88926,Attribution\n"
ESC = """filename,fold,target,category,esc10,src_file,take
1-100210-A-36.wav,1,36,vacuum_cleaner,False,100210,A
1-100210-B-36.wav,1,36,vacuum_cleaner,False,100210,B
5-9032-A-0.wav,5,0,dog,True,9032,A
"""


def make_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(folder / name, np.zeros(16, np.float32), 16000)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture
def fsd(tmp_path):
    write(tmp_path / "FSDKaggle2018.meta/train_post_competition.csv", TRAIN)
    write(tmp_path / "FSDKaggle2018.meta/test_post_competition_scoring_clips.csv", SCORED)
    make_files(tmp_path / "FSDKaggle2018.audio_train", "00044347.wav", "001ca53d.wav")
    make_files(tmp_path / "FSDKaggle2018.audio_test", "00326aa9.wav", "00eac343.wav")
    return tmp_path


@pytest.fixture
def esc(tmp_path):
    write(tmp_path / "meta/esc50.csv", ESC)
    make_files(tmp_path / "audio", "1-100210-A-36.wav", "1-100210-B-36.wav", "5-9032-A-0.wav")
    make_files(tmp_path / "tests", "probe.wav")
    return tmp_path


def rows_of(corpus, root, variant=None, labels=None):
    options = IndexOptions(variant=variant, labels=labels or {})
    return {row["id"]: row for row in index(corpus, str(root), options).to_pylist()}


def said(row, *columns):
    return tuple(row[column] for column in columns)


def test_fsd_rows_have_the_event_its_clip_and_its_part_but_no_emotion(fsd):
    rows = rows_of("fsdkaggle2018", fsd)
    columns = ("raw_label", "split", "session", "emotion", "speaker", "corpus")
    assert {key: said(row, *columns) for key, row in rows.items()} == {
        "fsdkaggle2018/00326aa9": ("Oboe", "test", "freesound-355125", None, None, "fsdkaggle2018"),
        "fsdkaggle2018/00eac343": ("Hi-hat", "test", "freesound-371494", None, None, "fsdkaggle2018"),
        "fsdkaggle2018/00044347": ("Hi-hat", "train", "freesound-28739", None, None, "fsdkaggle2018"),
        "fsdkaggle2018/001ca53d": ("Saxophone", "train", "freesound-358827", None, None, "fsdkaggle2018"),
    }
    assert rows["fsdkaggle2018/00044347"]["uri"] == f"{fsd}/FSDKaggle2018.audio_train/00044347.wav"


@pytest.mark.parametrize("padding", [["00063640.wav"], []])
def test_the_copy_on_kaggle_with_all_its_tables_reads_alike(fsd, tmp_path_factory, padding):
    kaggle = tmp_path_factory.mktemp("kaggle")
    write(kaggle / "sample_submission.csv", "fname,label\n00326aa9.wav,Laughter Hi-Hat Flute\n")
    write(kaggle / "test_post_competition.csv", WHOLE_TEST)
    write(
        kaggle / "train.csv",
        "fname,label,manually_verified\n00044347.wav,Hi-hat,0\n001ca53d.wav,Saxophone,1\n",
    )
    write(kaggle / "train_post_competition.csv", TRAIN)
    make_files(kaggle / "audio_train", "00044347.wav", "001ca53d.wav")
    make_files(kaggle / "audio_test", "00326aa9.wav", "00eac343.wav", *padding)
    here, official = rows_of("fsdkaggle2018", kaggle), rows_of("fsdkaggle2018", fsd)
    columns = ("raw_label", "split", "session")
    assert {key: said(row, *columns) for key, row in here.items()} == {
        key: said(row, *columns) for key, row in official.items()
    }


def test_one_part_of_fsd_alone_is_refused_until_the_user_asks_for_it(fsd):
    for file in (fsd / "FSDKaggle2018.audio_test").iterdir():
        file.unlink()
    with pytest.raises(
        BadManifest,
        match=r"2 of the 2 that test_post_competition_scoring_clips\.csv lists, such as 00326aa9\.wav, .*"
        r"move test_post_competition_scoring_clips\.csv out of the folder",
    ):
        rows_of("fsdkaggle2018", fsd)
    rows = rows_of("fsdkaggle2018", fsd, "train")
    assert {row["split"] for row in rows.values()} == {"train"}
    with pytest.raises(MissingInput, match=r"no fsdkaggle2018 recording that test_post_.* lists"):
        rows_of("fsdkaggle2018", fsd, "test")
    with pytest.raises(UsageError, match=r"no such variant\. Known: all \(both parts"):
        rows_of("fsdkaggle2018", fsd, "validation")


def test_a_part_of_fsd_leaves_the_other_out_where_all_lie_in_one_folder(fsd):
    for part in ("train", "test"):
        for file in (fsd / f"FSDKaggle2018.audio_{part}").iterdir():
            file.rename(fsd / file.name)
    assert len(rows_of("fsdkaggle2018", fsd)) == 4
    assert {row["raw_label"] for row in rows_of("fsdkaggle2018", fsd, "train").values()} == {
        "Hi-hat",
        "Saxophone",
    }
    assert {row["raw_label"] for row in rows_of("fsdkaggle2018", fsd, "test").values()} == {"Hi-hat", "Oboe"}


def test_any_folder_with_a_table_of_fname_and_label_reads_alike(tmp_path):
    write(tmp_path / "my labels.csv", b"\xef\xbb\xbfFname;Label\r\na.wav;Dog bark\r\nb;Rain\r\n")
    make_files(tmp_path, "sounds/a.wav", "sounds/b.flac")
    rows = rows_of("fsdkaggle2018", tmp_path)
    assert {key: said(row, "raw_label", "split", "session") for key, row in rows.items()} == {
        "fsdkaggle2018/a": ("Dog bark", None, None),
        "fsdkaggle2018/b": ("Rain", None, None),
    }


def test_esc50_rows_have_the_event_its_clip_and_its_fold_but_no_emotion(esc):
    columns = ("raw_label", "split", "session", "emotion", "speaker", "corpus")
    rows = rows_of("esc50", esc)
    assert {key: said(row, *columns) for key, row in rows.items()} == {
        "esc50/1-100210-A-36": ("vacuum_cleaner", "1", "freesound-100210", None, None, "esc50"),
        "esc50/1-100210-B-36": ("vacuum_cleaner", "1", "freesound-100210", None, None, "esc50"),
        "esc50/5-9032-A-0": ("dog", "5", "freesound-9032", None, None, "esc50"),
    }
    assert rows["esc50/5-9032-A-0"]["uri"] == f"{esc}/audio/5-9032-A-0.wav"


def test_a_clip_of_both_sound_corpora_has_one_session(fsd, esc):
    write(fsd / "FSDKaggle2018.meta/train_post_competition.csv", TRAIN.replace("28739", "9032"))
    (bark,) = [row for row in rows_of("fsdkaggle2018", fsd).values() if row["id"].endswith("00044347")]
    assert bark["session"] == rows_of("esc50", esc)["esc50/5-9032-A-0"]["session"]


def test_sounds_are_no_labelled_speech_until_the_user_says_what_they_express(esc):
    with pytest.raises(BadManifest, match="this manifest has 0 labelled"):
        labelled(index("esc50", str(esc)), "training")
    rows = rows_of("esc50", esc, labels={"dog": "anger", "vacuum_cleaner": "-"})
    assert {key: row["emotion"] for key, row in rows.items()} == {"esc50/5-9032-A-0": "anger"}


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [("fsdkaggle2018", "a table with the columns fname and label"), ("esc50", "the table meta/esc50.csv")],
)
def test_a_wrong_folder_is_answered_with_what_was_expected_and_what_was_found(corpus, expected, tmp_path):
    make_files(tmp_path, "audio/a.wav")
    write(tmp_path / "labels.csv", "file,class\na.wav,dog\n")
    with pytest.raises(
        MissingInput,
        match=rf"no label table of {corpus} \(but labels\.csv with file, class\) in .* "
        rf"\(1 other audio file\)\. Expected: {expected}.*Found: 1 \.wav, such as audio/a\.wav",
    ):
        rows_of(corpus, tmp_path)
