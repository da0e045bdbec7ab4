"""The feature store: Parquet keyed by utterance and feature fingerprint, filled once, read often.

    STORE/mfcc_stats-1f0c.../feature.json       the parameters, for people
                            /values/*.parquet   id, source, value
                            /failed/*.parquet   id, source, uri, error_type, error: the ledger

`source` is a hash of what the manifest says of the sound (URI, start, end, channel, augmentation), so
that an id which comes to mean other audio is extracted anew. Vectors are fixed-shape tensors; frame
sequences are a flat list beside their shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ser_ray import storage
from ser_ray.errors import BadStore, StorageFailed
from ser_ray.features.feature import Array, Feature

Key = tuple[str, str]  # id, source
PLACE = (
    "uri",
    "start_s",
    "end_s",
    "channel",
    "augmentation",
)  # columns that say what an utterance sounds like
FAILED = pa.schema([(c, pa.string()) for c in ("id", "source", "uri", "error_type", "error")])


@dataclass(frozen=True)
class Failure:
    """One utterance that could not be extracted."""

    key: Key
    uri: str
    error_type: str
    error: str


def source_of(
    uri: str, start_s: float | None, end_s: float | None, channel: int | None, augmentation: str | None = None
) -> str:
    """Hash of an utterance's sound: where it lies, and what was done to it."""
    place = f"{uri}|{start_s}|{end_s}|{channel}" + (f"|{augmentation}" if augmentation else "")
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def keys_of(manifest: pa.Table) -> list[Key]:
    """The store's key of each manifest row."""
    columns = [manifest[c].to_pylist() for c in ("id", *PLACE)]
    return [(row[0], source_of(*row[1:])) for row in zip(*columns, strict=True)]


class FeatureStore:
    """A folder or bucket prefix of extracted features.

    Args:
        uri: where it is, or shall be.
    """

    def __init__(self, uri: str) -> None:
        self.uri = storage.absolute(uri)

    def place(self, feature: Feature) -> str:
        """The folder of one feature."""
        return storage.join(self.uri, f"{feature.name}-{feature.fingerprint}")

    def open(self, feature: Feature) -> None:
        """Make the feature's folder ready for writing and clear what a killed run left half-written."""
        place = self.place(feature)
        for part in ("values", "failed"):
            storage.clear_partial(storage.join(place, part))
        if not storage.exists(storage.join(place, "feature.json")):
            description = {"spec": feature.spec, "fingerprint": feature.fingerprint, **feature.to_dict()}
            storage.write_json(storage.join(place, "feature.json"), description)

    def write(self, feature: Feature, keys: Sequence[Key], values: Sequence[Array]) -> None:
        """Add the values of some utterances, all or none."""
        if keys:
            table = pa.table(
                {"id": [k[0] for k in keys], "source": [k[1] for k in keys], **_columns(feature, values)}
            )
            storage.write_parquet(storage.join(self.place(feature), "values", _part_name(keys)), table)

    def write_failures(self, feature: Feature, failures: Sequence[Failure]) -> None:
        """Add to the ledger of what could not be extracted."""
        if failures:
            rows = [
                dict(zip(FAILED.names, (*f.key, f.uri, f.error_type, f.error), strict=True)) for f in failures
            ]
            part = _part_name([f.key for f in failures])
            table = pa.Table.from_pylist(rows, schema=FAILED)
            storage.write_parquet(storage.join(self.place(feature), "failed", part), table)

    def done(self, feature: Feature) -> set[Key]:
        """Keys of all utterances extracted."""
        return _keys(self._read(feature, "values", ["id", "source"]))

    def failures(self, feature: Feature) -> list[Failure]:
        """The ledger: what failed and was not extracted since."""
        done = self.done(feature)
        rows = self._read(feature, "failed", None)
        if rows is None:
            return []
        found = {
            (r["id"], r["source"]): Failure((r["id"], r["source"]), r["uri"], r["error_type"], r["error"])
            for r in rows.to_pylist()
        }
        return [failure for key, failure in found.items() if key not in done]

    def found(self, feature: Feature, manifest: pa.Table) -> np.ndarray:
        """The numbers of the manifest rows that have a value [found], ascending.

        Raises:
            BadStore: the store is not readable, some rows were never extracted, or all of them failed.
        """
        done, keys = self.done(feature), keys_of(manifest)
        failed = _keys(self._read(feature, "failed", ["id", "source"]))
        missing = [k for k in keys if k not in done and k not in failed]
        if missing:
            raise BadStore(
                f"{self.uri} lacks {feature.spec} of {len(missing)} utterances, such as {missing[0][0]}. "
                f'Run: ser-ray extract MANIFEST -o {self.uri} -f "{feature.spec}"'
            )
        rows = np.array([i for i, k in enumerate(keys) if k in done], dtype=np.int64)
        if not len(rows):
            raise BadStore(
                f"{self.uri} holds no value of {feature.spec}: all {len(keys)} utterances failed. "
                "See why in its folder `failed`, mend the audio, and extract with --retry-failed."
            )
        return rows

    def load(self, feature: Feature, manifest: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """The values of manifest rows.

        Returns:
            The row numbers that have a value [found], and their values in the same order: float32
            [found, columns] for a vector, an object array [found] of arrays for frame sequences.

        Raises:
            BadStore: see `found`.
        """
        rows = self.found(feature, manifest)
        parts, part, row = self.places(feature, manifest.take(pa.array(rows)))
        taken = [np.flatnonzero(part == number) for number in np.unique(part)]
        values = np.concatenate([self.read(feature, parts[part[some[0]]], row[some]) for some in taken])
        return rows, values[np.argsort(np.concatenate(taken))]

    def places(self, feature: Feature, manifest: pa.Table) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Where the values of manifest rows lie, all of which have one.

        Returns:
            Names of the feature's parts [parts]; the number of the part of each row, and the row in it
            [rows] both.
        """
        folder = storage.join(self.place(feature), "values")
        parts = sorted(storage.name(file.uri) for file in storage.list_files(folder, (".parquet",)))
        place: dict[Key, tuple[int, int]] = {}
        for number, part in enumerate(parts):
            table = _read(storage.join(folder, part), ["id", "source"])
            place |= {key: (number, row) for row, key in enumerate(_pairs(table))}
        found = np.array([place[key] for key in keys_of(manifest)], dtype=np.int64).reshape(-1, 2)
        return parts, found[:, 0], found[:, 1]

    def frames(self, feature: Feature, manifest: pa.Table) -> np.ndarray:
        """How many frames each manifest row has of a frame sequence, all of which have one [rows]; no value
        is read."""
        table = self._read(feature, "values", ["id", "source", "shape"])
        assert table is not None
        found = {key: shape[0] for key, shape in zip(_pairs(table), table["shape"].to_pylist(), strict=True)}
        return np.array([found[key] for key in keys_of(manifest)], dtype=np.int64)

    def read(self, feature: Feature, part: str, rows: np.ndarray) -> np.ndarray:
        """Values of some rows of a part; see `places` and `load`."""
        table = _read(storage.join(self.place(feature), "values", part))
        return _values(feature, table, rows)

    def size(self, feature: Feature) -> int:
        """Bytes that all values of a feature take in memory, roughly."""
        folder = storage.join(self.place(feature), "values")
        return sum(file.size for file in storage.list_files(folder, (".parquet",)))

    def _read(self, feature: Feature, part: str, columns: list[str] | None) -> pa.Table | None:
        folder = storage.join(self.place(feature), part)
        if not storage.exists(folder) or not any(storage.list_files(folder, (".parquet",))):
            return None
        return _read(folder, columns)


def _read(uri: str, columns: list[str] | None = None) -> pa.Table:
    """A part, or a folder of them."""
    try:
        return storage.read_parquet(uri, columns)
    except StorageFailed as error:
        raise BadStore(f"{error} Delete that file and extract again: the rest is kept.") from error


def _columns(feature: Feature, values: Sequence[Array]) -> dict[str, pa.Array]:
    if None not in feature.shape:
        stacked = np.ascontiguousarray(np.stack(values), dtype=np.float32)
        return {"value": pa.FixedShapeTensorArray.from_numpy_ndarray(stacked)}
    return {
        "value": pa.array([v.ravel() for v in values], type=pa.large_list(pa.float32())),
        "shape": pa.array([list(v.shape) for v in values], type=pa.list_(pa.int32())),
    }


def _values(feature: Feature, table: pa.Table, rows: np.ndarray) -> np.ndarray:
    if None not in feature.shape:
        column = table["value"].combine_chunks()
        return np.asarray(column.to_numpy_ndarray()[rows], dtype=np.float32)
    taken = table.take(pa.array(rows))
    result = np.empty(len(rows), dtype=object)
    for i, (flat, shape) in enumerate(zip(taken["value"], taken["shape"], strict=True)):
        result[i] = flat.values.to_numpy().reshape(shape.as_py())
    return result


def _pairs(table: pa.Table) -> Iterable[Key]:
    return zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True)


def _keys(table: pa.Table | None) -> set[Key]:
    return set() if table is None else set(_pairs(table))


def _part_name(keys: Sequence[Key]) -> str:
    digest = hashlib.sha256("\n".join(f"{i}|{s}" for i, s in keys).encode()).hexdigest()
    return f"{digest[:20]}.parquet"
