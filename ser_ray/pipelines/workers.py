"""Ask the cluster's autoscaler for workers, run a command when they are there, and give them back.

    python -m ser_ray.pipelines.workers [--gpus N] [--wait S] [--notify TARGET] CPUS -- COMMAND ...

exits with the command's code, or 75 where no worker came. Without a command it only asks, and waits; 0 gives
all back.

A job takes as many workers as the cluster has when it starts, so a cluster that begins with none has to be
asked first. What has not come after --wait seconds is done without, unless nothing has; then the job's own
notification, a list as JSON, is told, since the job cannot tell it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import ray
from ray.autoscaler.sdk import request_resources

from ser_ray.errors import PASSING
from ser_ray.pipelines.notification import notify

POLL_S = 5.0
NOBODY = "no worker came. Look at `ray status`; spot capacity may be short."


def main(arguments: list[str]) -> int:
    """Ask, wait, run, give back."""
    mark = arguments.index("--") if "--" in arguments else len(arguments)
    command = arguments[mark + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cpus", type=int, metavar="CPUS")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--wait", type=float, default=1200.0, metavar="S")
    parser.add_argument("--notify", type=json.loads, default=[], metavar="TARGET")
    given = parser.parse_args(arguments[:mark])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # `ray job stop`: give back all the same
    try:
        if not ask(given.cpus, given.gpus, given.wait):
            print(f"error: {NOBODY}", file=sys.stderr)
            told = {"job": "workers", "target": " ".join(command[:4]), "date": None, "exit_code": PASSING}
            if given.notify and (problem := notify(given.notify, {**told, "error": NOBODY, "summary": None})):
                print(f"warning: nobody was notified: {problem}", file=sys.stderr)
            return PASSING
        return subprocess.run(command, check=False).returncode if command else 0
    finally:
        if command:
            ask(0, 0, 0)


def ask(cpus: int, gpus: int, wait_s: float) -> bool:
    """Have the autoscaler hold this much, in place of what it was asked for before.

    Returns:
        Whether all, or after `wait_s` at least one CPU (and GPU, where asked for), is there.
    """
    ray.init(os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False)
    try:
        request_resources(bundles=[{"CPU": 1}] * cpus + [{"GPU": 1}] * gpus)
        until = time.monotonic() + wait_s
        while True:
            there = ray.cluster_resources()
            have = {kind: int(there.get(kind, 0)) for kind in ("CPU", "GPU")}
            if have["CPU"] >= cpus and have["GPU"] >= gpus:
                return True
            if time.monotonic() >= until:
                print(f"{have['CPU']} of {cpus} CPUs, {have['GPU']} of {gpus} GPUs came", flush=True)
                return have["CPU"] >= min(cpus, 1) and have["GPU"] >= min(gpus, 1)
            time.sleep(min(POLL_S, max(0.0, until - time.monotonic())))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
