"""Scoring: every call a row, whatever happens to the file or to the run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import soundfile as sf

from ser_ray import storage
from ser_ray.audio import read_audio, resample
from ser_ray.corpora import read_manifest
from ser_ray.errors import BandMismatch, OutputConflict
from ser_ray.models import save_model
from ser_ray.pipelines.drift import FEWEST
from ser_ray.pipelines.plan import list_calls, settle_plan
from ser_ray.pipelines.score import score
from ser_ray.pipelines.shard import ScoreOptions
from ser_ray.pipelines.train import train
from tests.pipelines.worker import a_good_call, score_one, worker

pytestmark = pytest.mark.usefixtures("local_ray")


def rows_of(scores: Path | str, part: str = "calls") -> list[dict[str, Any]]:
    """All rows of a scores folder in an order of their own."""
    rows = storage.read_parquet(f"{scores}/{part}").to_pylist()
    return sorted(rows, key=lambda row: (row["call_id"], row.get("leg", ""), row.get("start_s", 0.0)))


def assert_alike(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """The same findings, as in other company: the arithmetic of another batch may differ by 1e-5."""
    for row, other in zip(rows, others, strict=True):
        assert (row["status"], row["duration_s"]) == (other["status"], other["duration_s"])
        for one, two in zip(row["segments"], other["segments"], strict=True):
            assert [one[k] for k in ("leg", "start_s", "end_s")] == [
                two[k] for k in ("leg", "start_s", "end_s")
            ]
            assert one["p"] == pytest.approx(two["p"], abs=1e-5)


def files_of(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def scores(deployment: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run over the damaged archive. No other has its name, by which its metrics are known."""
    out = tmp_path_factory.mktemp("run") / "undisturbed"
    score(deployment.archive, deployment.ensemble, str(out))
    return out


def test_every_call_has_one_row_and_every_damage_its_status(deployment: Any, scores: Path) -> None:
    rows = {row["call_id"]: row for row in rows_of(scores)}
    listed = {p.name for p in Path(deployment.archive).glob("call-*")}
    assert rows.keys() == listed
    damaged = {
        r["call"]: r for r in storage.read_parquet(f"{deployment.archive}/damaged.parquet").to_pylist()
    }
    assert len(damaged) >= 10
    for call_id, row in rows.items():
        expected = damaged[call_id]["status"] if call_id in damaged else "ok"
        assert row["status"] == expected, (call_id, damaged.get(call_id), row["error"])
        typed = [row["error_stage"], row["error_type"], row["error"]]
        assert all(typed) if expected == "error" else not any(typed)


def test_counts_of_the_run_add_up(deployment: Any, scores: Path) -> None:
    run = json.loads((scores / "run.json").read_text())
    counts, rows = run["counts"], rows_of(scores)
    assert counts["listed"] == len(rows) == counts["ok"] + counts["no_speech"] + counts["error"]
    assert sum(run["errors"].values()) == counts["error"]
    assert run["audio_hours"] == pytest.approx(sum(r["duration_s"] for r in rows) / 3600)
    segments = sum(len(row["segments"]) for row in rows)
    assert run["reconciliation"] == {
        **counts, "rows": 40, "calls": 40, "segments": segments, "segment_rows": segments
    }  # fmt: skip
    assert run["complete"] is True
    assert run["other_files"] == 2
    assert run["ensemble"]["members"] == ["svm", "random_forest"]
    assert run["ensemble"]["groups"] == {"negative": ["anger", "sadness"], "neutral": ["neutral"]}
    assert run["ensemble"]["certain_from"] is None
    assert all(segment["certain"] for row in rows for segment in row["segments"])


def test_an_archive_like_the_training_set_is_compared_with_it_and_not_warned_of(scores: Path) -> None:
    drift, segments = json.loads((scores / "run.json").read_text())["drift"], rows_of(scores, "segments")
    assert drift["segments"] == len(segments) >= FEWEST
    assert drift["confidence"]["night"] == pytest.approx(np.mean([s["confidence"] for s in segments]))
    for label, share in drift["labels"]["night"].items():
        assert share == pytest.approx(np.mean([s["p"][label] for s in segments]), abs=1e-5)
    assert drift["warnings"] == []  # nor that the calls are of telephone rate: so is the ensemble


def _exported(name: str) -> dict[str, float]:
    """What Prometheus would read of a metric of the run, by the label that it has beside `run`."""
    node = next(node for node in ray.nodes() if node["Alive"])
    with urllib.request.urlopen(f"http://127.0.0.1:{node['MetricsExportPort']}/metrics", timeout=30) as page:
        lines = page.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith(f"ray_{name}{{") and 'run="undisturbed"' in line:
            labels = re.search(r'(?:stage|status|type)="(\w+)"', line)
            found[labels[1] if labels else ""] = float(line.rsplit(" ", 1)[1])
    return found


def test_metrics_of_the_run_are_its_figures(scores: Path) -> None:
    run = json.loads((scores / "run.json").read_text())
    deadline = time.monotonic() + 60  # Ray exports every ten seconds
    while not _exported("ser_ray_complete_timestamp_seconds") and time.monotonic() < deadline:
        time.sleep(0.5)
    counts = {status: run["counts"][status] for status in ("ok", "no_speech", "error")}
    assert _exported("ser_ray_calls_total") == counts
    assert _exported("ser_ray_errors_total") == run["errors"]
    assert _exported("ser_ray_audio_seconds_total")[""] == pytest.approx(3600 * run["audio_hours"])
    assert _exported("ser_ray_busy_seconds_total") == pytest.approx(run["stage_seconds"], abs=1e-3)
    assert _exported("ser_ray_core_times_real_time")[""] == pytest.approx(run["core_times_real_time"])
    assert _exported("ser_ray_calls_waiting") == {"": 0.0}
    finished = datetime.fromisoformat(run["finished"]).timestamp()
    assert _exported("ser_ray_complete_timestamp_seconds")[""] == pytest.approx(finished, abs=60)


def test_segments_are_speech_of_the_right_leg_and_mostly_the_right_emotion(
    deployment: Any, scores: Path
) -> None:
    truth = storage.read_parquet(f"{deployment.archive}/truth.parquet").to_pylist()
    segments = rows_of(scores, "segments")
    assert segments == sorted(
        ({"call_id": r["call_id"], **s} for r in rows_of(scores) for s in r["segments"]),
        key=lambda row: (row["call_id"], row["leg"], row["start_s"]),
    )
    right = total = 0.0
    for segment in segments:
        assert 0.5 <= round(segment["end_s"] - segment["start_s"], 3) <= 15.0
        assert sum(segment["p"].values()) == pytest.approx(1.0, abs=1e-4)
        for turn in truth:
            if (turn["call"], turn["leg"]) == (segment["call_id"], segment["leg"]):
                shared = min(turn["end_s"], segment["end_s"]) - max(turn["start_s"], segment["start_s"])
                total += max(shared, 0.0)
                right += max(shared, 0.0) * (turn["emotion"] == segment["emotion"])
    spoken = sum(turn["end_s"] - turn["start_s"] for turn in truth)
    assert total > 0.8 * spoken
    assert right > 0.7 * total  # three emotions, the speakers were heard in training


def test_finished_run_does_nothing_again(deployment: Any, scores: Path) -> None:
    before = files_of(scores)
    run = score(deployment.archive, deployment.ensemble, str(scores))
    assert run == json.loads((scores / "run.json").read_text())
    assert files_of(scores) == before


def test_rows_lost_with_a_shard_come_back_the_same(deployment: Any, scores: Path, tmp_path: Path) -> None:
    shutil.copytree(scores, tmp_path / "scores")
    lost = sorted((tmp_path / "scores" / "calls").iterdir())[0]
    lost.unlink()
    (lost.parent / ".partial-1-left.parquet").write_bytes(b"half")
    kept = files_of(lost.parent)
    run = score(deployment.archive, deployment.ensemble, str(tmp_path / "scores"))
    assert run["drift"] == json.loads((scores / "run.json").read_text())["drift"]
    assert rows_of(tmp_path / "scores") == rows_of(scores)
    assert rows_of(tmp_path / "scores", "segments") == rows_of(scores, "segments")
    after = files_of(lost.parent)
    assert {p: t for p, t in after.items() if p in kept} == {
        p: t for p, t in kept.items() if ".partial" not in p
    }


@pytest.mark.parametrize("change", ["ensemble", "option", "archive"])
def test_another_run_never_mixes_into_old_output(
    deployment: Any, scores: Path, tmp_path: Path, change: str
) -> None:
    archive, ensemble, options = deployment.archive, deployment.ensemble, ScoreOptions()
    if change == "ensemble":
        ensemble = str(Path(ensemble) / "members" / "svm")
    elif change == "option":
        options = ScoreOptions(legs=("left", "right"))
    else:
        shutil.copytree(scores, tmp_path / "scores")
        archive = str(tmp_path / "calls")
        shutil.copytree(deployment.archive, archive, copy_function=shutil.copy2)
        about = json.loads((tmp_path / "scores" / "plan.json").read_text())
        (tmp_path / "scores" / "plan.json").write_text(json.dumps({**about, "archive": archive}))
        os.utime(Path(archive) / "call-0001.wav", (1, 1))
        scores = tmp_path / "scores"
    before = files_of(scores)
    with pytest.raises(OutputConflict, match="1 changed" if change == "archive" else change):
        score(archive, ensemble, str(scores), options)
    assert files_of(scores) == before


def test_calls_that_came_late_are_scored_beside_those_that_stand(
    deployment: Any, scores: Path, tmp_path: Path
) -> None:
    archive, out = tmp_path / "calls", tmp_path / "scores"
    shutil.copytree(scores, out)
    shutil.copytree(deployment.archive, archive, copy_function=shutil.copy2)
    about = json.loads((out / "plan.json").read_text()) | {"archive": str(archive)}
    (out / "plan.json").write_text(json.dumps(about))
    good = a_good_call(deployment)
    shutil.copy(good, archive / "late.wav")
    settle_plan(str(out), list_calls(str(archive))[0], about)  # and then the driver was killed
    before = files_of(out / "calls")
    run = score(str(archive), deployment.ensemble, str(out))
    assert before.items() <= files_of(out / "calls").items()
    late, *others = [row for row in rows_of(out) if row["call_id"] in ("late.wav", good.name)][::-1]
    assert_alike([late], others)
    assert [row for row in rows_of(out) if row["call_id"] != "late.wav"] == rows_of(scores)
    assert len(rows_of(out, "segments")) == len(rows_of(scores, "segments")) + len(late["segments"])
    assert (run["late_calls"], run["counts"]["listed"]) == (1, len(rows_of(scores)) + 1)
    assert score(str(archive), deployment.ensemble, str(out)) == run


@pytest.mark.cluster
def test_killed_driver_started_again_ends_with_the_rows_of_an_undisturbed_run(
    deployment: Any, scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    command = [sys.executable, "-m", "ser_ray.cli", "score", deployment.archive, "-m", deployment.ensemble]
    command += ["-o", str(out), "--max-errors", "100%"]
    for seen in ("plan.json", "calls/[0-9a-f]*.parquet"):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 300
        while not any(out.glob(seen)) and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        assert not (out / "segments").exists()
    kept = {p: t for p, t in files_of(out / "calls").items() if ".partial" not in p}
    assert kept
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    assert rows_of(out) == rows_of(scores)
    assert rows_of(out, "segments") == rows_of(scores, "segments")
    assert {p: t for p, t in files_of(out / "calls").items() if p in kept} == kept


def test_call_scored_alone_equals_call_scored_in_company(
    deployment: Any, scores: Path, tmp_path: Path
) -> None:
    scorer = worker(deployment, tmp_path)
    together = [row for row in rows_of(scores) if row["status"] == "ok"][:4]
    for row in together:
        alone = score_one(scorer, Path(row["uri"]))
        assert len(alone["segments"]) == len(row["segments"])
        for a, b in zip(alone["segments"], row["segments"], strict=True):
            assert (a["leg"], a["emotion"]) == (b["leg"], b["emotion"])
            assert (a["start_s"], a["end_s"]) == pytest.approx((b["start_s"], b["end_s"]), abs=1e-4)
            assert list(a["p"].values()) == pytest.approx(list(b["p"].values()), abs=1e-5)


def test_wide_band_model_refuses_telephone_calls_and_says_the_mend(
    corpus: str, deployment: Any, tmp_path: Path
) -> None:
    wide, _ = train("svm", read_manifest(corpus), deployment.store)
    save_model(wide, str(tmp_path / "wide"))
    with pytest.raises(BandMismatch, match="--band telephone"):
        score(deployment.archive, str(tmp_path / "wide"), str(tmp_path / "scores"))
    assert not (tmp_path / "scores").exists()
    (tmp_path / "calls").mkdir()
    utterance = read_manifest(corpus)["uri"][0].as_py()
    shutil.copy(utterance, tmp_path / "calls" / "wide.wav")
    phone, rate = read_audio(str(a_good_call(deployment)))
    sf.write(tmp_path / "calls" / "phone.wav", phone, rate)
    sf.write(tmp_path / "calls" / "upsampled.wav", resample(phone, rate, 16000), 16000)
    score(str(tmp_path / "calls"), str(tmp_path / "wide"), str(tmp_path / "scores"))
    rows = {row["call_id"]: row for row in rows_of(tmp_path / "scores")}
    assert rows["wide.wav"]["status"] == "ok"
    for name in ("phone.wav", "upsampled.wav"):
        assert (rows[name]["error_stage"], rows[name]["error_type"]) == ("band", "band_mismatch")
    options = ScoreOptions(allow_band_mismatch=True)
    score(str(tmp_path / "calls"), str(tmp_path / "wide"), str(tmp_path / "allowed"), options)
    assert {row["status"] for row in rows_of(tmp_path / "allowed")} == {"ok"}
