"""How a submission is named, what is refused and why, and how its log is read; no Ray is started."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.errors import RunFailed, SerRayError, UsageError
from ser_ray.pipelines import following
from ser_ray.pipelines.following import Log, check, follow
from ser_ray.pipelines.jobs import JOBS, ExtractJob, ScoreJob
from ser_ray.pipelines.submissions import Submission, Submissions, command_of, name_of

NIGHT = {"archive": "s3://calls/dt=2026-11-22/", "ensemble": "s3://r/e", "out": "s3://r/scores/dt=2026-11-22"}


def test_submission_is_named_after_the_night_that_it_fills() -> None:
    name = name_of(ScoreJob.of(**NIGHT))
    assert re.fullmatch(r"score-2026-11-22-[0-9a-f]{6}", name)
    assert name_of(ScoreJob.of(**{**NIGHT, "out": NIGHT["out"] + "/", "max_errors": "2%"})) == name
    assert name_of(ScoreJob.of(**{**NIGHT, "out": "s3://other/scores/dt=2026-11-22"})) != name
    dated = {name: value.replace("2026-11-22", "{date}") for name, value in NIGHT.items()}
    assert name_of(ScoreJob.of(**dated, date="2026-11-22")) == name
    assert name_of(ScoreJob.of(**dated, date="2026-11-23")) != name


def test_extractions_into_one_store_are_told_apart_by_what_they_extract() -> None:
    given = {"manifest": "/a.parquet", "store": "/store", "features": ["mfcc_stats"]}
    names = {
        name_of(ExtractJob.of(**{**given, **other}))
        for other in ({}, {"features": ["f0"]}, {"manifest": "/b"})
    }
    assert len(names) == 3
    assert all(name.startswith("extract-store-") for name in names)


@given(st.text(min_size=1))
def test_name_is_fit_for_an_address_and_a_file(out: str) -> None:
    assert re.fullmatch(r"score-[A-Za-z0-9._-]+", name_of(ScoreJob.of(**{**NIGHT, "out": out})))


def test_command_holds_the_options_that_were_given_and_may_ask_for_workers_first() -> None:
    job = ScoreJob.of(**NIGHT, max_errors="2%", legs=["agent's", "customer"])
    *begin, options = shlex.split(command_of(job))
    assert begin == ["python", "-m", "ser_ray.pipelines", "score"]
    assert JOBS["score"].of(**json.loads(options)) == job
    assert "allow_band_mismatch" not in options  # its default is the cluster's
    late = ScoreJob.of(**{**NIGHT, "out": "s3://r/{date}"}, date="yesterday")  # that of now, not of the start
    assert JOBS["score"].of(**json.loads(shlex.split(command_of(late))[-1])) == late
    words = shlex.split(command_of(job, cpus=60, gpus=2))
    assert words[:6] == ["python", "-m", "ser_ray.pipelines.workers", "--gpus=2", "60", "--"]
    assert words[6:] == [*begin, options]
    words = shlex.split(command_of(ScoreJob.of(**NIGHT, notify="mail -s 'a b' team"), cpus=60))
    assert words[5:7] == ['--notify=["mail", "-s", "a b", "team"]', "--"]


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"out": "scores"}, "out: 'scores' is below a folder of this machine"),
        ({"archive": "~/calls"}, "archive: "),
        ({"address": "auto"}, "Leave it out"),
        ({"archive": "ftp://me:secret@host/calls"}, "holds a password"),
    ],
)
def test_job_that_means_something_only_here_is_not_submitted(options: dict[str, str], mend: str) -> None:
    with pytest.raises(UsageError, match=mend) as refused:
        command_of(ScoreJob.of(**{**NIGHT, **options}))
    assert "secret" not in str(refused.value)


LINES = """Running entrypoint
0/40 calls
{"not": "the last"}
error: a library's
3/4 of what? yes
{"half": 
40/40 calls
{"counts": {"ok": 28}}
error: 11 of 40 calls failed
"""  # noqa: W291


@given(st.lists(st.integers(0, len(LINES)), max_size=8))
def test_log_that_comes_in_pieces_is_read_as_if_it_came_at_once(ends: list[int]) -> None:
    shown: list[str] = []
    counted: list[tuple[int, int, str]] = []
    log = Log(lambda *progress: counted.append(progress), shown.append)
    for end in sorted(ends):
        log.read(LINES[:end], whole=False)
    log.read(LINES, whole=True)
    assert counted == [(0, 40, "calls"), (3, 4, "of what? yes"), (40, 40, "calls")]
    assert shown == ["Running entrypoint", '{"half":']
    assert (log.summary, log.error) == ('{"counts": {"ok": 28}}', "11 of 40 calls failed")


def _ended(status: str, code: int | None, *lines: str) -> tuple[Submission, Log]:
    log = Log(lambda *_: None, lambda _: None)
    log.read("\n".join(lines), whole=True)
    return Submission("score-x", status, 0.0, 1.0, code, "Job entrypoint command failed\nlogs"), log


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        (_ended("FAILED", 2, "error: no such band"), 2, "score-x: no such band"),
        (_ended("FAILED", 1, "error: too many"), 1, "score-x: too many"),
        (_ended("FAILED", 75, "error: it broke off"), 75, "score-x: it broke off"),
        (_ended("FAILED", -9, "working"), 75, "score-x: Job entrypoint command failed working"),
        (_ended("FAILED", None), 75, "score-x: Job entrypoint command failed"),
        (_ended("FAILED", 1, "No module named 'ser_ray'"), 1, "--ship-code"),
        (_ended("STOPPED", None), 1, "Submit it again to go on"),
    ],
)
def test_job_that_did_not_succeed_says_why_and_keeps_its_exit_code(
    ended: tuple[Submission, Log], code: int, said: str
) -> None:
    with pytest.raises(SerRayError, match=re.escape(said)) as failed:
        check(*ended)
    assert failed.value.code == code
    check(*_ended("SUCCEEDED", 0, "error: that it got over"))


@contextlib.contextmanager
def _server(
    answer: Callable[[str], tuple[int, str]], take: Callable[[Any], tuple[int, str]] | None = None
) -> Iterator[str]:
    """An HTTP server that answers each path, and what is posted, with a status and a text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*answer(self.path))

        def do_POST(self) -> None:
            assert take
            self._say(*take(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "text", "kind", "mend"),
    [
        (401, "Unauthorized: Missing authentication token", UsageError, "RAY_AUTH_TOKEN"),
        (403, "Forbidden: Invalid authentication token", UsageError, "RAY_AUTH_TOKEN"),
        (404, "nothing here", RunFailed, "refuses: "),
        (502, "Bad Gateway", RunFailed, "no Ray dashboard answers"),
        (200, "<html>welcome</html>", RunFailed, "no Ray dashboard answers"),
        (200, "[]", RunFailed, "no Ray dashboard answers"),
    ],
)
def test_server_that_is_no_dashboard_or_wants_a_token_is_named(
    status: int, text: str, kind: type[SerRayError], mend: str
) -> None:
    with _server(lambda _: (status, text)) as address, pytest.raises(kind, match=mend) as refused:
        Submissions(address)
    assert address in str(refused.value)


def test_nobody_at_the_address_is_said_and_the_environment_does_not_count_more_than_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    with _server(lambda _: (401, "")) as other:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", other)
        monkeypatch.setenv("RAY_ADDRESS", other)
        with pytest.raises(RunFailed, match=f"no Ray dashboard answers at {closed}"):
            Submissions(closed)
        assert os.environ["RAY_API_SERVER_ADDRESS"] == other


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ray://head:10001", "Ray Client"),
        ("ray://head", "Ray Client"),
        ("head:6379", "is not like that"),
        ("http://head:6379", "drivers that run in the cluster"),
        ("http://head:10001", "Ray Client"),
        ("http://head:port", "is not like that"),
        ("auto", "is not like that"),
    ],
)
def test_address_of_another_kind_is_refused_before_anything_is_asked(address: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"http://HEAD:8265.*{why}"):
        Submissions(address)


VERSION = json.dumps({"version": "4", "ray_version": "2.60.0", "ray_commit": ""})
RUNNING = {"type": "SUBMISSION", "submission_id": "score-x", "status": "RUNNING", "entrypoint": "python"}


def _submit(there: dict[str, str], again: bool, *refusals: str) -> list[str]:
    """Ids that are asked for where `there` has id and status of what was submitted, and refuses at first."""
    asked: list[str] = []

    def take(job: Any) -> tuple[int, str]:
        asked.append(job["submission_id"])
        if len(asked) <= len(refusals):
            return 500, refusals[len(asked) - 1]
        return 200, json.dumps({"job_id": asked[-1], "submission_id": asked[-1]})

    def answer(path: str) -> tuple[int, str]:
        known = [RUNNING | {"submission_id": name, "status": status} for name, status in there.items()]
        return 200, VERSION if path.endswith("version") else json.dumps(
            known if path.endswith("/") else RUNNING
        )

    with _server(answer, take) as address:
        assert Submissions(address).submit("score-x", "true", again) == asked[-1]
    return asked


def test_attempt_is_the_one_after_the_last() -> None:
    others = {"score-x-r7-f00": "RUNNING", "score-xx": "RUNNING"}
    assert _submit(others, False) == ["score-x"]
    assert _submit({"score-x": "FAILED", **others}, False) == ["score-x-r2"]
    assert _submit({"score-x-r10": "STOPPED", "score-x-r9": "SUCCEEDED"}, False) == ["score-x-r11"]
    assert _submit({"score-x": "SUCCEEDED"}, True) == ["score-x-r2"]


@pytest.mark.parametrize(
    ("status", "again", "mend"),
    [
        ("PENDING", False, "ser-ray stop score-x-r2"),
        ("RUNNING", True, "ser-ray stop score-x-r2"),
        ("SUCCEEDED", False, "--again"),
    ],
)
def test_job_that_is_there_is_refused_with_the_way_on(status: str, again: bool, mend: str) -> None:
    with pytest.raises(UsageError, match=f"score-x-r2 .*{mend}"):
        _submit({"score-x-r2": status, "score-x": "FAILED"}, again)


def test_head_that_is_not_ready_is_asked_again_and_who_comes_second_is_refused() -> None:
    assert _submit({}, False, "No available agent to submit job, please try again later.") == ["score-x"] * 2
    with pytest.raises(UsageError, match="score-x is running"):
        _submit({}, False, "Traceback\nValueError: Job with submission_id score-x already exists.")


@pytest.mark.parametrize(
    ("after", "said"),
    [((503, "starting"), "the job goes on if its cluster does: ser-ray status score-x --follow"),
     ((404, "does not exist"), "Submit it again: what was finished is kept")],
)  # fmt: skip
def test_cluster_that_is_lost_while_a_job_is_followed_is_waited_for_and_then_said(
    after: tuple[int, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(following, "LOST_S", 2.0)
    monkeypatch.setattr(following, "POLL_S", 0.1)

    def answer(path: str) -> tuple[int, str]:
        if path.endswith("version"):
            return 200, VERSION
        asked.append(path)
        if path.endswith("logs"):
            return 200, json.dumps({"logs": "3/40 calls\n"})
        return (200, json.dumps(RUNNING)) if len(asked) < 4 or 5 < len(asked) < 8 else after

    shown: list[str] = []
    counted: list[int] = []
    with _server(answer) as address, pytest.raises(RunFailed, match=said):
        follow(Submissions(address), "score-x", lambda done, *_: counted.append(done), shown.append)
    assert counted == [3]
    assert all("Trying again" in line for line in shown)
    assert len(shown) == (2 if after[0] == 503 else 0)  # once each time that it is lost
