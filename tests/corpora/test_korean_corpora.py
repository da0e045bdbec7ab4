"""AI-Hub's emotional dialogue speech and KESDy18: folders of the official form, in miniature."""

import numpy as np
import pytest
import soundfile as sf

from ser_ray.corpora import IndexOptions, index
from ser_ray.errors import BadManifest, MissingInput, UsageError

YEAR_4 = (
    "wav_id,발화문,상황,1번 감정,1번 감정세기,2번 감정,2번 감정세기,3번 감정,3번 감정세기,"
    "4번 감정,4번 감정세기,5번 감정,5번 감정세기,나이,성별"
)
YEAR_5 = YEAR_4.replace("4번 감정세기", "4번감정세기")
IDS = [f"5e258fd1305bcf3ad153a6a{k}" for k in range(10)]


def make_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(folder / name, np.zeros(16, np.float32), 16000)


def line(wav_id, votes, text="어, 청소!", scene="anger", age="27", gender="male"):
    """One row; a vote is an emotion and its strength, such as Angry2."""
    heard = ",".join(f"{vote[:-1]},{vote[-1]}" for vote in votes.split())
    return f'{wav_id},"{text}",{scene},{heard},{age},{gender}'


def write_table(path, header, *lines, encoding="cp949", newline="\r\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((newline.join([header, *lines]) + newline).encode(encoding))


def aihub(root, *votes, **more):
    """The fourth year with one recording for each line of votes."""
    lines = [line(wav_id, vote, **more) for wav_id, vote in zip(IDS, votes, strict=False)]
    write_table(root / "4차년도.csv", YEAR_4, *lines)
    make_files(root / "4차년도", *(f"{wav_id}.wav" for wav_id, _ in zip(IDS, votes, strict=False)))
    return root


def rows_of(corpus, root, **options):
    table = index(corpus, str(root), IndexOptions(**options))
    return {row["id"].partition("/")[2]: row for row in table.to_pylist()}


def said(row, *columns):
    return tuple(row[column] for column in columns)


def test_aihub_is_read_from_all_its_parts_whatever_their_spelling(tmp_path):
    write_table(tmp_path / "4차년도.csv", YEAR_4, line(IDS[0], "Neutral0 Angry1 Angry2 Angry2 Angry1"))
    write_table(
        tmp_path / "csv/5차년도.csv",
        YEAR_5,
        line(IDS[1], "sadness1 sadness1 happiness2 sadness2 \tsadness2", "응.", "sadness", "32", "female"),
        encoding="utf-8-sig",
        newline="\n",
    )
    make_files(tmp_path, f"4차년도/{IDS[0]}.wav", f"5차년도/5차_wav/{IDS[1]}.wav")
    rows = rows_of("aihub_emotion", tmp_path)
    columns = ("emotion", "raw_label", "intensity", "gender", "language", "speaker", "corpus")
    assert {key: said(row, *columns) for key, row in rows.items()} == {
        IDS[0]: ("anger", "angry", "1", "male", "ko", None, "aihub_emotion"),
        IDS[1]: ("sadness", "sadness", "1", "female", "ko", None, "aihub_emotion"),
    }
    assert rows[IDS[1]]["uri"] == f"{tmp_path}/5차년도/5차_wav/{IDS[1]}.wav"


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ("Angry1 Angry1 Angry1 Neutral0 Sadness2", ("anger", "angry", "1")),
        ("Angry2 Angry2 Disgust1 Neutral0 Sadness1", ("anger", "angry", "2")),
        ("Angry1 Anger2 Sad1 Sadness2 sad2", ("sadness", "sad", "2")),
        ("anger1 Angry1 ANGRY1 Sad1 Sadness2", ("anger", "anger", "1")),
        ("Angry1 Angry1 Neutral0 Neutral0 Sadness1", (None, "angry|neutral|sadness", None)),
        ("Angry1 Fear1 Disgust1 Surprise1 Happiness1", (None, "angry|disgust|fear|happiness|surprise", None)),
        ("Neutral0 Neutral0 Neutral0 Neutral0 Neutral0", ("neutral", "neutral", "0")),
    ],
)
def test_what_most_listeners_heard_is_the_emotion_and_a_tie_leaves_it_open(tmp_path, votes, expected):
    (row,) = rows_of("aihub_emotion", aihub(tmp_path, votes)).values()
    assert said(row, "emotion", "raw_label", "intensity") == expected


def test_agreed_asks_for_three_of_five_and_scripted_for_the_scene(tmp_path):
    aihub(tmp_path, "Angry1 Angry1 Angry1 Sad1 Sad1", "Angry1 Angry1 Sad1 Fear1 Neutral0", scene="Sad")
    columns = ("emotion", "raw_label", "intensity")
    agreed = rows_of("aihub_emotion", tmp_path, variant="agreed")
    assert [said(row, *columns) for row in agreed.values()] == [
        ("anger", "angry", "1"),
        (None, "angry|fear|neutral|sad", None),
    ]
    scripted = rows_of("aihub_emotion", tmp_path, variant="scripted")
    assert [said(row, *columns) for row in scripted.values()] == [("sadness", "sad", None)] * 2


def test_the_user_can_settle_a_tie_or_leave_it_out(tmp_path):
    aihub(tmp_path, "Angry1 Angry1 Sad1 Sad1 Fear1", "Angry1 Angry1 Angry1 Sad1 Sad1")
    settled = rows_of("aihub_emotion", tmp_path, labels={"angry|fear|sad": "frustration", "angry": "disgust"})
    assert [row["emotion"] for row in settled.values()] == ["frustration", "disgust"]
    left = rows_of("aihub_emotion", tmp_path, labels={"angry|fear|sad": "-"})
    assert [row["emotion"] for row in left.values()] == ["anger"]


def test_one_sentence_has_one_text_id_whoever_says_it(tmp_path):
    texts = ["응. 걷고 있어.", "응. 걷고 있어.", "아니."]
    votes = "Sad1 Sad1 Sad1 Sad1 Sad1"
    write_table(tmp_path / "a.csv", YEAR_4, *(line(i, votes, t) for i, t in zip(IDS, texts, strict=False)))
    make_files(tmp_path, *(f"{wav_id}.wav" for wav_id in IDS[:3]))
    first, second, third = (row["text_id"] for row in rows_of("aihub_emotion", tmp_path).values())
    assert first == second != third
    assert len(first) == 12


def test_missing_votes_are_not_counted_and_none_at_all_is_no_label(tmp_path):
    write_table(
        tmp_path / "a.csv",
        YEAR_4,
        f"{IDS[0]},x,anger,Angry,1,,,,,,,,,27,남",
        f"{IDS[1]},x,anger,,,,,,,,,,,27,여성",
    )
    make_files(tmp_path, *(f"{wav_id}.wav" for wav_id in IDS[:2]))
    rows = rows_of("aihub_emotion", tmp_path)
    assert [said(row, "emotion", "raw_label", "gender") for row in rows.values()] == [
        ("anger", "angry", "male"),
        (None, None, "female"),
    ]


def test_a_word_that_no_emotion_has_is_refused_until_the_user_explains_it(tmp_path):
    aihub(tmp_path, "Wut1 Wut1 Wut1 Sad1 Sad1")
    with pytest.raises(
        BadManifest, match=r"labels that we do not know in .*: wut \(1\).*--label wut=EMOTION"
    ):
        rows_of("aihub_emotion", tmp_path)
    (row,) = rows_of("aihub_emotion", tmp_path, labels={"wut": "anger"}).values()
    assert said(row, "emotion", "raw_label") == ("anger", "wut")


def test_a_strength_that_is_no_number_is_refused(tmp_path):
    aihub(tmp_path, "Sadx Sadx Sadx Sadx Sadx")
    with pytest.raises(BadManifest, match=r"4차년도\.csv has a 감정세기 that is no number: .*'x'"):
        rows_of("aihub_emotion", tmp_path)


def test_aihub_may_lack_what_it_lacks_as_published_but_no_more(tmp_path):
    """16 of the 14,606 recordings of its fourth year: at most one in a thousand."""
    ids = [f"{k:024x}" for k in range(1000)]
    write_table(tmp_path / "4차년도.csv", YEAR_4, *(line(i, "Sad1 Sad1 Sad1 Sad1 Sad1") for i in ids))
    (tmp_path / "4차년도").mkdir()
    for wav_id in ids[1:]:
        (tmp_path / f"4차년도/{wav_id}.wav").touch()
    (tmp_path / "4차년도/stray.wav").touch()
    rows = rows_of("aihub_emotion", tmp_path)
    assert len(rows) == 1000
    assert rows["4차년도/stray.wav"]["emotion"] is None
    (tmp_path / f"4차년도/{ids[1]}.wav").unlink()
    with pytest.raises(
        BadManifest, match=rf"2 of the 1000 that 4차년도\.csv lists, such as {ids[0]}, {ids[1]}"
    ):
        rows_of("aihub_emotion", tmp_path)


def test_a_part_of_aihub_whose_audio_is_not_there_is_refused_with_the_way_on(tmp_path):
    aihub(tmp_path, "Sad1 Sad1 Sad1 Sad1 Sad1")
    write_table(tmp_path / "5차년도.csv", YEAR_5, line(IDS[9], "Sad1 Sad1 Sad1 Sad1 Sad1"))
    with pytest.raises(
        BadManifest, match=r"1 of the 1 that 5차년도\.csv lists.*move 5차년도\.csv out of the folder"
    ):
        rows_of("aihub_emotion", tmp_path)


KESDY = [
    "F01_01_a.wav,angry,F01,female,1,4.2",
    "F01_01_s.wav,sad,F01,female,1,1.8",
    "M01_02_h.wav,Happy,M01,M,2,4.0",
    "M01_02_n.wav,중립,M01,남,2,2.5",
]


@pytest.fixture
def kesdy(tmp_path):
    write_table(
        tmp_path / "annotation/labels.csv", "File Name,Emotion,Speaker,Gender,문장 번호,Arousal", *KESDY
    )
    make_files(tmp_path / "wav", *(row.split(",")[0] for row in KESDY))
    return tmp_path


def test_kesdy18_is_read_by_its_table(kesdy):
    columns = ("emotion", "raw_label", "speaker", "gender", "text_id", "language")
    assert {key: said(row, *columns) for key, row in rows_of("kesdy18", kesdy).items()} == {
        "F01_01_a": ("anger", "angry", "kesdy18-F01", "female", "1", "ko"),
        "F01_01_s": ("sadness", "sad", "kesdy18-F01", "female", "1", "ko"),
        "M01_02_h": ("happiness", "Happy", "kesdy18-M01", "male", "2", "ko"),
        "M01_02_n": ("neutral", "중립", "kesdy18-M01", "male", "2", "ko"),
    }


def test_columns_of_kesdy18_with_other_names_are_mapped_by_the_user(tmp_path):
    write_table(tmp_path / "t.csv", "번호,소리,느낌,누구", "1,F01/1.wav,분노,F01", "2,M01/1.wav,joy,M01")
    make_files(tmp_path / "wav", "F01/1.wav", "M01/1.wav")
    said_by_user = {"uri": "소리", "emotion": "느낌", "speaker": "누구"}
    rows = rows_of("kesdy18", tmp_path, columns=said_by_user)
    assert {key: said(row, "emotion", "speaker", "uri") for key, row in rows.items()} == {
        "F01/1": ("anger", "kesdy18-F01", f"{tmp_path}/wav/F01/1.wav"),
        "M01/1": ("happiness", "kesdy18-M01", f"{tmp_path}/wav/M01/1.wav"),
    }
    with pytest.raises(
        MissingInput, match=r"no label table of kesdy18 \(but t\.csv with 번호, 소리, 느낌, 누구\)"
    ):
        rows_of("kesdy18", tmp_path, columns={**said_by_user, "speaker": "who"})
    with pytest.raises(
        UsageError, match=r"--map corpus=\.\.\.: a table of kesdy18 has only uri, emotion, speaker"
    ):
        rows_of("kesdy18", tmp_path, columns={"corpus": "번호"})


def test_kesdy18_without_a_table_is_read_by_the_words_of_its_paths(tmp_path):
    make_files(
        tmp_path,
        "angry/001.wav",
        "happy/001.wav",
        "wav/SAD/F01/001.wav",
        "wav/F01_neutral_003.wav",
        "happy/m_angry_2.wav",
        "noise/hum.wav",
    )
    rows = rows_of("kesdy18", tmp_path)
    assert {key: said(row, "emotion", "raw_label", "speaker", "language") for key, row in rows.items()} == {
        "angry/001": ("anger", "angry", None, "ko"),
        "happy/001": ("happiness", "happy", None, "ko"),
        "happy/m_angry_2": ("anger", "angry", None, "ko"),
        "wav/F01_neutral_003": ("neutral", "neutral", None, "ko"),
        "wav/SAD/F01/001": ("sadness", "sad", None, "ko"),
    }


def test_a_kesdy18_table_that_lists_too_much_or_speaks_another_language_is_refused(kesdy):
    (kesdy / "wav/M01_02_h.wav").unlink()
    with pytest.raises(BadManifest, match=r"1 of the 4 that labels\.csv lists, such as M01_02_h\.wav"):
        rows_of("kesdy18", kesdy)
    write_table(kesdy / "annotation/labels.csv", "file,label", "F01_01_a.wav,zornig", "F01_01_s.wav,sad")
    with pytest.raises(BadManifest, match=r"labels that we do not know in .*: zornig \(1\)"):
        rows_of("kesdy18", kesdy)
    assert rows_of("kesdy18", kesdy, labels={"zornig": "anger"})["F01_01_a"]["emotion"] == "anger"


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("aihub_emotion", r"no label table of aihub_emotion in .*Expected: a table with the columns wav_id"),
        ("kesdy18", r"no kesdy18 file in .*Expected: a table with the columns file and emotion"),
    ],
)
def test_a_wrong_folder_is_answered_with_what_was_expected_and_what_was_found(corpus, message, tmp_path):
    make_files(tmp_path, "calls/a.wav")
    with pytest.raises(MissingInput, match=rf"{message}.*Found: 1 \.wav, such as calls/a\.wav"):
        rows_of(corpus, tmp_path)
