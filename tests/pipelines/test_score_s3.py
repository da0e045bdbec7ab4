"""Scoring and extraction over an S3 that is busy, slow, cut off and denied, and whose credentials go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ser_ray import storage
from ser_ray.corpora import read_manifest
from ser_ray.errors import RunFailed
from ser_ray.pipelines.extract import extract
from ser_ray.pipelines.score import score
from tests.pipelines.test_score import assert_alike, rows_of
from tests.s3 import S3, Fault

pytestmark = pytest.mark.usefixtures("local_ray")

CALLS = 12


@pytest.fixture
def shaky(s3: S3) -> Iterator[S3]:
    """The server that the workers know, whose faults end with the test."""
    s3.heal()
    yield s3
    s3.heal()


@pytest.fixture(scope="module")
def archive(deployment: Any, s3: S3) -> str:
    """Some undamaged calls in a bucket."""
    bucket = s3.bucket()
    damaged = storage.read_parquet(f"{deployment.archive}/damaged.parquet")["call"].to_pylist()
    good = [p for p in sorted(Path(deployment.archive).glob("call-*")) if p.name not in damaged][:CALLS]
    for path in good:
        storage.write_bytes(f"{bucket}/calls/{path.name}", path.read_bytes())
    return f"{bucket}/calls"


@pytest.fixture(scope="module")
def undisturbed(deployment: Any, archive: str, s3: S3) -> list[dict[str, Any]]:
    """The rows of a run that nothing befell."""
    out = s3.bucket() + "/scores"
    run = score(archive, deployment.ensemble, out)
    assert run["counts"] == {"listed": CALLS, "ok": CALLS, "no_speech": 0, "error": 0}
    return rows_of(out)


def test_a_busy_slow_cut_off_store_costs_no_row_and_a_denied_call_its_own(
    deployment: Any, archive: str, undisturbed: list[dict[str, Any]], shaky: S3
) -> None:
    calls = [row["call_id"] for row in undisturbed]
    out = shaky.bucket() + "/scores"
    shaky.faults[:] = [
        Fault(f"GET .*{calls[0]}", status=403),
        Fault(f"GET .*{calls[1]}", cut=0.5, times=1),
        Fault(f"GET .*{calls[2]}", delay_s=2.0, times=1),
        Fault("", status=503, times=4),
    ]
    run = score(archive, deployment.ensemble, out)
    assert run["counts"] == {"listed": CALLS, "ok": CALLS - 1, "no_speech": 0, "error": 1}
    assert run["errors"] == {"denied": 1}
    assert all(fault.met for fault in shaky.faults)
    denied, *others = rows_of(out)
    assert (denied["call_id"], denied["error_stage"]) == (calls[0], "read")
    assert denied["error"].startswith(f"no permission for {archive}/{calls[0]}. Grant access")
    assert [row["call_id"] for row in others] == calls[1:]
    assert_alike(others, undisturbed[1:])


def test_credentials_revoked_in_mid_run_end_it_and_the_next_run_scores_what_is_left(
    deployment: Any, archive: str, undisturbed: list[dict[str, Any]], shaky: S3
) -> None:
    out = shaky.bucket() + "/scores"
    shaky.faults[:] = [Fault(f"GET .*{undisturbed[-1]['call_id']}", status=403, code="InvalidAccessKeyId")]
    with pytest.raises(RunFailed, match=r"does not take these credentials \(InvalidAccessKeyId\)") as failed:
        score(archive, deployment.ensemble, out)
    assert not failed.value.passing
    assert storage.read_json(f"{out}/run.json")["complete"] is False
    shaky.heal()
    run = score(archive, deployment.ensemble, out)
    assert run["complete"]
    assert rows_of(out) == undisturbed


def test_extraction_from_a_failing_store_is_complete_but_for_what_is_denied(corpus: str, shaky: S3) -> None:
    manifest = read_manifest(corpus).slice(0, 8)
    bucket = shaky.bucket()
    uris = [f"{bucket}/{Path(uri).name}" for uri in manifest["uri"].to_pylist()]
    for uri, path in zip(uris, manifest["uri"].to_pylist(), strict=True):
        storage.write_bytes(uri, Path(path).read_bytes())
    manifest = manifest.set_column(manifest.column_names.index("uri"), "uri", pa.array(uris))
    shaky.faults[:] = [
        Fault(f"GET .*{storage.name(uris[0])}", status=403),
        Fault(f"GET .*{storage.name(uris[1])}", cut=0.5, times=1),
        Fault("", status=503, times=4),
    ]
    done = extract(manifest, f"{bucket}/store", ["rms"])
    assert (done.extracted, done.failed) == (7, {"denied": 1})
    assert all(fault.met for fault in shaky.faults)
