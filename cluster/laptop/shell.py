"""A cluster of this machine alone: an S3 server, a Ray head without CPU, workers of one CPU, and a token.

python cluster/laptop/shell.py [--workers 2] [COMMAND ...]

COMMAND, which is your shell where none is given, finds them by its environment. When it ends, so do they, and
what is in the bucket s3://laptop is gone; another Ray of the machine is left alone.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

BIN = Path(sys.executable).parent
HERE = "127.0.0.1"
BUCKET = "laptop"
START_S = 240.0
TRIES = 3  # of a Ray node, which gives itself 15 s, and that is too few where the machine is busy
NODE = ("--block", "--object-store-memory=300000000", "--include-log-monitor=false")


def main() -> int:
    """Start all, run the command, end all; the exit code is the command's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with ExitStack() as started:
        folder = Path(tempfile.mkdtemp(prefix="ser-ray-", dir="/tmp"))  # short: Ray's sockets lie below it
        started.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            environment = _start(folder, given.workers, started)
        except RuntimeError as error:
            print(f"error: {error}. Try again; is the machine busy?", file=sys.stderr)
            return 1
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is the command's; it would inherit SIG_IGN
        command = given.command or [os.environ.get("SHELL", "bash")]
        return subprocess.run(command, env=environment, check=False).returncode


def _start(folder: Path, workers: int, started: ExitStack) -> dict[str, str]:
    """Start the servers, which end with `started`, and return the environment of who shall find them."""
    s3, gcs, dashboard = _free_port(), _free_port(), _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    environment |= {
        "AWS_ENDPOINT_URL": f"http://{HERE}:{s3}",
        "AWS_ACCESS_KEY_ID": BUCKET,
        "AWS_SECRET_ACCESS_KEY": BUCKET,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_API_SERVER_ADDRESS": f"http://{HERE}:{dashboard}",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }

    servers: list[Server] = []
    started.callback(_end, servers)

    def run(name: str, *command: str) -> Server:
        servers.append(Server(command, environment, folder / f"{name}.log"))
        return servers[-1]

    def ray(name: str, *options: str) -> Server:
        for _ in range(TRIES):  # one node after the other: at once they take the same sockets
            port = f"--dashboard-agent-listen-port={_free_port()}"  # another Ray's agent has the usual one
            node = run(name, str(BIN / "ray"), "start", *options, port, *NODE)
            if node.becomes(node.is_started) or node.process.poll() is None:
                break
        return node.checked(node.is_started)

    bucket = run("s3", sys.executable, "-m", "moto.server", f"--host={HERE}", f"--port={s3}")
    head = ("--head", "--num-cpus=0", f"--port={gcs}", f"--dashboard-port={dashboard}")
    more = (f"--ray-client-server-port={_free_port()}", f"--temp-dir={folder}", "--disable-usage-stats")
    ray("head", *head, *more).checked(lambda: _listens(dashboard))
    for number in range(workers):
        ray(f"worker{number + 1}", f"--address={HERE}:{gcs}", "--num-cpus=1")
    bucket.checked(lambda: _listens(s3))
    put = urllib.request.Request(f"http://{HERE}:{s3}/{BUCKET}", method="PUT")
    urllib.request.urlopen(put).close()
    print(f"s3://{BUCKET}, a head and {workers} workers are there; jobs go to http://{HERE}:{dashboard}.")
    print("They end with this command.", flush=True)
    return environment


class Server:
    """A process that serves, and what it prints."""

    def __init__(self, command: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self.log = log
        streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        with log.open("wb") as file:  # a session of its own, which Ctrl-C does not reach
            self.process = subprocess.Popen(
                command, env=environment, stdout=file, start_new_session=True, **streams
            )

    def is_started(self) -> bool:
        """Whether it is a Ray node that has joined its cluster."""
        return "Ray runtime started" in self.log.read_text()

    def becomes(self, so: Callable[[], bool]) -> bool:
        """Wait until it is so, or the process has ended."""
        until = time.monotonic() + START_S
        while not so():
            if self.process.poll() is not None or time.monotonic() > until:
                return False
            time.sleep(0.2)
        return True

    def checked(self, so: Callable[[], bool]) -> Server:
        """Itself, once it is so; RuntimeError where it does not become so."""
        if not self.becomes(so):
            last = self.log.read_text().strip().splitlines()[-1:]
            raise RuntimeError(f"{self.log.stem} does not start: {' '.join(last) or 'it says nothing'}")
        return self


def _end(servers: list[Server]) -> None:
    """End all at once; a Ray node ends what it started."""
    for server in servers:
        server.process.terminate()
    for server in servers:
        try:
            server.process.wait(30)
        except subprocess.TimeoutExpired:
            server.process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HERE, port)) == 0


def _free_port() -> int:
    with socket.socket() as server:
        server.bind((HERE, 0))
        return int(server.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
