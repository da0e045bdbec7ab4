"""Listing a folder or a bucket prefix of any size: files come as they are found, in path order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ser_ray.storage.failures import clear_errors
from ser_ray.storage.filesystems import filesystem
from ser_ray.storage.uris import is_local, name

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


def list_files(uri: str, suffixes: tuple[str, ...] = (), deep: bool = True) -> Iterator[FileInfo]:
    """Files below `uri` in path order, hidden ones left out; `uri` may be one file itself.

    Of S3 a page of a thousand is held at a time, of other places a folder.

    Args:
        uri: folder, bucket prefix or file.
        suffixes: lower-case endings to keep, all files where empty.
        deep: also those in folders further down.
    """
    with clear_errors(uri):
        fs, root = filesystem(uri)
        for info in _infos(fs, root.rstrip("/"), deep):
            path = info["name"]
            below = path[len(root.rstrip("/")) :].strip("/")
            if any(part.startswith(".") for part in below.split("/")):
                continue
            if suffixes and not path.lower().endswith(suffixes):
                continue
            yield _file(path if is_local(uri) else fs.unstrip_protocol(path), below or name(path), info)


def file_info(uri: str) -> FileInfo | None:
    """What is known of one file; None where there is none."""
    with clear_errors(uri):
        fs, path = filesystem(uri)
        info = _info(fs, path)
        return _file(uri, name(path), info) if info and info["type"] != "directory" else None


def list_folders(uri: str) -> list[str]:
    """Names of the folders directly in `uri`."""
    with clear_errors(uri):
        fs, path = filesystem(uri)
        return sorted(name(i["name"]) for i in fs.ls(path, detail=True) if i["type"] == "directory")


def _file(uri: str, path: str, info: dict[str, Any]) -> FileInfo:
    tag = next((str(info[key]) for key in TAGS if info.get(key)), "").strip('"')
    return FileInfo(uri, path, int(info["size"] or 0), tag)


def _infos(fs: Any, root: str, deep: bool) -> Iterator[dict[str, Any]]:
    if not hasattr(fs, "objects"):
        yield from _walk(fs, root, deep)
        return
    found = False
    for info in fs.objects(root, deep):
        found = True
        yield info
    if not found and "/" in root and (info := _info(fs, root)) and info["type"] == "file":
        yield info


def _walk(fs: Any, folder: str, deep: bool) -> Iterator[dict[str, Any]]:
    try:
        entries = fs.ls(folder, detail=True)
    except FileNotFoundError:
        return
    folders = {entry["name"] for entry in entries if entry["type"] == "directory"}
    # A folder stands where its files do in the order of whole paths: `a.wav` before those in `a`.
    for entry in sorted(entries, key=lambda e: e["name"] + "/" * (e["name"] in folders)):
        if entry["name"] not in folders:
            yield entry
        elif deep and entry["name"] != folder:
            yield from _walk(fs, entry["name"], deep)


def _info(fs: Any, path: str) -> dict[str, Any] | None:
    try:
        return dict(fs.info(path))
    except FileNotFoundError:
        return None
