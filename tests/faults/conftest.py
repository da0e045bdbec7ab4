"""Shared by the tests of faults: an archive of many shards, and what an undisturbed run says of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from ser_ray import storage
from ser_ray.pipelines.score import score

CALLS = 80  # five shards


def rows_of(scores: Path | str) -> list[dict[str, Any]]:
    """All rows of a scores folder, by call."""
    rows = storage.read_parquet(f"{scores}/calls").to_pylist()
    return sorted(rows, key=lambda row: str(row["call_id"]))


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """Every figure and text of a row by its place in it."""
    if not isinstance(value, dict | list):
        return {place: value}
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    parts = [flat(part, f"{place}/{key}") for key, part in inside]
    return {key: found for part in parts for key, found in part.items()}


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The same calls, each with the same row, to the last figure that scoring apart may change."""
    assert [row["call_id"] for row in found] == [row["call_id"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert flat(one) == pytest.approx(flat(other), abs=1e-5)


@pytest.fixture(scope="session")
def archive(deployment: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table that lists each call of the deployment twice."""
    place = tmp_path_factory.mktemp("archive") / "calls.csv"
    files = sorted(Path(deployment.archive).glob("call-*"))
    with place.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["call_id", "uri"])
        table.writerows([f"{n}-{path.name}", str(path)] for n in range(2) for path in files)
    return str(place)


@pytest.fixture(scope="session")
def undisturbed(archive: str, deployment: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scores of a run on one machine that nothing befell."""
    out = tmp_path_factory.mktemp("undisturbed") / "scores"
    assert score(archive, deployment.ensemble, str(out))["counts"]["listed"] == CALLS
    assert len(list((out / "calls").iterdir())) == 5
    return out


@pytest.fixture(scope="session")
def expected(undisturbed: Path) -> list[dict[str, Any]]:
    """Its rows."""
    return rows_of(undisturbed)
