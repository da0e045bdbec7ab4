"""Every path the product touches: local, `s3://`, or anything else that fsspec opens.

Credentials, regions and endpoints come from the standard environment of each store (for S3:
`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...); none is ever logged. A reader never
sees a half-written file: local files are written beside their place and renamed, objects are put
in one request.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from ser_ray.errors import MissingInput, StorageFailed

PARTIAL = ".partial-"  # prefix of files and folders that are being written
TAGS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created")  # as the file systems name it


@dataclass(frozen=True)
class FileInfo:
    """One stored file.

    Attributes:
        uri: where it is.
        path: its path below the folder that was listed; its name where that was the file itself.
        size: in bytes.
        tag: changes with its content.
    """

    uri: str
    path: str
    size: int
    tag: str


def is_local(uri: str) -> bool:
    """Whether `uri` is on this machine's file system."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of a local URI."""
    return Path(uri.removeprefix("file://")).expanduser()


def absolute(uri: str | os.PathLike[str]) -> str:
    """`uri` with a local path made absolute, so that workers elsewhere mean the same file."""
    text = os.fspath(uri)
    return str(local_path(text).absolute()) if is_local(text) else text.rstrip("/")


def join(uri: str, *parts: str) -> str:
    """`uri` extended by path parts."""
    return "/".join([uri.rstrip("/"), *parts])


def name(uri: str) -> str:
    """The last part of `uri`."""
    return uri.rstrip("/").rsplit("/", 1)[-1]


def exists(uri: str) -> bool:
    """Whether a file, folder or prefix is there."""
    with _clear_errors(uri):
        fs, path = _filesystem(uri)
        return bool(fs.exists(path))


def require(uri: str, what: str) -> str:
    """`uri` made absolute.

    Raises:
        MissingInput: nothing is there; the message calls it `what`.
    """
    uri = absolute(uri)
    if not exists(uri):
        raise MissingInput(f"{what} not found: {uri}. Check the path (or the bucket and prefix).")
    return uri


def list_files(uri: str, suffixes: tuple[str, ...] = (), deep: bool = True) -> Iterator[FileInfo]:
    """Files below `uri` in path order, hidden ones left out; `uri` may be one file itself.

    Args:
        uri: folder, bucket prefix or file.
        suffixes: lower-case endings to keep, all files where empty.
        deep: also those in folders further down.
    """
    with _clear_errors(uri):
        fs, root = _filesystem(uri)
        found = fs.find(root, maxdepth=None if deep else 1, detail=True)
    for path in sorted(found):
        info = found[path]
        below = path[len(root.rstrip("/")) :].strip("/")
        if any(part.startswith(".") for part in below.split("/")):
            continue
        if suffixes and not path.lower().endswith(suffixes):
            continue
        tag = next((str(info[key]) for key in TAGS if info.get(key)), "")
        place = path if is_local(uri) else fs.unstrip_protocol(path)
        yield FileInfo(place, below or name(path), int(info["size"] or 0), tag)


def list_folders(uri: str) -> list[str]:
    """Names of the folders directly in `uri`."""
    with _clear_errors(uri):
        fs, path = _filesystem(uri)
        return sorted(name(i["name"]) for i in fs.ls(path, detail=True) if i["type"] == "directory")


def read_bytes(uri: str) -> bytes:
    """The whole content of one file."""
    with _clear_errors(uri):
        fs, path = _filesystem(uri)
        return bytes(fs.cat_file(path))


def write_bytes(uri: str, data: bytes) -> None:
    """Put one file, whole or not at all."""
    with _clear_errors(uri):
        if is_local(uri):
            _write_local(local_path(uri), lambda path: path.write_bytes(data))
        else:
            fs, path = _filesystem(uri)
            fs.pipe_file(path, data)


def read_json(uri: str) -> Any:
    """One JSON document."""
    return json.loads(read_bytes(uri))


def write_json(uri: str, value: Any) -> None:
    """Put one JSON document, whole or not at all."""
    write_bytes(uri, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_parquet(uri: str, columns: list[str] | None = None) -> pa.Table:
    """One Parquet file, or all Parquet files of a folder in name order."""
    with _clear_errors(uri):
        fs, path = _filesystem(uri)
        if not fs.isdir(path):
            with fs.open(path, "rb") as file:
                return pq.read_table(file, columns=columns)
        files = [f.uri for f in list_files(uri, (".parquet",))]
        if not files:
            raise MissingInput(f"no Parquet file in {uri}. Check the path (or the bucket and prefix).")
        return pa.concat_tables([read_parquet(f, columns) for f in files], promote_options="default")


def write_parquet(uri: str, table: pa.Table) -> None:
    """Put one Parquet file, whole or not at all."""
    with _clear_errors(uri):
        if is_local(uri):
            _write_local(local_path(uri), lambda path: pq.write_table(table, path, compression="zstd"))
        else:
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            write_bytes(uri, sink.getvalue().to_pybytes())


def remove(uri: str) -> None:
    """Delete a file or a folder with all below it; nothing happens where there is none."""
    with _clear_errors(uri):
        fs, path = _filesystem(uri)
        if fs.exists(path):
            fs.rm(path, recursive=True)


def clear_partial(uri: str, target: str | None = None) -> None:
    """Delete what killed writers left half-written directly in the local folder `uri`.

    Args:
        uri: the folder; in a bucket nothing is ever left half-written.
        target: name of the one file or folder whose remains go; those of all where None.
    """
    if is_local(uri) and local_path(uri).is_dir():
        with _clear_errors(uri):
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
        with _clear_errors(uri):
            fs, remote = _filesystem(uri)
            found = fs.find(remote) if fs.isdir(remote) else [remote]
            # Two lists, because a single name is taken for a pattern where it has brackets or stars.
            fs.get(found, [str(path) + file[len(remote) :] for file in found])
        yield path


@contextmanager
def new_directory(uri: str) -> Iterator[Path]:
    """A local folder to fill; it becomes `uri` only when the block ends without an error.

    A folder that was there before is replaced.
    """
    parent = local_path(uri).parent if is_local(uri) else Path(tempfile.gettempdir())
    with _clear_errors(uri):
        parent.mkdir(parents=True, exist_ok=True)
        if is_local(uri):  # only its own remains: others may be writing beside it
            clear_partial(str(parent), name(uri))
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix=f"-{name(uri)}", dir=parent))
    try:
        with _clear_errors(uri):
            folder = partial / "new"
            folder.mkdir()
            yield folder
            if is_local(uri):
                if local_path(uri).exists():
                    local_path(uri).rename(partial / "old")
                folder.rename(local_path(uri))
            else:
                remove(uri)
                fs, path = _filesystem(uri)
                fs.put(str(folder) + "/", path + "/", recursive=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def arrow_filesystem(uri: str) -> tuple[pa.fs.FileSystem, str]:
    """The file system of a URI as Arrow's, with our credentials and endpoint, and the path in it."""
    with _clear_errors(uri):
        fs, path = _filesystem(absolute(uri))
        return pa.fs.PyFileSystem(pa.fs.FSSpecHandler(fs)), path


def _filesystem(uri: str) -> tuple[Any, str]:
    if is_local(uri):  # not by fsspec, which takes `::` in a file name for a chain of file systems
        return fsspec.filesystem("file"), absolute(uri)
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, str(path)


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


@contextmanager
def _clear_errors(uri: str) -> Iterator[None]:
    """Turn what file systems raise into one sentence with the cause and the mend."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingInput(f"not found: {uri}. Check the path (or the bucket and prefix).") from error
    except PermissionError as error:
        raise StorageFailed(f"no permission for {uri}. Grant access or choose another place.") from error
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise StorageFailed(f"a file stands where a folder is needed, or the reverse: {uri}.") from error
    except pa.ArrowException as error:
        raise StorageFailed(f"not a readable Parquet file: {uri} ({error}).") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFailed(f"disk full while writing {uri}. Free space, then run again.") from error
        raise StorageFailed(f"storage failed for {uri}: {error}. Run again to go on.") from error
    except ImportError as error:
        raise StorageFailed(f"no driver for {uri}: {error}.") from error
