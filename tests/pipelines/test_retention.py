"""Old nights go when a night is complete, and nothing else ever does."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import fsspec
import pytest

from ser_ray import storage
from ser_ray.errors import UsageError
from ser_ray.pipelines.jobs import ScoreJob
from ser_ray.pipelines.night import today
from ser_ray.pipelines.retention import remove_expired

RUN = {"format": 1, "archive": "/calls", "ensemble": {"fingerprint": "f"}, "counts": {"listed": 1}}


def _scores(place: str) -> str:
    """A folder as a run leaves it."""
    for name in ("calls/a.parquet", "segments/a.parquet", "report.html", "plan.parquet"):
        storage.write_bytes(storage.join(place, name), b"x")
    storage.write_json(storage.join(place, "plan.json"), {"archive": "/calls"})
    storage.write_json(storage.join(place, "run.json"), RUN)
    return place


@pytest.fixture(params=["disk", "bucket"])
def top(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path)
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/scores"


@pytest.mark.parametrize("pattern", ["dt={date}", "night-{date}.v2", "{date}/de", "{date}/of-{date}"])
def test_older_nights_go_and_younger_ones_stay(top: str, pattern: str) -> None:
    out = storage.join(top, pattern)

    def place(night: str) -> str:
        return _scores(out.replace("{date}", night))

    old, older, last, now, tomorrow = map(
        place, ("2026-08-23", "2025-01-01", "2026-08-24", "2026-11-22", "2026-11-23")
    )
    told = remove_expired(out, "2026-11-22", 90)
    assert told == {"keep_days": 90, "oldest": "2026-08-24", "removed": [older, old], "error": None}
    assert not any(storage.exists(storage.join(night, "run.json")) for night in (old, older))
    for kept in (last, now, tomorrow):
        assert len(list(storage.list_files(kept))) == 6
    assert remove_expired(out, "2026-11-22", 90)["removed"] == []


def test_folder_that_is_not_a_run_of_ours_stays_whole(top: str) -> None:
    for name in (
        "dt=2020-01-01x",
        "xdt=2020-01-01",
        "dt=2020-13-01",
        "dt=latest",
        "2020-01-01",
        "dt=20200101",
    ):
        _scores(storage.join(top, name))
    for name, content in [("run.json", b"{}"), ("run.json", b"{half"), ("run.json", b"[1]")]:
        other = _scores(storage.join(top, f"dt=2020-01-{len(content):02}"))
        storage.write_bytes(storage.join(other, name), content)
    storage.remove(storage.join(_scores(storage.join(top, "dt=2020-02-01")), "plan.json"))
    storage.write_bytes(storage.join(top, "dt=2020-03-01", "calls", "theirs.wav"), b"x")
    _scores(storage.join(top, "dt=2020-04-01", "below"))
    before = [file.uri for file in storage.list_files(top)]
    assert remove_expired(storage.join(top, "dt={date}"), "2026-11-22", 1)["removed"] == []
    assert [file.uri for file in storage.list_files(top)] == before


def test_what_others_keep_in_an_old_night_stays(top: str) -> None:
    old = _scores(storage.join(top, "dt=2020-01-01"))
    storage.write_bytes(storage.join(old, "transcripts", "a.txt"), b"x")
    assert remove_expired(storage.join(top, "dt={date}"), "2026-11-22", 1)["removed"] == [old]
    assert [file.path for file in storage.list_files(top)] == ["dt=2020-01-01/transcripts/a.txt"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "scores").symlink_to(tmp_path / "real")  # the way there may be one
    precious = _scores(str(tmp_path / "precious"))
    (tmp_path / "real" / "dt=2020-01-01").symlink_to(precious)
    (tmp_path / "real" / "dt=2020-01-02").mkdir()
    (tmp_path / "real" / "dt=2020-01-02" / "de").symlink_to(precious)
    old = _scores(str(tmp_path / "scores" / "dt=2020-01-03"))
    storage.remove(f"{old}/segments")
    Path(old, "segments").symlink_to(precious)
    assert remove_expired(str(tmp_path / "scores" / "dt={date}"), "2026-11-22", 1)["removed"] == [old]
    assert remove_expired(str(tmp_path / "scores" / "dt={date}" / "de"), "2026-11-22", 1)["removed"] == []
    assert len(list(storage.list_files(precious))) == 6


def test_night_of_the_future_by_mistake_does_not_remove_those_of_now(tmp_path: Path) -> None:
    yesterday = _scores(str(tmp_path / f"dt={today() - timedelta(days=1)}"))
    old = _scores(str(tmp_path / f"dt={date(2020, 1, 1)}"))
    assert remove_expired(str(tmp_path / "dt={date}"), "2126-11-22", 30)["removed"] == [old]
    assert storage.exists(yesterday)


def test_nights_that_cannot_be_looked_at_are_an_error_that_is_told(tmp_path: Path) -> None:
    told = remove_expired(str(tmp_path / "gone" / "dt={date}"), "2026-11-22", 30)
    assert told["removed"] == []
    assert "not found" in told["error"]


@pytest.mark.parametrize("out", ["scores", "/scores/2026-11-22", "s3://scores-{date}/x", "s3://{date}"])
def test_output_whose_nights_cannot_be_told_is_refused(out: str) -> None:
    request = {"archive": "calls", "ensemble": "e", "date": "2026-11-22"}
    with pytest.raises(UsageError, match=r"keep_days needs \{date\} in out"):
        ScoreJob.of(**request, out=out, keep_days=90)
    with pytest.raises(UsageError, match="keep_days"):
        ScoreJob.of(**request, out="scores/{date}", keep_days=0)
