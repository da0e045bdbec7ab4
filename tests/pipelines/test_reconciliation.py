"""The counts at the end of a run: they add up, or the error has the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ser_ray import storage
from ser_ray.errors import RunFailed
from ser_ray.pipelines.reconciliation import reconcile
from ser_ray.pipelines.scores import Segment, explode, schema, segment_rows

LABELS = ("anger", "neutral")
GROUPS = {label: (label,) for label in LABELS}
LISTED = [f"call-{number}" for number in range(6)]
STATUSES = ["ok", "error", "ok", "no_speech", "ok", "error"]


@pytest.fixture
def out(tmp_path: Path) -> str:
    """Scores of six calls in two shards: the three that are ok have one, three and five segments."""
    for shard in (0, 3):
        rows = []
        for number in range(shard, shard + 3):
            spoken = [Segment("agent", s, s + 1, np.array([0.7, 0.3])) for s in range(number + 1)]
            found = segment_rows(spoken if STATUSES[number] == "ok" else [], LABELS, GROUPS)
            rows.append({"call_id": LISTED[number], "status": STATUSES[number], "segments": found})
        table = pa.Table.from_pylist(rows, schema=schema(LABELS))
        storage.write_parquet(str(tmp_path / "calls" / f"{shard}.parquet"), table)
        storage.write_parquet(str(tmp_path / "segments" / f"{shard}.parquet"), explode(table))
    return str(tmp_path)


def test_figures_are_those_of_the_files(out: str) -> None:
    figures = {"listed": 6, "ok": 3, "no_speech": 1, "error": 2, "rows": 6, "calls": 6}
    assert reconcile(out, LISTED) == {**figures, "segments": 9, "segment_rows": 9}


@pytest.mark.parametrize(
    ("part", "harm", "told"),
    [
        ("calls", "twice", "6 calls listed; 4 ok + 1 no_speech + 2 error; 7 rows in calls/, of 6 calls"),
        ("calls", "lost", "6 calls listed; 2 ok + 1 no_speech + 2 error; 5 rows in calls/, of 5 calls"),
        ("calls", "of another", "6 rows in calls/, of 6 calls, 1 of which nobody listed"),
        ("calls", "other status", "6 calls listed; 2 ok + 1 no_speech + 2 error; 6 rows in calls/, of 6"),
        ("segments", "lost", "9 segments in these rows, 8 in segments/"),
        ("segments", "twice", "9 segments in these rows, 10 in segments/"),
    ],
)
def test_any_difference_is_an_error_with_the_numbers(out: str, part: str, harm: str, told: str) -> None:
    place = f"{out}/{part}/0.parquet"
    table = storage.read_parquet(place)
    first, rest = table.slice(0, 1), table.slice(1)
    if harm in ("of another", "other status"):
        name, value = ("call_id", "nobody") if harm == "of another" else ("status", "unheard")
        number = table.schema.get_field_index(name)
        first = first.set_column(number, table.schema.field(number), [[value]])
    tables = {"lost": [rest], "twice": [first, first, rest]}.get(harm, [first, rest])
    storage.write_parquet(place, pa.concat_tables(tables))
    with pytest.raises(RunFailed) as failed:
        reconcile(out, LISTED)
    assert told in str(failed.value)
    assert failed.value.code == 1
