"""Jobs on a Ray head that asks for a token: submitted once, followed, stopped, and who is refused."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from ser_ray.pipelines.jobs import ScoreJob
from ser_ray.pipelines.submissions import name_of

BIN = Path(sys.executable).parent


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[str]) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait(30)


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """A Ray head of its own that asks for a token: the environment of who may submit to it."""
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
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    deadline = time.monotonic() + 90
    while not _answers(dashboard) and time.monotonic() < deadline:
        time.sleep(0.5)
    yield environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    _end(process)


VERBS = """
import contextlib, io, json, sys
from ser_ray import cli
for line in sys.stdin:
    sys.argv = ["ser-ray", *json.loads(line)]
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def ask(head: dict[str, str]) -> Iterator[Ask]:
    """`ser-ray ARGUMENTS` by somebody with the token: exit code, standard output and standard error."""
    process = subprocess.Popen(
        [sys.executable, "-c", VERBS], env=head, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout

    def run(*arguments: object) -> tuple[int, str, str]:
        process.stdin.write(json.dumps([str(each) for each in arguments]) + "\n")
        process.stdin.flush()
        code, out, err = json.loads(process.stdout.readline())
        assert head["RAY_AUTH_TOKEN"] not in out + err
        return code, out, err

    yield run
    _end(process)


def _write(path: Path, **options: Any) -> Path:
    path.write_text(yaml.safe_dump(options))
    return path


@pytest.mark.cluster
def test_submitted_jobs_extract_train_and_score_once_and_return_their_codes(
    ask: Ask, corpus: str, deployment: Any, tmp_path: Path
) -> None:
    store, svm, scores = (str(tmp_path / name) for name in ("store", "svm", "dt={date}"))
    extract = _write(
        tmp_path / "e.yaml", manifest=corpus, store=store, features=["mfcc_stats(band=telephone)"]
    )
    train = _write(tmp_path / "t.yaml", family="svm", manifest=corpus, store=store, out=svm, band="telephone")
    score = _write(tmp_path / "s.yaml", archive=deployment.archive, ensemble=svm, out=scores, max_errors="5%",
                   notify=["sh", "-c", f"cat > {tmp_path}/told-{{date}}"])  # fmt: skip
    code, out, err = ask("submit", "extract", extract, "--ship-code")
    assert code == 0, err
    assert json.loads(out)["extracted"] == 60
    assert "60/60 utterances" in err
    code, _, err = ask("submit", "extract", extract)
    assert (code, err.count("\n")) == (2, 1)
    assert "has succeeded" in err
    assert ask("submit", "train", train)[0] == 0
    assert (tmp_path / "svm" / "model.json").exists()
    code, out, err = ask("submit", "score", score, "--date", "2026-11-22")
    assert json.loads(out)["counts"] == {"listed": 40, "ok": 28, "no_speech": 1, "error": 11}
    assert code == 1  # 11 of 40 calls are damaged: more than 5 %
    message = json.loads((tmp_path / "told-2026-11-22").read_text())
    assert (message["exit_code"], message["summary"]) == (1, json.loads(out))
    assert (tmp_path / "dt=2026-11-22" / "run.json").exists()
    name = name_of(ScoreJob.of(**yaml.safe_load(score.read_text()), date="2026-11-22"))
    assert f"error: {name}: 11 of 40 calls failed" in err
    with score.open("a") as more:
        more.write("legs: [bot, caller]\n")
    code, out, err = ask(
        "submit", "score", score, "--date", "2026-11-22"
    )  # it failed: the next attempt, which the far side refuses
    assert (code, out) == (2, "")
    assert f"error: {name}-r2: " in err
    code, out, _ = ask("status", "--json")
    told = [(each["id"].split("-")[0], each["status"], each["exit_code"]) for each in json.loads(out)]
    wrong, failed = ("score", "FAILED", 2), ("score", "FAILED", 1)
    assert told == [wrong, failed, ("train", "SUCCEEDED", 0), ("extract", "SUCCEEDED", 0)]


@pytest.mark.cluster
def test_running_job_is_not_submitted_twice_outlives_its_follower_and_is_stopped(
    ask: Ask, head: dict[str, str], corpus: str, tmp_path: Path
) -> None:
    options = {"family": "svm", "manifest": corpus, "store": str(tmp_path / "store"), "samples": 500}
    search = _write(tmp_path / "search.yaml", **options, out=str(tmp_path / "tuned"))
    follower = subprocess.Popen(
        [sys.executable, "-m", "ser_ray.cli", "submit", "tune", str(search)],
        env=head, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert follower.stderr
    name, *said = follower.stderr.readline().split()
    assert said == ["is", "submitted"]
    while not follower.stderr.readline().startswith("Running entrypoint"):
        assert follower.poll() is None
    code, _, err = ask("submit", "tune", search, "--again")
    assert code == 2
    assert f"ser-ray stop {name}" in err
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=30)
    assert follower.returncode == 130
    assert f"The job goes on: ser-ray status {name} --follow" in err
    assert json.loads(ask("status", name, "--json")[1])["status"] == "RUNNING"
    code, out, _ = ask("stop", name)
    assert (code, "STOPPED" in out) == (0, True)
    code, out, _ = ask("status", name)
    assert (code, "Running entrypoint" in out) == (0, True)
    code, _, err = ask("status", name, "--follow")
    assert code == 1
    assert "was stopped" in err
    code, out, _ = ask("submit", "tune", search, "--no-wait")  # stopped: the next attempt
    assert (code, out) == (0, f"{name}-r2\n")
    assert ask("stop", f"{name}-r2")[0] == 0
    code, _, err = ask("stop", "tune-of-nobody")
    assert code == 2
    assert "knows no submission 'tune-of-nobody'" in err


@pytest.mark.cluster
@pytest.mark.parametrize("token", [{}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another"}])
def test_who_lacks_the_token_is_told_so(head: dict[str, str], token: dict[str, str]) -> None:
    environment = {k: v for k, v in head.items() if not k.startswith("RAY_AUTH")} | token
    done = subprocess.run(
        [sys.executable, "-m", "ser_ray.cli", "status"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "another" not in done.stderr.replace("another cluster's", "")
