import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.corpora.adapter import IndexOptions
from ser_ray.corpora.listed import Entry, find_listings, join
from ser_ray.errors import BadManifest, MissingInput, UsageError

EXPECTS = "a table and its recordings, such as wav/a.wav"


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return str(root)


def entry(file, raw_label="happy", emotion="happiness", listing="labels.csv", **columns):
    return Entry(listing, file, {"raw_label": raw_label, "emotion": emotion, **columns})


def joined(root, entries, labels=None, **more):
    table = join(str(root), "toy", EXPECTS, entries, IndexOptions(labels=labels or {}), **more)
    return {row["id"]: row for row in table.to_pylist()}


def found(root, *columns, **more):
    return find_listings(str(root), "toy", EXPECTS, set(columns).issubset, **more)


def test_a_name_finds_its_file_with_or_without_ending_at_any_depth(tmp_path):
    touch(tmp_path, "wav/a.wav", "wav/deep/b.b.FLAC", "c.WAV")
    rows = joined(tmp_path, [entry("a.wav"), entry("b.b"), entry("c.wav")])
    assert {key: Path(row["uri"]).name for key, row in rows.items()} == {
        "toy/a": "a.wav",
        "toy/b.b": "b.b.FLAC",
        "toy/c": "c.WAV",
    }


def test_folders_that_the_table_names_tell_files_of_one_name_apart(tmp_path):
    touch(tmp_path, "wav/F01/1.wav", "wav/F02/1.wav")
    rows = joined(tmp_path, [entry("F01/1.wav", "sad", "sadness"), entry(r".\F02\1.wav")])
    assert {key: (row["uri"], row["emotion"]) for key, row in rows.items()} == {
        "toy/F01/1": (f"{tmp_path}/wav/F01/1.wav", "sadness"),
        "toy/F02/1": (f"{tmp_path}/wav/F02/1.wav", "happiness"),
    }
    with pytest.raises(BadManifest, match=r"1 of the 2 that labels\.csv lists, such as F03/1\.wav"):
        joined(tmp_path, [entry("F01/1.wav"), entry("F03/1.wav")])


def test_letters_that_a_mac_took_apart_are_the_same_name(tmp_path):
    touch(tmp_path, "u\N{COMBINING DIAERESIS}ber.wav")
    assert list(joined(tmp_path, [entry("\N{LATIN SMALL LETTER U WITH DIAERESIS}ber.wav")])) == ["toy/über"]


def test_listed_recordings_that_are_not_there_are_counted_and_named_by_table(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    entries = [entry("a.wav"), entry("b.wav"), *(entry(f"m{k}.wav") for k in range(5))]
    with pytest.raises(
        BadManifest,
        match=r"5 of the 7 that labels\.csv lists, such as m0\.wav, m1\.wav, m2\.wav\. "
        r"Finish the download, or take these rows out of labels\.csv\.",
    ):
        joined(tmp_path, entries)
    other = [entry("x.wav", listing="second.csv"), entry("y.wav", listing="second.csv")]
    with pytest.raises(
        BadManifest,
        match=r"5 of the 7 that labels\.csv lists.*; 2 of the 2 that second\.csv lists, such as x\.wav, "
        r"y\.wav\. Finish the download, or take these rows out of labels\.csv and move second\.csv out of "
        r"the folder\.",
    ):
        joined(tmp_path, [*entries, *other])


def test_none_of_the_listed_recordings_is_missing_input_that_says_what_lies_there(tmp_path):
    touch(tmp_path, "else/p.wav", "else/q.flac")
    with pytest.raises(
        MissingInput,
        match=r"no toy recording that labels\.csv lists in .* \(2 other audio files\)\. Expected: a table "
        r"and .*\. Found: 1 \.wav, 1 \.flac, such as else/p\.wav",
    ):
        joined(tmp_path, [entry("a.wav")])
    with pytest.raises(MissingInput, match="no toy recording that its table lists"):
        joined(tmp_path, [])
    with pytest.raises(MissingInput, match="toy folder not found"):
        joined(tmp_path / "no", [entry("a.wav")])


def test_no_more_recordings_may_lack_than_the_corpus_as_published_lacks(tmp_path):
    touch(tmp_path, *(f"{k}.wav" for k in range(98)))
    entries = [entry(f"{k}.wav") for k in range(100)]
    assert len(joined(tmp_path, entries, gaps=0.02)) == 98
    with pytest.raises(BadManifest, match="2 of the 100"):
        joined(tmp_path, entries, gaps=0.019)
    with pytest.raises(BadManifest, match="2 of the 100"):
        joined(tmp_path, entries)


def test_a_file_beside_listed_ones_is_kept_without_a_label_and_one_elsewhere_is_not(tmp_path):
    touch(tmp_path, "wav/a.wav", "wav/extra.wav", "wav/padding.wav", "else/b.wav", "wav/notes.txt")
    rows = joined(tmp_path, [entry("a.wav")], ignored=["padding.wav"])
    assert list(rows) == ["toy/a", "toy/wav/extra.wav"]
    extra = rows["toy/wav/extra.wav"]
    assert (extra["emotion"], extra["raw_label"], extra["corpus"]) == (None, None, "toy")
    assert extra["uri"] == f"{tmp_path}/wav/extra.wav"


def test_what_two_tables_say_of_a_recording_is_put_together_unless_they_contradict(tmp_path):
    touch(tmp_path, "a.wav")
    again = entry("a", None, None, listing="second.csv", session="7")
    for both in ([entry("a.wav"), again], [again, entry("a.wav")]):
        (row,) = joined(tmp_path, both).values()
        assert (row["emotion"], row["raw_label"], row["session"]) == ("happiness", "happy", "7")
    unlike = entry("a", "sad", "sadness", listing="second.csv")
    with pytest.raises(
        BadManifest,
        match=r"a is listed twice with unlike raw_label, emotion: in labels\.csv and in second\.csv",
    ):
        joined(tmp_path, [entry("a.wav"), unlike])


def test_a_recording_that_lies_twice_and_a_file_that_two_names_mean_are_refused(tmp_path):
    touch(tmp_path, "x/a.wav", "y/a.wav", "x/b.wav")
    with pytest.raises(BadManifest, match=r"a lies twice in .*x/a\.wav.*y/a\.wav"):
        joined(tmp_path, [entry("a.wav")])
    with pytest.raises(BadManifest, match=r"b and x/b are both .*x/b\.wav"):
        joined(tmp_path, [entry("b.wav"), entry("x/b.wav")])


def test_the_users_labels_go_first_and_drop(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    entries = [entry("a"), entry("b", "bark", None), entry("c", "sad", "sadness")]
    rows = joined(tmp_path, entries, {"happy": "excitement", "sad": "-"})
    assert {key: row["emotion"] for key, row in rows.items() if row["raw_label"]} == {
        "toy/a": "excitement",
        "toy/b": None,
    }
    with pytest.raises(UsageError, match=r"nothing in .* is labelled 'hapy', but happy \(1\)"):
        joined(tmp_path, entries, {"hapy": "excitement"})
    with pytest.raises(UsageError, match="no emotion 'exitement'"):
        joined(tmp_path, entries, {"happy": "exitement"})


def test_index_never_opens_the_audio(tmp_path):
    """AIFF that is named WAV, stereo at an odd rate and two files of the same bytes are no errors here."""
    sf.write(tmp_path / "a.aiff", np.zeros(16), 16000)
    (tmp_path / "a.aiff").rename(tmp_path / "a.wav")
    sf.write(tmp_path / "b.wav", np.zeros((16, 2)), 11127)
    shutil.copy(tmp_path / "b.wav", tmp_path / "c.wav")
    assert list(joined(tmp_path, [entry("a.wav"), entry("b.wav"), entry("c.wav")])) == [
        "toy/a",
        "toy/b",
        "toy/c",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables_read_alike_in_every_spelling(tmp_path, encoding, newline):
    text = newline.join(["wav_id,4번 감정세기, Label ", "a1,2,\t행복", "b2,,\t", ""])
    (tmp_path / "표.csv").write_bytes(text.encode(encoding))
    (listing,) = found(tmp_path, "wav_id", encodings=("utf-8-sig", "cp949"))
    assert listing.columns == ("wav_id", "4번감정세기", "label")
    assert listing.rows == [
        {"wav_id": "a1", "4번감정세기": "2", "label": "행복"},
        {"wav_id": "b2", "4번감정세기": None, "label": None},
    ]
    assert listing.name == "표.csv"


def test_a_table_in_another_encoding_is_refused_with_those_tried(tmp_path):
    (tmp_path / "a.csv").write_bytes("wav_id\nä\n".encode("utf-16"))
    with pytest.raises(BadManifest, match=r"a\.csv is not a readable CSV in UTF-8 or CP949: "):
        found(tmp_path, "wav_id", encodings=("utf-8-sig", "cp949"))


def test_without_a_fitting_table_the_error_says_which_tables_are_there(tmp_path):
    (tmp_path / "other.csv").write_text("id,text\n1,x\n")
    touch(tmp_path, "a.wav")
    with pytest.raises(
        MissingInput,
        match=r"no label table of toy \(but other\.csv with id, text\) in .* \(1 other audio file\)\. "
        r"Expected: a table and its recordings.*Found: 1 \.wav, such as a\.wav",
    ):
        found(tmp_path, "wav_id")
    assert found(tmp_path, "wav_id", optional=True) == []
    with pytest.raises(MissingInput, match="toy folder not found"):
        found(tmp_path / "no", "wav_id")


def test_columns_that_differ_only_in_spaces_or_case_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("wav_id,Label,la bel\na,1,2\n")
    with pytest.raises(BadManifest, match=r"a\.csv has the column 'label' more than once"):
        found(tmp_path, "wav_id")


def test_an_empty_cell_that_must_be_filled_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("wav_id,label\na,\n")
    (listing,) = found(tmp_path, "wav_id")
    with pytest.raises(BadManifest, match=r"a\.csv has a row without label: .*'wav_id': 'a'"):
        listing.cell(listing.rows[0], "label")


@given(st.sets(st.from_regex(r"[a-z0-9]{1,3}", fullmatch=True), min_size=1, max_size=12), st.data())
def test_both_sides_are_always_accounted_for(tmp_path_factory, names, data):
    """Every file is a row; every listed name is a row or an error."""
    there = data.draw(st.sets(st.sampled_from(sorted(names)), min_size=1))
    listed = data.draw(st.sets(st.sampled_from(sorted(names)), min_size=1))
    root = tmp_path_factory.mktemp("listed")
    touch(root, *(f"{name}.wav" for name in there))
    entries = [entry(name) for name in sorted(listed)]
    if not listed & there:
        with pytest.raises(MissingInput):
            joined(root, entries)
    elif listed - there:
        with pytest.raises(BadManifest, match=f"{len(listed - there)} of the {len(listed)} "):
            joined(root, entries)
    else:
        rows = joined(root, entries)
        assert sorted(row["uri"] for row in rows.values()) == sorted(f"{root}/{n}.wav" for n in there)
        assert {k for k, row in rows.items() if row["emotion"]} == {f"toy/{name}" for name in listed}
