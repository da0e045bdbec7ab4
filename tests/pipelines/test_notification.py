"""Who is told how a job ended: a command without a shell, or a webhook; in bounded time, without secrets."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from ser_ray.pipelines import notification
from ser_ray.pipelines.notification import notify, target_of

MESSAGE = {"job": "score", "exit_code": 1, "error": "11 of 40 Gespräche"}


def test_command_gets_the_message_once_and_no_shell_reads_its_arguments(tmp_path: Path) -> None:
    told = tmp_path / "told; rm x"
    code = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + sys.argv[2])"
    assert notify([sys.executable, "-c", code, str(told), "$HOME"], MESSAGE) == ""
    text, variable = told.read_text().rsplit("}", 1)
    assert (json.loads(text + "}"), variable) == (MESSAGE, "$HOME")


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["no-such-command"], "there is no command 'no-such-command'"),
        (["sh", "-c", "echo of old >&2; echo no topic >&2; exit 4"], "sh ended with exit code 4: no topic"),
        (["false"], "false ended with exit code 1: it said nothing."),
        (["{here}/not-a-program"], "does not start: Exec format error"),
    ],
)
def test_command_that_fails_is_told_in_one_sentence(command: list[str], problem: str, tmp_path: Path) -> None:
    (tmp_path / "not-a-program").write_bytes(b"\0\1\2")
    (tmp_path / "not-a-program").chmod(0o755)
    assert problem in notify([part.replace("{here}", str(tmp_path)) for part in command], MESSAGE)


def test_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification, "COMMAND_S", 1.0)
    script = f"sleep 600 & echo $! > {tmp_path}/child; wait"
    assert "did not end in 1 s" in notify(["sh", "-c", script], MESSAGE)
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    else:
        pytest.fail("its child goes on")


def test_command_whose_child_stays_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "COMMAND_S", 20.0)
    started = time.monotonic()
    assert notify(["sh", "-c", "sleep 25 & exit 0"], MESSAGE) == ""
    assert time.monotonic() - started < 20


@contextmanager
def _webhook(*answers: int) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A server that gives each of these answers once, and what was posted to it."""
    heard: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(answers[min(len(heard), len(answers)) - 1])
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "PAUSE_S", 0.01)
    monkeypatch.setenv("HOOK", "T0/s3cret")


@pytest.mark.parametrize(
    ("answers", "tries", "problem"),
    [
        ([200], 1, ""),
        ([503, 429, 204], 3, ""),
        ([500], 3, "answered 500."),
        ([403], 1, "answered 403."),
        ([302], 1, "answered 302."),
    ],
)
def test_webhook_is_tried_again_where_that_may_help(answers: list[int], tries: int, problem: str) -> None:
    with _webhook(*answers) as (address, heard):
        said = notify([f"{address}/services/${{HOOK}}?night=1"], MESSAGE)
    assert heard == [("/services/T0/s3cret?night=1", MESSAGE)] * tries
    assert said == (f"the webhook {address} {problem}" if problem else "")


def test_webhook_that_nobody_answers_or_whose_secret_is_not_set_is_told_without_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _webhook(200) as (address, _):
        pass
    said = notify([f"{address}/${{HOOK}}"], MESSAGE)
    assert said == f"the webhook {address} did not answer (ConnectionRefusedError)."
    monkeypatch.setenv("HOOK", "a b\nc")  # no URL can have it
    said = notify([f"{address}/${{HOOK}}"], MESSAGE)
    assert "did not answer (InvalidURL)" in said
    assert "a b" not in said
    monkeypatch.delenv("HOOK")
    assert notify([f"{address}/${{HOOK}}"], MESSAGE) == "the webhook's HOOK is not in the environment."


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("mail -s 'scores of {date}' team", ["mail", "-s", "scores of {date}", "team"]),
        (["mail", "team"], ["mail", "team"]),
        ("https://host/${HOOK}", ["https://host/${HOOK}"]),
        ("https://host/a b'c", ["https://host/a b'c"]),
        (None, None),
    ],
)
def test_target_is_a_command_or_one_url(given: Any, target: Any) -> None:
    assert target_of(given) == target


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ("", "is missing"),
        ([], "is missing"),
        ("https://me:pw@host/x", "of the environment"),
        ("https://${TOKEN}@host/x", "of the environment"),
        ("https:///x", "with a host"),
        (["https://host", "x"], "one URL"),
    ],
)
def test_target_that_cannot_be_meant_is_refused(given: Any, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        target_of(given)
