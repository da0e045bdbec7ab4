"""Every path the product touches: local, `s3://`, or anything else that fsspec opens.

Credentials, regions and endpoints come from the standard environment of each store (for S3:
`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...) and from `StorageOptions`; credentials are
never logged. A reader never sees a half-written file: it is written beside its place and renamed, or put
in one request where the store takes it whole or not at all.
"""

from ser_ray.storage.files import (
    PARTIAL,
    clear_partial,
    exists,
    local_copy,
    new_directory,
    read_bytes,
    read_json,
    read_parquet,
    remove,
    require,
    write_bytes,
    write_json,
    write_parquet,
)
from ser_ray.storage.filesystems import arrow_filesystem
from ser_ray.storage.inventory import is_inventory, read_inventory
from ser_ray.storage.listing import FileInfo, file_info, list_files, list_folders
from ser_ray.storage.options import StorageOptions, environment, options_in_use, use_options
from ser_ray.storage.uris import absolute, is_local, join, local_path, name

__all__ = [
    "PARTIAL",
    "FileInfo",
    "StorageOptions",
    "absolute",
    "arrow_filesystem",
    "clear_partial",
    "environment",
    "exists",
    "file_info",
    "is_inventory",
    "is_local",
    "join",
    "list_files",
    "list_folders",
    "local_copy",
    "local_path",
    "name",
    "new_directory",
    "options_in_use",
    "read_bytes",
    "read_inventory",
    "read_json",
    "read_parquet",
    "remove",
    "require",
    "use_options",
    "write_bytes",
    "write_json",
    "write_parquet",
]
