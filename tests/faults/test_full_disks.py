"""Disks that are full: said clearly, and gone on with when there is space."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ser_ray.errors import RunFailed
from ser_ray.pipelines.score import score
from tests.faults.conftest import rows_of

pytestmark = pytest.mark.usefixtures("local_ray")
PLANS = 48 << 10  # bytes for what is written beside the rows

# Features of 120 MB, for a Ray whose memory and disk have room for 84.
CROWDED = """
import sys
import numpy as np
import ray
from ser_ray.errors import RunFailed
from ser_ray.pipelines.cluster import put
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False,
         object_store_memory=80_000_000, object_spilling_directory=sys.argv[1])
try:
    kept = [put(np.ones(30_000_000, np.uint8)) for _ in range(4)]
except RunFailed as error:
    print(error, error.code)
"""


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


def test_features_that_neither_memory_nor_disk_can_hold_end_the_run_with_the_mend(disk: Path) -> None:
    command = [sys.executable, "-c", CROWDED, str(disk)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    said = next((line for line in told.stdout.splitlines() if line.startswith("no room")), told.stderr)
    assert "no room for the features in Ray's object store" in said
    assert said.endswith("another --object-spilling-directory. 1")
