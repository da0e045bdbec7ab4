"""A Ray of several machines, of which each part dies in turn: the rows are those of an undisturbed run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ser_ray import features
from ser_ray.corpora.manifest import from_rows, write_manifest
from ser_ray.features.store import FeatureStore
from tests.faults.conftest import assert_same, rows_of
from tests.faults.nodes import Nodes
from tests.verbs import Ask, end, verbs

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """At first a head without CPUs, and nothing else."""
    nodes = Nodes(0)
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def ask(nodes: Nodes) -> Iterator[Ask]:
    """`ser-ray ARGUMENTS` there, by one driver that stays: exit code, standard output and standard error."""
    with verbs(nodes.environment | {"RAY_ADDRESS": nodes.address}) as ask:
        yield ask


class Night:
    """The scoring of an archive into one folder, by drivers of their own."""

    def __init__(self, archive: str, ensemble: str, out: Path) -> None:
        self.out = out
        self.command = [sys.executable, "-m", "ser_ray.cli", "score", archive, "-m", ensemble, "-o", str(out)]
        self.command += ["--max-errors", "100%"]

    def start(self, nodes: Nodes) -> subprocess.Popen[str]:
        """Begin, or go on."""
        environment = nodes.environment | {"RAY_ADDRESS": nodes.address}
        return subprocess.Popen(
            self.command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def hold(self) -> None:
        """Have the next worker that writes stop in mid-write."""
        self._held.unlink(missing_ok=True)
        Path(f"{self.out}.hold").mkdir()

    def held(self, driver: subprocess.Popen[str]) -> int:
        """The process that stopped there."""
        deadline = time.monotonic() + 300
        while not self._held.exists():
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return int(self._held.read_text())

    def written(self) -> dict[str, int]:
        """Files of the rows so far, and when they were written."""
        return {path.name: path.stat().st_mtime_ns for path in (self.out / "calls").glob("[0-9a-f]*.parquet")}

    @property
    def _held(self) -> Path:
        return Path(f"{self.out}.held")


@pytest.fixture
def night(archive: str, deployment: Any, tmp_path: Path) -> Night:
    return Night(archive, deployment.ensemble, tmp_path / "scores")


def test_cluster_without_workers_or_with_too_few_is_told_before_work_starts(
    ask: Ask, nodes: Nodes, night: Night, corpus: str, deployment: Any, tmp_path: Path
) -> None:
    code, _, err = ask(*night.command[3:])
    assert code == 1
    assert "no CPU to work with" in err
    assert "--cpus" in err
    assert not night.out.exists()
    nodes.add()
    nodes.add()
    ask("until", 2)
    network = ["train", "fcn", corpus, "--store", deployment.store, "--band", "telephone"]
    network += ["-o", tmp_path / "fcn", "--set", "epochs=2", "--inner-folds", "1"]
    code, _, err = ask(*network, "--workers", 3)
    assert code == 2
    assert "3 workers" in err
    assert "the cluster has 2" in " ".join(err.split())
    code, _, err = ask(*network)  # one fit, which would like all CPUs: more than a machine has
    assert code == 0, err


def test_worker_and_then_a_whole_machine_killed_in_mid_write_cost_no_row(
    ask: Ask, nodes: Nodes, night: Night, expected: list[dict[str, Any]]
) -> None:
    night.hold()
    driver = night.start(nodes)
    worker = night.held(driver)
    night.hold()
    os.kill(worker, signal.SIGKILL)
    machine = nodes.of(night.held(driver))
    end(machine)
    assert any((night.out / "calls").glob(".partial-*"))
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 0, out + err
    assert_same(rows_of(night.out), expected)
    nodes.workers.remove(machine)
    nodes.add()
    ask("until", 2)


def test_driver_killed_in_mid_write_and_of_two_that_go_on_at_once_one_refuses(
    nodes: Nodes, night: Night, expected: list[dict[str, Any]]
) -> None:
    night.hold()
    driver = night.start(nodes)
    night.held(driver)
    driver.kill()
    driver.wait()
    kept = night.written()
    assert len(kept) < 5
    drivers = [night.start(nodes), night.start(nodes)]
    said = {driver.returncode: text for text, driver in [(d.communicate(timeout=400), d) for d in drivers]}
    assert said.keys() == {0, 2}, said
    assert "another run is filling" in said[2][1]
    assert rows_of(night.out) == expected
    assert {name: at for name, at in night.written().items() if name in kept} == kept
    assert not list((night.out / "calls").glob(".partial-*"))


def test_recording_that_kills_and_one_that_hangs_its_decoder_cost_a_row_each(
    ask: Ask, deployment: Any, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    good = [row for row in expected if row["status"] == "ok"][:5]
    (tmp_path / "calls").mkdir()
    for row in good:
        shutil.copy(row["uri"], tmp_path / "calls" / Path(row["uri"]).name)
    for name in ("kills-its-decoder.wav", "hangs-its-decoder.wav"):
        shutil.copy(good[2]["uri"], tmp_path / "calls" / name)
    command = ["score", tmp_path / "calls", "-m", deployment.ensemble, "-o", tmp_path / "scores"]
    code, _, err = ask(*command, "--max-errors", "30%", "--call-time-limit", 10)
    assert code == 0, err
    rows = {row["call_id"]: row for row in rows_of(tmp_path / "scores")}
    assert len(rows) == 7
    for name, kind in (("kills-its-decoder.wav", "crash"), ("hangs-its-decoder.wav", "timeout")):
        row = rows[name]
        assert (row["status"], row["error_stage"], row["error_type"]) == ("error", "decode", kind)
        assert row["error"]
    renamed = [{**row, "call_id": Path(row["uri"]).name} for row in good]
    named = [{**rows[row["call_id"]], "uri": row["uri"]} for row in renamed]
    assert_same(named, renamed)


def test_utterance_that_kills_its_decoder_goes_to_the_ledger_and_the_rest_to_the_store(
    ask: Ask, corpus: str, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    good = [row["uri"] for row in expected if row["status"] == "ok"][:3]
    shutil.copy(good[0], tmp_path / "kills-its-decoder.wav")
    uris = [*good[:2], str(tmp_path / "kills-its-decoder.wav"), good[2]]
    manifest = from_rows([{"id": str(n), "uri": uri} for n, uri in enumerate(uris)])
    write_manifest(manifest, str(tmp_path / "manifest.parquet"))
    spec = "rms(band=telephone)"
    code, _, err = ask("extract", tmp_path / "manifest.parquet", "-o", tmp_path / "store", "-f", spec)
    assert code == 0, err
    store, feature = FeatureStore(str(tmp_path / "store")), features.get(spec)
    assert [(f.key[0], f.error_type) for f in store.failures(feature)] == [("2", "crash")]
    assert sorted(key[0] for key in store.done(feature)) == ["0", "1", "3"]


def test_head_killed_in_mid_write_and_the_same_request_on_a_new_cluster_of_one_cpu(
    nodes: Nodes, night: Night, expected: list[dict[str, Any]]
) -> None:
    night.hold()
    driver = night.start(nodes)
    night.held(driver)
    driver.kill()  # it runs on the head
    end(nodes.head)
    driver.wait()
    assert len(night.written()) < 5
    smallest = Nodes(1)
    try:
        driver = night.start(smallest)
        out, err = driver.communicate(timeout=400)
    finally:
        smallest.close()
    assert driver.returncode == 0, out + err
    assert rows_of(night.out) == expected
