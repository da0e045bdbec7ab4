"""What is written is there whole or not at all: full disks, failures, killed writers."""

import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ser_ray import storage
from ser_ray.errors import StorageFailed
from tests.storage.conftest import TABLE


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


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
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
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
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
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
