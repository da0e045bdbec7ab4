"""What is missing, damaged or forbidden is one clear error that names the mend."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray import storage
from ser_ray.errors import MissingInput, StorageFailed
from tests.storage.conftest import TABLE


def test_local_copy_of_nothing_is_missing_input(bucket):
    with (
        pytest.raises(MissingInput, match=r"not found: memory://bucket/no\.wav"),
        storage.local_copy(f"{bucket}/no.wav"),
    ):
        pass


def test_parts_that_do_not_fit_together_are_one_clear_error(place):
    storage.write_parquet(storage.join(place, "1.parquet"), pa.table({"n": [1]}))
    storage.write_parquet(storage.join(place, "2.parquet"), pa.table({"n": ["x"]}))
    with pytest.raises(StorageFailed, match="Parquet"):
        storage.read_parquet(place)


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
