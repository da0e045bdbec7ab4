"""A real S3 server process behind a proxy that can fail as real stores do."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
MESSAGES = {
    503: ("SlowDown", "Please reduce your request rate."),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    403: ("AccessDenied", "Access Denied"),
}


@dataclass
class Fault:
    """What happens to requests whose line, such as `GET /bucket/a.wav?x-id=GetObject`, has `where` in it.

    Attributes:
        where: regular expression.
        status: answered in place of the server; 0: the server answers.
        code: of S3's error; the usual one of the status where empty.
        delay_s: before anything is answered.
        cut: of the body only this share is sent, then the connection ends.
        times: how often; the next such requests pass unharmed.
        met: how often it has happened.
    """

    where: str
    status: int = 0
    code: str = ""
    delay_s: float = 0.0
    cut: float | None = None
    times: int = 1 << 30
    met: int = 0


@dataclass
class S3:
    """The server as seen through the proxy.

    Attributes:
        endpoint: where the proxy listens.
        behind: host and port of the server itself.
        faults: the first that fits a request happens to it.
        requests: method and target of each request, in order; `unsigned` behind those of nobody.
    """

    endpoint: str
    behind: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def client(self) -> Any:
        """botocore's client for the server itself."""
        return botocore.session.get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://{self.behind}",
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        )

    def bucket(self, name: str = "") -> str:
        """The URI of a new, empty bucket."""
        name = name or f"bucket-{uuid.uuid4().hex[:8]}"
        self.client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def note(self, line: str) -> Fault | None:
        """Remember a request, and what befalls it."""
        with self._lock:
            self.requests.append(line)
            for fault in self.faults:
                if fault.met < fault.times and re.search(fault.where, line):
                    fault.met += 1
                    return fault
        return None

    def count(self, where: str) -> int:
        """How many requests came whose line has `where` in it."""
        return sum(bool(re.search(where, line)) for line in self.requests)

    def heal(self) -> None:
        """No more faults, and nothing remembered."""
        with self._lock:
            self.faults.clear()
            self.requests.clear()


@contextmanager
def serving() -> Iterator[S3]:
    """A server process of its own, and the proxy in threads of this one; both end with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
    )
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    proxy.daemon_threads = True
    proxy.s3 = S3(f"http://127.0.0.1:{proxy.server_address[1]}", f"127.0.0.1:{port}")
    try:
        until = time.monotonic() + 60
        while not _answers(port):
            assert server.poll() is None, "the S3 server ended"
            assert time.monotonic() < until, "the S3 server does not answer"
            time.sleep(0.1)
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield proxy.s3
        proxy.shutdown()
        thread.join()
    finally:
        proxy.server_close()
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        unsigned = "" if self.headers.get("Authorization") else " unsigned"
        fault = self.server.s3.note(f"{self.command} {self.path}{unsigned}")
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault:
            time.sleep(fault.delay_s)
            if fault.status:
                return self._refuse(fault)
        behind = HTTPConnection(self.server.s3.behind, timeout=60)
        behind.request(self.command, self.path, sent, dict(self.headers))
        answer = behind.getresponse()
        body = answer.read()
        behind.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if fault and fault.cut is not None:
            body = body[: int(len(body) * fault.cut)]
            self.close_connection = True
        self.wfile.write(body)
        return None

    def _refuse(self, fault: Fault) -> None:
        usual, message = MESSAGES.get(fault.status, ("Refused", "refused"))
        code = fault.code or usual
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
        self.send_response_only(fault.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(0 if self.command == "HEAD" else len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""
