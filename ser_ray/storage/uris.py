"""Names of places: local paths, `file://`, `s3://` and all other URIs."""

from __future__ import annotations

import os
import re
from pathlib import Path


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


def shown(uri: str) -> str:
    """`uri` as messages show it: without the name and the password that some hold."""
    return re.sub(r"://[^/@]*@", "://", uri)
