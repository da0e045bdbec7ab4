"""What runs beside the jobs: a night's RayJob is created once; workers are asked for and given back."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CLUSTER = Path(__file__).parents[2] / "cluster"


@pytest.fixture(scope="module")
def nightly() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nightly", CLUSTER / "kuberay" / "nightly.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _api(answer: int = 201) -> Iterator[tuple[str, list[tuple[str, str | None, dict[str, Any]]]]]:
    """A Kubernetes API that keeps what is created, and refuses the same name twice."""
    created: list[tuple[str, str | None, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names = [job["metadata"]["name"] for _, _, job in created]
            code = 409 if body["metadata"]["name"] in names else answer
            if code == 201:
                created.append((self.path, self.headers["Authorization"], body))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(b'{"message": "says the API"}')

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", created
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_night_is_created_once(
    nightly: ModuleType, filled: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = nightly.rayjob_of(filled("kuberay/score.yaml", night=None), "2026-11-22")
    with _api() as (address, created):
        assert nightly.create(job, address, "abc") == 0
        assert nightly.create(job, address, "abc") == 0
    ((path, authorization, body),) = created
    assert path == "/apis/ray.io/v1/namespaces/ser-ray/rayjobs"
    assert authorization == "Bearer abc"
    assert body["metadata"]["name"] == "ser-ray-score-2026-11-22"
    assert "{night}" not in json.dumps(body)
    assert "already" in capsys.readouterr().out


def test_night_that_is_not_created_fails_the_cronjob(
    nightly: ModuleType, filled: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = nightly.rayjob_of(filled("kuberay/score.yaml", night=None), "2026-11-22")
    with _api(403) as (address, created):
        assert nightly.create(job, address, "abc") == 1
    assert created == []
    assert nightly.create(job, address, "abc") == 1  # nobody answers
    said = capsys.readouterr().err
    assert "403 " in said
    assert "says the API" in said
    assert "no answer" in said


@pytest.mark.parametrize("night", ["22.11.2026", "2026-11-22; reboot", ""])
def test_night_of_another_form_is_refused(
    nightly: ModuleType, filled: Callable[..., str], night: str
) -> None:
    with pytest.raises(SystemExit, match="night"):
        nightly.rayjob_of(filled("kuberay/score.yaml", night=None), night)


HEAD = """
import sys, ray
ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=10**8)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.mark.cluster
def test_command_runs_with_the_workers_that_came_and_its_exit_code_counts(tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ser_ray.pipelines.workers", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with subprocess.Popen(
        [sys.executable, "-c", HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as head:
        try:
            assert head.stdout
            environment["RAY_ADDRESS"] = head.stdout.readline().strip()
            ran = ask("2", "--", sys.executable, "-c", "print('ran'); raise SystemExit(5)")
            few = ask("--wait", "0.1", "3")
            hook = json.dumps(
                [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"]
            )
            told = [f"--notify={hook[:-1]}, {json.dumps(str(tmp_path / 'told'))}]"]
            none = ask("--wait", "0.1", "--gpus", "1", "2", *told, "--", "false")
        finally:
            head.communicate()
    assert (ran.returncode, ran.stdout.strip()) == (5, "ran"), ran.stderr
    assert (few.returncode, few.stdout.strip()) == (0, "2 of 3 CPUs, 0 of 0 GPUs came"), few.stderr
    assert none.returncode == 75
    assert "no worker came" in none.stderr
    message = json.loads((tmp_path / "told").read_text())
    assert (message["exit_code"], message["error"].split(".")[0]) == (75, "no worker came")
