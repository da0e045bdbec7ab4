"""Folders that hold no scores, or scores that are damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray.errors import BadStore, MissingInput
from ser_ray.reports import summarise
from tests.reports.nights import night, write_scores


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="scores folder not found"):
        summarise(str(tmp_path / "nowhere"))


def test_folder_without_run_json_is_not_a_scores_folder(tmp_path: Path) -> None:
    with pytest.raises(BadStore, match=r"no run\.json"):
        summarise(str(tmp_path))


def test_folder_without_calls_is_reported(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    shutil.rmtree(tmp_path / "scores" / "calls")
    with pytest.raises(MissingInput, match="scores/calls"):
        summarise(scores)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "has format None"),
        ('{"format": 2}', "has format 2, this version reads 1"),
        ('{"format": 1}', "archive: Field required"),
    ],
)
def test_foreign_run_json_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    (tmp_path / "scores" / "run.json").write_text(content)
    with pytest.raises(BadStore, match=message) as error:
        summarise(scores)
    assert "\n" not in str(error.value)


def test_foreign_parquet_is_refused_with_the_missing_columns(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", [])
    for file in (tmp_path / "scores" / "calls").iterdir():
        pq.write_table(pa.table({"call_id": ["a"], "price": [1.0]}), file)
    with pytest.raises(BadStore, match=r"scores/calls does not hold.*uri") as error:
        summarise(scores)
    assert "\n" not in str(error.value)


def test_damaged_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    file = tmp_path / "scores" / "calls" / "part-1.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadStore, match=r"scores/calls does not hold") as error:
        summarise(scores)
    assert "\n" not in str(error.value)


def test_files_of_two_schemas_are_refused(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores", night(2))
    file = tmp_path / "scores" / "calls" / "part-0.parquet"
    table = pq.read_table(file)
    column = table.schema.get_field_index("duration_s")
    pq.write_table(table.set_column(column, "duration_s", pa.array(["long"] * len(table))), file)
    with pytest.raises(BadStore, match="duration_s has incompatible types"):
        summarise(scores)
