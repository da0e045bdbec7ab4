"""Inventories: what a bucket holds, as S3 Inventory writes it down once a day.

A bucket of millions is known from some files, without asking for each of its objects.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from ser_ray.errors import BadManifest
from ser_ray.storage.files import read_bytes, read_json, read_parquet
from ser_ray.storage.uris import is_local, local_path, name

MANIFEST = "manifest.json"
INVENTORY = pa.schema(
    [("uri", pa.string()), ("path", pa.string()), ("size", pa.int64()), ("tag", pa.string())]
)
COLUMNS = {  # of CSV and of Parquet
    "Bucket": "bucket",
    "Key": "key",
    "Size": "size",
    "ETag": "e_tag",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
}


def is_inventory(uri: str) -> bool:
    """Whether `uri` is the manifest of an inventory by its name."""
    return name(uri) == MANIFEST


def read_inventory(uri: str) -> Iterator[pa.Table]:
    """The objects of an inventory, a table for each of its files.

    Args:
        uri: of its `manifest.json`. The files are where it says; of a local copy in `../data`.

    Yields:
        Tables with `uri`, `path` (the key), `size` in bytes and `tag`, which changes with the content; the
        latest versions, without those deleted.

    Raises:
        BadManifest: it is not an inventory, of ORC files, or without the sizes or ETags.
    """
    manifest = read_json(uri)
    try:
        files = [str(file["key"]) for file in manifest["files"]]
        kind, bucket = manifest["fileFormat"], manifest["destinationBucket"].rsplit(":", 1)[-1]
        columns = [column.strip() for column in manifest["fileSchema"].split(",")]
    except (KeyError, TypeError) as error:
        raise BadManifest(f"{uri} is not the manifest of an S3 Inventory: it lacks {error}.") from error
    if kind not in ("CSV", "Parquet"):
        raise BadManifest(f"{uri} is an inventory of {kind} files. Have it made as CSV or Parquet.")
    for key in files:
        copied = str(local_path(uri).parent.parent / "data" / name(key))
        file = copied if is_local(uri) else f"{uri.split('://')[0]}://{bucket}/{key}"
        yield _latest(_read_csv(file, columns) if kind == "CSV" else read_parquet(file), uri, kind)


def _read_csv(uri: str, columns: list[str]) -> pa.Table:
    data = read_bytes(uri)
    if uri.endswith(".gz"):
        data = gzip.decompress(data)
    options = pacsv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=True)
    return pacsv.read_csv(
        pa.BufferReader(data),
        read_options=pacsv.ReadOptions(column_names=columns),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    )


def _latest(table: pa.Table, uri: str, kind: str) -> pa.Table:
    table = table.rename_columns([COLUMNS.get(column, column) for column in table.column_names])
    if lacking := {"bucket", "key", "size", "e_tag"} - set(table.column_names):
        raise BadManifest(f"{uri} tells no {', '.join(sorted(lacking))}. Add it to the inventory.")
    if "is_latest" in table.column_names:
        table = table.filter(pc.equal(_lower(table["is_latest"]), "true"))
    if "is_delete_marker" in table.column_names:
        table = table.filter(pc.not_equal(_lower(table["is_delete_marker"]), "true"))
    keys = table["key"].cast(pa.string())
    if kind == "CSV":  # there they are URL-encoded
        encoded = pc.or_(pc.match_substring(keys, "%"), pc.match_substring(keys, "+"))
        if pc.any(encoded).as_py():
            keys = pa.array([unquote_plus(key) for key in keys.to_pylist()], pa.string())
    uris = pc.binary_join_element_wise("s3:/", table["bucket"].cast(pa.string()), keys, "/")
    sizes = pc.fill_null(table["size"].cast(pa.int64()), 0)
    tags: Any = pc.fill_null(pc.replace_substring(table["e_tag"].cast(pa.string()), '"', ""), "")
    found = pa.table([uris, keys, sizes, tags], schema=INVENTORY)
    hidden = pc.match_substring_regex(found["path"], r"(^|/)\.|/$")
    return found.filter(pc.invert(hidden))


def _lower(column: Any) -> Any:
    return pc.utf8_lower(column.cast(pa.string()))
