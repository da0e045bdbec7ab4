"""Reading and writing: whole files, JSON, Parquet, folders."""

from __future__ import annotations

import glob
import json
import os
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ser_ray.errors import MissingInput
from ser_ray.storage.failures import clear_errors, is_broken
from ser_ray.storage.filesystems import filesystem
from ser_ray.storage.listing import list_files
from ser_ray.storage.uris import absolute, is_local, local_path, name, shown

PARTIAL = ".partial-"  # prefix of files and folders that are being written
READS = 4  # of a body that ends early; requests are repeated by the store's own driver
WHOLE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")  # what these are given is there whole or not at all

Read = TypeVar("Read")


def exists(uri: str) -> bool:
    """Whether a file, folder or prefix is there."""
    with clear_errors(uri):
        fs, path = filesystem(uri)
        try:
            fs.info(path)  # not `exists`, which takes every failure for a no
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def require(uri: str, what: str) -> str:
    """`uri` made absolute.

    Raises:
        MissingInput: nothing is there; the message calls it `what`.
    """
    uri = absolute(uri)
    if not exists(uri):
        with clear_errors(uri):
            list(zip(list_files(uri, deep=False), range(1), strict=False))  # a bucket that is missing says so
        raise MissingInput(f"{what} not found: {shown(uri)}. Check the path (or the bucket and prefix).")
    return uri


def read_bytes(uri: str) -> bytes:
    """The whole content of one file."""
    with clear_errors(uri):
        fs, path = filesystem(uri)
        return bytes(_repeated(lambda: fs.cat_file(path)))


def write_bytes(uri: str, data: bytes) -> None:
    """Put one file, whole or not at all."""
    with clear_errors(uri):
        if is_local(uri):
            _write_local(local_path(uri), lambda path: path.write_bytes(data))
        else:
            fs, path = filesystem(uri)
            _write_remote(fs, path, data)


def read_json(uri: str) -> Any:
    """One JSON document."""
    return json.loads(read_bytes(uri))


def write_json(uri: str, value: Any) -> None:
    """Put one JSON document, whole or not at all."""
    write_bytes(uri, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_parquet(uri: str, columns: list[str] | None = None) -> pa.Table:
    """One Parquet file, or all Parquet files of a folder in name order."""
    with clear_errors(uri):
        fs, path = filesystem(uri)
        if fs.info(path)["type"] != "directory":
            return _repeated(lambda: _read_table(fs, path, columns))
        files = [f.uri for f in list_files(uri, (".parquet",))]
        if not files:
            raise MissingInput(f"no Parquet file in {uri}. Check the path (or the bucket and prefix).")
        return pa.concat_tables([read_parquet(f, columns) for f in files], promote_options="default")


def write_parquet(uri: str, table: pa.Table) -> None:
    """Put one Parquet file, whole or not at all."""
    with clear_errors(uri):
        if is_local(uri):
            _write_local(local_path(uri), lambda path: pq.write_table(table, path, compression="zstd"))
        else:
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            write_bytes(uri, sink.getvalue().to_pybytes())


def remove(uri: str) -> None:
    """Delete a file or a folder with all below it; nothing happens where there is none."""
    with clear_errors(uri):
        fs, path = filesystem(uri)
        if fs.exists(path):
            fs.rm(path, recursive=True)


def clear_partial(uri: str, target: str | None = None) -> None:
    """Delete what killed writers left half-written directly in the local folder `uri`.

    Args:
        uri: the folder; in a bucket nothing is ever left half-written.
        target: name of the one file or folder whose remains go; those of all where None.
    """
    if is_local(uri) and local_path(uri).is_dir():
        with clear_errors(uri):
            for path in local_path(uri).glob(PARTIAL + ("*" if target is None else _remains_of(target))):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A local path that holds the content of `uri`; a remote file is fetched and removed after."""
    if is_local(uri):
        yield local_path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="ser-ray-") as folder:
        path = Path(folder) / name(uri)
        with clear_errors(uri):
            fs, remote = filesystem(uri)
            _repeated(lambda: _fetch(fs, remote, path))
        yield path


@contextmanager
def new_directory(uri: str) -> Iterator[Path]:
    """A local folder to fill; it becomes `uri` only when the block ends without an error.

    A folder that was there before is replaced.
    """
    parent = local_path(uri).parent if is_local(uri) else Path(tempfile.gettempdir())
    with clear_errors(uri):
        parent.mkdir(parents=True, exist_ok=True)
        if is_local(uri):  # only its own remains: others may be writing beside it
            clear_partial(str(parent), name(uri))
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix=f"-{name(uri)}", dir=parent))
    try:
        with clear_errors(uri):
            folder = partial / "new"
            folder.mkdir()
            yield folder
            if is_local(uri):
                if local_path(uri).exists():
                    local_path(uri).rename(partial / "old")
                folder.rename(local_path(uri))
            else:
                remove(uri)
                _put_folder(folder, uri)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_table(fs: Any, path: str, columns: list[str] | None) -> pa.Table:
    with fs.open(path, "rb") as file:
        return pq.read_table(file, columns=columns)


def _fetch(fs: Any, remote: str, path: Path) -> None:
    try:
        fs.get_file(remote, str(path))  # first of all: a recording is a file, and each question costs
        if path.is_file():
            return
    except (FileNotFoundError, IsADirectoryError):
        if not fs.isdir(remote):
            raise
    found = fs.find(remote)
    # Two lists, because a single name is taken for a pattern where it has brackets or stars.
    fs.get(found, [str(path) + file[len(remote) :] for file in found])


def _repeated(read: Callable[[], Read]) -> Read:
    """What `read` gives, begun anew where a body ended before its time."""
    for attempt in range(READS - 1):
        try:
            return read()
        except Exception as error:
            if not is_broken(error):
                raise
            time.sleep(random.uniform(0, 0.2 * 4**attempt))
    return read()


def _put_folder(folder: Path, uri: str) -> None:
    fs, path = filesystem(uri)
    if _renames(fs):
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            _write_remote(fs, f"{path}/{file.relative_to(folder)}", file.read_bytes())
    else:
        fs.put(f"{folder}/", f"{path}/", recursive=True)


def _renames(fs: Any) -> bool:
    """Whether files are to be written beside their place and renamed, as on a disk."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    by_itself = type(fs).mv is not fsspec.AbstractFileSystem.mv  # not by a copy
    return by_itself and not set(protocols) & set(WHOLE)


def _write_remote(fs: Any, path: str, data: bytes) -> None:
    if not _renames(fs):
        fs.pipe_file(path, data)
        return
    folder = fs._parent(path)
    partial = f"{folder}/{PARTIAL}{uuid.uuid4().hex[:8]}-{name(path)}"
    fs.makedirs(folder, exist_ok=True)
    try:
        fs.pipe_file(partial, data)
        fs.mv(partial, path)
    finally:
        if fs.exists(partial):
            fs.rm_file(partial)


def _remains_of(target: str) -> str:
    return f"????????-{glob.escape(target)}"  # eight random characters, as `mkdtemp` draws them


def _write_local(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
