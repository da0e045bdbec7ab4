"""From a URI to the file system that opens it."""

from __future__ import annotations

from typing import Any

import fsspec
import pyarrow.fs

from ser_ray.storage.failures import clear_errors
from ser_ray.storage.uris import absolute, is_local


def filesystem(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it."""
    if is_local(uri):  # not by fsspec, which takes `::` in a file name for a chain of file systems
        return fsspec.filesystem("file"), absolute(uri)
    if uri.startswith(("s3://", "s3a://")):
        from ser_ray.storage.s3 import Buckets  # takes a second, which not everybody needs

        return Buckets(), str(Buckets._strip_protocol(uri))
    fs, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    return fs, str(path)


def arrow_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a URI as Arrow's, with our credentials and endpoint, and the path in it."""
    with clear_errors(uri):
        fs, path = filesystem(absolute(uri))
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs)), path
