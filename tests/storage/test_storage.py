"""Reading, writing, listing and names, on a disk and in a bucket."""

import os

import pyarrow as pa
import pytest

from ser_ray import storage
from tests.storage.conftest import TABLE


def test_what_is_written_is_read_back(place):
    storage.write_bytes(storage.join(place, "deep", "a.bin"), b"\x00one")
    storage.write_json(storage.join(place, "b.json"), {"emotion": "Ärger", "n": [1, None]})
    storage.write_parquet(storage.join(place, "c.parquet"), TABLE)
    assert storage.read_bytes(storage.join(place, "deep", "a.bin")) == b"\x00one"
    assert storage.read_json(storage.join(place, "b.json")) == {"emotion": "Ärger", "n": [1, None]}
    assert storage.read_parquet(storage.join(place, "c.parquet")).equals(TABLE)
    assert storage.read_parquet(storage.join(place, "c.parquet"), ["n"]).column_names == ["n"]


def test_listing_is_sorted_tells_sizes_and_paths_and_leaves_hidden_files_out(place):
    for path in ("b/2.wav", "b/1.WAV", "a.txt", ".hidden/3.wav", "b/.4.wav", "_5.wav"):
        storage.write_bytes(storage.join(place, path), path.encode())
    listed = list(storage.list_files(place))
    assert [f.path for f in listed] == ["_5.wav", "a.txt", "b/1.WAV", "b/2.wav"]
    assert [f.size for f in listed] == [6, 5, 7, 7]
    assert [f.path for f in storage.list_files(place, deep=False)] == ["_5.wav", "a.txt"]
    assert [f.path for f in storage.list_files(place, (".wav",))] == ["_5.wav", "b/1.WAV", "b/2.wav"]
    assert storage.read_bytes(listed[2].uri) == b"b/1.WAV"


def test_listing_one_file_gives_that_file(place):
    file = storage.join(place, "calls", "a.wav")
    storage.write_bytes(file, b"abc")
    (only,) = storage.list_files(file)
    assert (only.path, only.size, storage.read_bytes(only.uri)) == ("a.wav", 3, b"abc")


def test_tag_changes_when_the_content_is_replaced(place):
    file = storage.join(place, "a.wav")
    storage.write_bytes(file, b"one")
    (before,) = storage.list_files(place)
    if storage.is_local(place):
        os.utime(storage.local_path(file), (1, 1))
    storage.write_bytes(file, b"two")
    (after,) = storage.list_files(place)
    assert before.tag
    assert before.tag != after.tag


def test_a_folder_of_parquet_files_reads_as_one_table_in_name_order(place):
    storage.write_parquet(storage.join(place, "2.parquet"), pa.table({"n": [3]}))
    storage.write_parquet(storage.join(place, "1.parquet"), pa.table({"n": [1, 2]}))
    storage.write_bytes(storage.join(place, "readme.txt"), b"no table")
    assert storage.read_parquet(place)["n"].to_pylist() == [1, 2, 3]


def test_remove_deletes_a_folder_and_ignores_what_is_not_there(place):
    storage.write_bytes(storage.join(place, "x", "a"), b"1")
    storage.write_bytes(storage.join(place, "y"), b"1")
    storage.remove(storage.join(place, "x"))
    storage.remove(storage.join(place, "never"))
    assert not storage.exists(storage.join(place, "x", "a"))
    assert storage.exists(storage.join(place, "y"))


@pytest.mark.parametrize("name", ["call [1].wav", "what?.wav", "a*b.wav", "10::30.wav", "Übung 1.wav"])
def test_names_with_pattern_and_chain_characters_are_plain_names(place, name):
    uri = storage.join(place, name)
    if "::" in name and not storage.is_local(place):
        pytest.skip("fsspec reads :: in a remote URI as a chain")
    storage.write_bytes(uri, b"sound")
    with storage.local_copy(uri) as path:
        assert path.read_bytes() == b"sound"
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"sound"
    assert [f.path for f in storage.list_files(place)] == [name]


def test_local_copy_of_a_remote_folder_is_complete_and_removed_after(bucket):
    storage.write_bytes(f"{bucket}/model/model.json", b"{}")
    storage.write_bytes(f"{bucket}/model/members/svm/w.bin", b"w")
    with storage.local_copy(f"{bucket}/model") as folder:
        assert folder.name == "model"
        assert (folder / "model.json").read_bytes() == b"{}"
        assert (folder / "members/svm/w.bin").read_bytes() == b"w"
    assert not folder.exists()


def test_local_copy_of_a_local_file_is_the_file_itself(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"1")
    with storage.local_copy(str(tmp_path / "a.wav")) as path:
        assert path == tmp_path / "a.wav"
    assert path.exists()


@pytest.mark.parametrize(
    ("uri", "local", "name"),
    [
        ("/data/calls/", True, "calls"),
        ("file:///data/calls", True, "calls"),
        ("s3://bucket/calls/", False, "calls"),
        ("s3://bucket", False, "bucket"),
    ],
)
def test_uris_are_told_apart(uri, local, name):
    assert storage.is_local(uri) is local
    assert storage.name(uri) == name
    assert storage.absolute(uri) == ("/data/calls" if local else uri.rstrip("/"))


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("calls") == str(tmp_path / "calls")
    storage.write_bytes("calls/a", b"1")
    (listed,) = storage.list_files("calls")
    assert listed.uri == str(tmp_path / "calls/a")
