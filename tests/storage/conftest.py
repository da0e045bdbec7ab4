"""Places to keep files in: a disk and a bucket."""

import fsspec
import pyarrow as pa
import pytest

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
