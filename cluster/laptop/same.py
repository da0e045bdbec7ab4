"""Whether two runs scored the same calls alike: python cluster/laptop/same.py SCORES SCORES

Every row counts: status, error, segments, roll-up. Numbers may differ by 0.00001, and places may differ.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from ser_ray import storage
from ser_ray.errors import SerRayError

TOLERANCE = 1e-5
PLACED = ("uri", "error")  # the message names the place; its stage and type are compared


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two values of plain data differ."""
    if isinstance(a, float) and isinstance(b, float):
        return [] if math.isclose(a, b, abs_tol=TOLERANCE) else [f"{where}: {a} and {b}"]
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [found for key in a for found in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [found for i, (x, y) in pairs for found in differences(x, y, f"{where}[{i}]")]
    return [] if type(a) is type(b) and a == b else [f"{where}: {a} and {b}"]


def read(scores: str) -> dict[str, Any]:
    """The rows of a run by their calls."""
    rows = storage.read_parquet(storage.join(scores, "calls")).drop_columns(PLACED).to_pylist()
    return {row.pop("call_id"): row for row in rows}


def main(arguments: list[str]) -> int:
    """Print the verdict; the exit code is 0 where all rows are the same."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        a, b = map(read, arguments)
    except SerRayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    found = [f"{call} only in one of them" for call in sorted(a.keys() ^ b.keys())]
    found += [text for call in a if call in b for text in differences(a[call], b[call], call)]
    segments = sum(len(row["segments"]) for row in a.values())
    print("\n".join(found[:20]) or f"the same: {len(a)} calls, {segments} segments")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
