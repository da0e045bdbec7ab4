"""Jobs submitted to a Ray head that asks for a token, and the exit codes that a scheduler sees."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from ser_ray import cli
from ser_ray.corpora import read_manifest, write_manifest
from ser_ray.errors import BadManifest, OutputConflict, UsageError
from ser_ray.pipelines.job import check_vacant, read_job, run_file
from ser_ray.pipelines.jobs import EvaluateJob, ExtractJob, ScoreJob, TrainJob, TuneJob

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
JOBS = {"extract": ExtractJob, "train": TrainJob, "tune": TuneJob, "evaluate": EvaluateJob, "score": ScoreJob}


@pytest.mark.parametrize("verb", JOBS)
def test_example_of_every_job_holds_only_options_that_it_has(verb: str) -> None:
    job = read_job(JOBS[verb], str(ROOT / "jobs" / f"{verb}.yaml"))
    assert isinstance(job, JOBS[verb])


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("archiv: a", "archiv"),
        ("archive: a\nensemble: b\nout: c\nmax_errors: 7", "max_errors"),
        ("archive: [a", "not YAML"),
        ("just text", "options"),
        ("!!python/object/apply:os.system [exit 3]", "not YAML"),
    ],
)
def test_wrong_job_file_is_bad_usage(
    text: str, mend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yaml").write_text(text)
    assert run_file(ScoreJob, [str(tmp_path / "job.yaml")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert mend in said


def test_share_of_errors_may_be_a_percentage() -> None:
    options = {"archive": "a", "ensemble": "b", "out": "c"}
    assert ScoreJob.of(**options, max_errors="2.5%").max_errors == 0.025
    assert ScoreJob.of(**options, max_errors=0.1).max_errors == 0.1


def test_output_that_is_there_is_never_replaced_by_accident(tmp_path: Path) -> None:
    check_vacant(str(tmp_path / "new"), "model.json", overwrite=False)
    check_vacant(str(tmp_path), "model.json", overwrite=False)  # empty
    (tmp_path / ".git").mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputConflict, match="not a folder of this kind"):
            check_vacant(str(tmp_path), "model.json", overwrite)
    (tmp_path / "model.json").touch()
    with pytest.raises(OutputConflict, match="--overwrite"):
        check_vacant(str(tmp_path), "model.json", overwrite=False)
    check_vacant(str(tmp_path), "model.json", overwrite=True)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[str, dict[str, str]]]:
    """A Ray head of its own that asks for a token: the address of its jobs, and the environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    port, dashboard = _free_port(), _free_port()
    command = [str(BIN / "ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=4"]
    command += [f"--dashboard-agent-listen-port={_free_port()}"]  # the other Ray's agent has the usual one
    command += [f"--dashboard-port={dashboard}", "--disable-usage-stats", "--object-store-memory=200000000"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not _answers(dashboard) and time.monotonic() < deadline:
        time.sleep(0.5)
    yield f"http://127.0.0.1:{dashboard}", environment
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait(30)


def submit(head: tuple[str, dict[str, str]], verb: str, config: Path) -> tuple[int, str]:
    """Exit code and log of `ray job submit`."""
    address, environment = head
    command = [str(BIN / "ray"), "job", "submit", "--address", address, "--working-dir", str(ROOT / "jobs")]
    command += ["--entrypoint-num-cpus", "0.1", "--", sys.executable, f"{verb}.py", str(config)]
    for _ in range(5):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        if "try again later" not in done.stderr:  # the head answers before its agent does
            break
        time.sleep(1)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.cluster
def test_submitted_jobs_extract_train_and_score_and_return_their_codes(
    head: tuple[str, dict[str, str]], corpus: str, deployment: Any, tmp_path: Path
) -> None:
    configs: dict[str, dict[str, Any]] = {
        "extract": {
            "manifest": corpus,
            "store": str(tmp_path / "s"),
            "features": ["mfcc_stats(band=telephone)"],
        },
        "train": {
            "family": "svm",
            "manifest": corpus,
            "store": str(tmp_path / "s"),
            "out": str(tmp_path / "svm"),
            "band": "telephone",
        },
        "score": {
            "archive": deployment.archive,
            "ensemble": str(tmp_path / "svm"),
            "out": str(tmp_path / "scores"),
            "max_errors": "5%",
        },
    }
    codes = {}
    for verb, options in configs.items():
        config = tmp_path / f"{verb}.yaml"
        config.write_text(yaml.safe_dump(options))
        codes[verb], log = submit(head, verb, config)
        assert "{" in log, log
        summary = next(json.loads(line) for line in reversed(log.splitlines()) if line.startswith("{"))
    assert codes == {"extract": 0, "train": 0, "score": 1}  # 11 of 40 calls are damaged: more than 5 %
    assert summary["counts"] == {"listed": 40, "ok": 28, "no_speech": 1, "error": 11}
    assert (tmp_path / "svm" / "model.json").exists()


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"inner_folds": 0}, "inner_folds"),
        ({"workers": 0}, "workers"),
        ({"checkpoints": "runs"}, "for several workers"),
        ({"stream": True}, "for several workers"),
        ({"log": "paper:here"}, "paper"),
    ],
)
def test_training_options_that_do_not_fit_are_refused(
    corpus: str, local_ray: None, tmp_path: Path, options: dict[str, Any], cause: str
) -> None:
    request = {"family": "mlp", "manifest": corpus, "store": str(tmp_path / "store"), **options}
    with pytest.raises(UsageError, match=cause):
        TrainJob.of(out=str(tmp_path / "model"), **request).run()
    assert not (tmp_path / "store").exists()


def test_evaluation_by_job_file_is_that_of_the_command(
    corpus: str,
    local_ray: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"manifest": corpus, "store": str(tmp_path / "store"), "protocol": "speaker", "folds": 2}
    options |= {"target": "svm", "settings": {"C": 3}, "inner_folds": 2, "seed": 3}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({**options, "out": str(tmp_path / "figures")}))
    assert run_file(EvaluateJob, [str(tmp_path / "job.yaml")]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "figures" / "evaluation.json").read_text()) == summary
    assert (summary["protocol"], summary["seed"], len(summary["folds"])) == ("speaker", 3, 2)
    assert summary["reports"].keys() == {"svm"}
    assert sum(summary["reports"]["svm"]["n"]) == 60
    command = ["evaluate", "svm", corpus, "--store", str(tmp_path / "store"), "--json"]
    command += ["--protocol", "speaker", "--folds", "2", "--set", "C=3", "--inner-folds", "2"]
    monkeypatch.setattr(sys, "argv", ["ser-ray", *command, "--seed", "3"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out) == summary


def test_saved_ensemble_is_evaluated_on_what_it_never_heard(
    corpus: str, deployment: Any, tmp_path: Path
) -> None:
    request = {"target": deployment.ensemble, "store": deployment.store, "protocol": "unseen"}
    with pytest.raises(BadManifest, match="trained the model"):
        EvaluateJob.of(manifest=corpus, **request).run()
    table = read_manifest(corpus)
    other = table.set_column(
        table.schema.get_field_index("id"),
        table.schema.field("id"),
        [[f"other/{i}" for i in table["id"].to_pylist()]],
    )
    write_manifest(other, str(tmp_path / "other.parquet"))
    summary = EvaluateJob.of(manifest=str(tmp_path / "other.parquet"), **request).run()
    assert (summary["protocol"], summary["folds"]) == ("unseen", ("unseen",))
    assert summary["reports"].keys() == {"svm", "random_forest", "rule:paper"}


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"folds": 1}, "folds"),
        ({"protocol": "losso"}, "loso"),
        ({"normalise": "cmn"}, "cmvn"),
        ({"settings": {"D": 1}}, "has a setting 'D'"),
        ({"protocol": "unseen", "settings": {"C": 1}}, "leave out"),
        ({"protocol": "unseen"}, "svm"),
        ({"workers": 2}, "workers"),
    ],
)
def test_wrong_evaluation_is_bad_usage(
    corpus: str,
    local_ray: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    mend: str,
) -> None:
    request = {"target": "svm", "manifest": corpus, "store": str(tmp_path / "store"), **options}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(request))
    assert run_file(EvaluateJob, [str(tmp_path / "job.yaml")]) == 2
    said = capsys.readouterr().err
    assert mend in said
    assert not (tmp_path / "store").exists()
