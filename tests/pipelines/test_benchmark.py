"""The course of a scoring run, as a benchmark tells it from the shards' files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from ser_ray import storage
from ser_ray.pipelines.benchmark import course_of
from ser_ray.pipelines.shard import METADATA


def test_course_tells_calls_a_second_and_memory_of_each_part_of_a_run(tmp_path: Path) -> None:
    shards = [(n / 2, 100) for n in range(21)] + [(10 + n, 100 + n) for n in range(1, 21)]
    for number, (ended, mib) in enumerate(shards):  # twice as slow from the middle on, and growing
        about = {"seconds": {}, "peak_mib": mib, "ended": 1000.0 + ended}
        named = pa.table({"duration_s": [3.0] * 16}).replace_schema_metadata({METADATA: json.dumps(about)})
        storage.write_parquet(str(tmp_path / "calls" / f"{-number}.parquet"), named)
    course = course_of(str(tmp_path))
    assert course["calls_per_s_by_parts"] == pytest.approx([32.0] * 5 + [16.0] * 5)
    assert course["times_real_time_by_parts"] == pytest.approx([96.0] * 5 + [48.0] * 5)
    assert course["peak_worker_mib_by_parts"] == [100] * 5 + [104, 108, 112, 116, 120]
