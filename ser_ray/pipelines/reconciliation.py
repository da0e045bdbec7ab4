"""Whether a scores folder holds what was listed: counted from its files, once all are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from ser_ray import storage
from ser_ray.errors import RunFailed

READERS = 16  # files of a bucket that are read at the same time
STATUSES = ("ok", "no_speech", "error")


def reconcile(out: str, listed: Sequence[str]) -> dict[str, int]:
    """Count what is there, and compare.

    Args:
        out: scores folder whose run has come to its end.
        listed: ids of all calls.

    Returns:
        `listed`; `ok`, `no_speech`, `error`; `rows` in `calls/`, the `calls` that they are of; `segments` in
        these rows, and `segment_rows` in `segments/`.

    Raises:
        RunFailed: any of them that should be equal are not; the message has the numbers.
    """
    ids: Counter[str] = Counter()
    found: Counter[str] = Counter()
    with ThreadPoolExecutor(READERS) as pool:
        for table in pool.map(_calls, _files(out, "calls")):
            ids.update(table["call_id"].to_pylist())
            found.update(table["status"].to_pylist())
            found["segments"] += pc.sum(pc.list_value_length(table["segments"])).as_py() or 0
        found["segment_rows"] = sum(pool.map(_rows, _files(out, "segments")))
    figures = {"listed": len(listed), **{status: found[status] for status in STATUSES}}
    figures |= {"rows": ids.total(), "calls": len(ids)}
    figures |= {name: found[name] for name in ("segments", "segment_rows")}
    strange = len(ids.keys() - set(listed))
    sums = {len(listed), sum(figures[status] for status in STATUSES), ids.total(), len(ids)}
    if len(sums) > 1 or strange or found["segments"] != found["segment_rows"]:
        raise RunFailed(
            f"the counts of {out} do not add up: {len(listed)} calls listed; "
            f"{' + '.join(f'{figures[status]} {status}' for status in STATUSES)}; {ids.total()} rows "
            f"in calls/, of {len(ids)} calls, {strange} of which nobody listed; {found['segments']} segments "
            f"in these rows, {found['segment_rows']} in segments/. Remove {out} and score again."
        )
    return figures


def _files(out: str, part: str) -> list[str]:
    return [file.uri for file in storage.list_files(storage.join(out, part), (".parquet",))]


def _calls(file: str) -> pa.Table:
    return storage.read_parquet(file, ["call_id", "status", "segments"])


def _rows(file: str) -> int:
    return len(storage.read_parquet(file, ["call_id"]))
