import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray import storage
from ser_ray.errors import MissingInput, StorageFailed

TABLE = pa.table({"id": ["a", "b"], "n": [1, 2]})


@pytest.fixture
def bucket():
    """A remote store: fsspec's in-memory file system."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield "memory://bucket"
    memory.store.clear()


@pytest.fixture(params=["local", "remote"])
def place(request, tmp_path):
    """The same contracts hold on a disk and in a bucket."""
    return str(tmp_path / "root") if request.param == "local" else request.getfixturevalue("bucket")


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


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


def test_parts_that_do_not_fit_together_are_one_clear_error(place):
    storage.write_parquet(storage.join(place, "1.parquet"), pa.table({"n": [1]}))
    storage.write_parquet(storage.join(place, "2.parquet"), pa.table({"n": ["x"]}))
    with pytest.raises(StorageFailed, match="Parquet"):
        storage.read_parquet(place)


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


def test_local_copy_of_nothing_is_missing_input(bucket):
    with (
        pytest.raises(MissingInput, match=r"not found: memory://bucket/no\.wav"),
        storage.local_copy(f"{bucket}/no.wav"),
    ):
        pass


def test_a_write_that_fails_leaves_the_old_file_and_no_partial_one(tmp_path):
    target = tmp_path / "table.parquet"
    storage.write_parquet(str(target), TABLE)

    class Unwritable:
        """What pyarrow refuses in the middle of writing."""

    with pytest.raises((TypeError, AttributeError)):
        storage.write_parquet(str(target), Unwritable())
    assert everything_below(tmp_path) == {"table.parquet"}
    assert storage.read_parquet(str(target)).equals(TABLE)


@pytest.mark.parametrize("kind", ["bytes", "parquet", "directory"])
def test_a_file_that_cannot_grow_is_one_clear_error_and_leaves_nothing(tmp_path, kind):
    """A real limit of the kernel on the size of files stands for the full disk."""
    script = f"""
        import resource, signal, os
        import numpy as np, pyarrow as pa
        from ser_ray import storage
        from ser_ray.errors import StorageFailed
        noise = np.random.default_rng(0).bytes(1 << 20)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            if {kind!r} == "bytes":
                storage.write_bytes("out/file", noise)
            elif {kind!r} == "parquet":
                storage.write_parquet("out/file", pa.table({{"x": [noise]}}))
            else:
                with storage.new_directory("out/file") as folder:
                    (folder / "weights").write_bytes(noise)
        except StorageFailed as error:
            print(str(error))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "storage failed for out/file" in run.stdout
    assert everything_below(tmp_path / "out") == set()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


def test_a_full_disk_is_named(tmp_path):
    with (
        pytest.raises(StorageFailed, match=r"disk full while writing .*model\. Free space"),
        storage.new_directory(str(tmp_path / "model")),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"weights")
    assert everything_below(tmp_path) == set()


def test_new_directory_replaces_the_old_one_whole(place):
    target = storage.join(place, "model")
    for names in (("a", "b"), ("c",)):
        with storage.new_directory(target) as folder:
            for name in names:
                (folder / name).write_bytes(name.encode())
            (folder / "members").mkdir()
            (folder / "members" / "m").write_bytes(b"m")
    assert [f.path for f in storage.list_files(target)] == ["c", "members/m"]
    assert storage.read_bytes(storage.join(target, "c")) == b"c"
    assert [f.path for f in storage.list_files(place)] == ["model/c", "model/members/m"]
    if storage.is_local(place):
        assert everything_below(storage.local_path(place)) == {
            "model",
            "model/c",
            "model/members",
            "model/members/m",
        }


def test_new_directory_keeps_the_old_one_when_filling_fails(place):
    target = storage.join(place, "model")
    with storage.new_directory(target) as folder:
        (folder / "old").write_bytes(b"old")

    def fail():
        with storage.new_directory(target) as folder:
            (folder / "new").write_bytes(b"new")
            raise RuntimeError("no more memory")

    with pytest.raises(RuntimeError, match="no more memory"):
        fail()
    assert [f.path for f in storage.list_files(place)] == ["model/old"]


def test_what_a_killed_writer_left_of_a_directory_is_cleared_by_the_next(tmp_path):
    script = """
        import os, signal
        from ser_ray import storage
        with storage.new_directory("model [1]") as folder:
            (folder / "weights").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, env=environment, check=False
    )
    assert run.returncode == -9
    assert not (tmp_path / "model [1]").exists()
    assert any(path.name.startswith(storage.PARTIAL) for path in tmp_path.iterdir())
    assert list(storage.list_files(str(tmp_path))) == []
    with storage.new_directory(str(tmp_path / "model [1]")) as folder:
        (folder / "weights").write_bytes(b"whole")
    assert everything_below(tmp_path) == {"model [1]", "model [1]/weights"}


def test_two_directories_can_be_written_side_by_side(tmp_path):
    with storage.new_directory(str(tmp_path / "svm")) as first:
        (first / "weights").write_bytes(b"svm")
        with storage.new_directory(str(tmp_path / "svm-2")) as second:
            (second / "weights").write_bytes(b"svm-2")
    assert (tmp_path / "svm/weights").read_bytes() == b"svm"
    assert (tmp_path / "svm-2/weights").read_bytes() == b"svm-2"


def test_clear_partial_takes_files_and_folders_but_nothing_finished(tmp_path):
    (tmp_path / f"{storage.PARTIAL}12345678-a.parquet").write_bytes(b"half")
    (tmp_path / f"{storage.PARTIAL}abcdefgh-model").mkdir()
    (tmp_path / "a.parquet").write_bytes(b"whole")
    storage.clear_partial(str(tmp_path))
    storage.clear_partial(str(tmp_path / "never"))
    assert everything_below(tmp_path) == {"a.parquet"}


def test_missing_things_name_the_place_and_the_mend(place):
    missing = storage.join(place, "no.parquet")
    for read in (storage.read_bytes, storage.read_json, storage.read_parquet):
        with pytest.raises(MissingInput, match=r"no\.parquet\. Check the path"):
            read(missing)
    with pytest.raises(MissingInput, match=r"manifest not found: .*no\.parquet\. Check the path"):
        storage.require(missing, "manifest")
    assert list(storage.list_files(missing)) == []


def test_a_folder_without_parquet_is_missing_input(tmp_path):
    with pytest.raises(MissingInput, match="no Parquet file in"):
        storage.read_parquet(str(tmp_path))


def test_what_is_no_parquet_is_said_so(place):
    storage.write_bytes(storage.join(place, "a.parquet"), b"id,uri\n1,a.wav\n")
    with pytest.raises(StorageFailed, match="not a readable Parquet file"):
        storage.read_parquet(storage.join(place, "a.parquet"))


def test_a_truncated_parquet_is_said_so(tmp_path):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(StorageFailed, match="not a readable Parquet file"):
        storage.read_parquet(str(tmp_path / "a.parquet"))


def test_a_file_in_the_place_of_a_folder_is_said_so(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(StorageFailed, match="a file stands where a folder is needed"):
        storage.write_bytes(str(tmp_path / "taken" / "a"), b"1")
    with pytest.raises(StorageFailed, match="a file stands where a folder is needed"):
        storage.read_bytes(str(tmp_path))


@pytest.fixture
def locked(tmp_path):
    """A folder that nobody may enter; a test that runs as root lends itself another user's rights."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o000)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)


def test_no_permission_is_said_so(locked):
    for act in (storage.read_bytes, lambda uri: storage.write_bytes(uri, b"1")):
        with pytest.raises(StorageFailed, match=r"no permission for .*secret\. Grant access"):
            act(str(locked / "secret"))


def test_an_unknown_store_names_what_is_missing():
    with pytest.raises((StorageFailed, ValueError), match="nosuch"):
        storage.read_bytes("nosuch://bucket/a")


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
