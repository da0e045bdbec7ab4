"""A Ray of several machines on this one: each a tree of processes, which ends as a machine does."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import psutil
from ray.util import get_node_ip_address

from tests.verbs import end

BIN = Path(sys.executable).parent
HAZARD = Path(__file__).parent / "hazard"
PORTS = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export")

# `ray start`, which gives a node 30 s to register; a busy machine may need more.
START = """
import time
from ray._private import services
from ray.scripts.scripts import main
ask = services.get_node
def get_node(*arguments):
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            return ask(*arguments)
        except RuntimeError:
            time.sleep(0.5)
    return ask(*arguments)
services.get_node = get_node
main()
"""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


class Nodes:
    """A head and the machines that join it.

    Args:
        head: CPUs of the head.
        settings: of Ray, for all of them, such as where objects are spilled.
    """

    def __init__(self, head: int, *settings: str) -> None:
        self.settings = settings
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "RAY_agent_register_timeout_ms": "300000",
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        port = free_port()
        self.address = f"{get_node_ip_address()}:{port}"
        ports = [f"--port={port}", f"--ray-client-server-port={free_port()}"]
        self.head = self._start("--head", *ports, "--include-dashboard=false", cpus=head)
        self.workers: list[subprocess.Popen[str]] = []

    def add(self, cpus: int = 1) -> None:
        """Start one more machine."""
        self.workers.append(self._start(f"--address={self.address}", cpus=cpus))

    def of(self, pid: int) -> subprocess.Popen[str]:
        """The machine on which a process runs."""
        parents = {parent.pid for parent in psutil.Process(pid).parents()}
        return next(node for node in [self.head, *self.workers] if node.pid in parents)

    def close(self) -> None:
        """End all machines."""
        for node in [*self.workers, self.head]:
            end(node)

    def _start(self, *options: str, cpus: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", START, "start", "--block", *options, f"--num-cpus={cpus}"]
        # Ports that Ray would choose itself it waits for, and dies where a busy machine keeps it waiting.
        command += [f"--{name}-port={free_port()}" for name in PORTS]
        node = subprocess.Popen(
            [*command, *self.settings, "--object-store-memory=100000000", "--disable-usage-stats"],
            env=self.environment | {"PYTHONPATH": str(HAZARD)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert node.stdout
        assert any("Ray runtime started" in line for line in node.stdout)
        return node
