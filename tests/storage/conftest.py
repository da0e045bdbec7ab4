"""Places to keep files in: a disk, a store in memory, and buckets."""

import fsspec
import pyarrow as pa
import pytest

from ser_ray.storage.s3 import Buckets

TABLE = pa.table({"id": ["a", "b"], "n": [1, 2]})


@pytest.fixture
def bucket():
    """A remote store: fsspec's in-memory file system."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield "memory://bucket"
    memory.store.clear()


@pytest.fixture(params=["local", "memory", "s3"])
def place(request, tmp_path):
    """The same contracts hold on a disk, in another store and in S3."""
    if request.param == "local":
        return str(tmp_path / "root")
    return request.getfixturevalue("bucket" if request.param == "memory" else "s3_bucket")


@pytest.fixture
def s3_bucket(shaky):
    """A bucket of its own."""
    return shaky.bucket() + "/place"


@pytest.fixture
def shaky(s3, monkeypatch):
    """The S3 server, whose faults end with the test; of it little patience is wanted."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    Buckets.clear_instance_cache()
    s3.heal()
    yield s3
    s3.heal()
    Buckets.clear_instance_cache()
