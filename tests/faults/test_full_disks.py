"""Disks that are full: said clearly, and gone on with when there is space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ser_ray.errors import RunFailed
from ser_ray.pipelines.score import score
from tests.faults.conftest import rows_of

pytestmark = pytest.mark.usefixtures("local_ray")
PLANS = 48 << 10  # bytes for what is written beside the rows


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_full_output_ends_the_run_with_its_cause_and_space_lets_it_go_on(
    archive: str, deployment: Any, undisturbed: Path, disk: Path
) -> None:
    rows = sum(path.stat().st_size for path in (undisturbed / "calls").iterdir())
    space = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(bytes(space.f_bavail * space.f_frsize - PLANS - rows // 2))
    with pytest.raises(
        RunFailed, match=r"disk full while writing .*\.parquet\. Free space.* is kept"
    ) as full:
        score(archive, deployment.ensemble, str(disk / "scores"))
    assert full.value.exit_code == 1
    kept = {path: path.stat().st_mtime_ns for path in (disk / "scores" / "calls").iterdir()}
    assert 0 < len(kept) < 5
    filler.unlink()
    score(archive, deployment.ensemble, str(disk / "scores"))
    assert rows_of(disk / "scores") == rows_of(undisturbed)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
