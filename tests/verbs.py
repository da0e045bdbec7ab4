"""`ser-ray ARGUMENTS`, again and again, by one process that stays."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import psutil

Ask = Callable[..., tuple[int, str, str]]

PROCESS = """
import contextlib, io, json, sys, time
from ser_ray import cli
from ser_ray.pipelines import cluster
for line in sys.stdin:
    code, out, err = 0, io.StringIO(), io.StringIO()
    verb, *arguments = json.loads(line)
    if verb == "until":
        while cluster.ray.cluster_resources().get("CPU", 0) != float(arguments[0]):
            time.sleep(0.2)
    else:
        sys.argv = ["ser-ray", verb, *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


@contextlib.contextmanager
def verbs(environment: Mapping[str, str]) -> Iterator[Ask]:
    """Arguments -> exit code, standard output, standard error; "until", N waits for a cluster of N CPUs."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS],
        env=dict(environment),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout

    def ask(*arguments: object) -> tuple[int, str, str]:
        process.stdin.write(json.dumps([str(each) for each in arguments]) + "\n")
        process.stdin.flush()
        answer = next(line for line in process.stdout if line.startswith("["))  # Ray prints there too
        code, out, err = json.loads(answer)
        return code, out, err

    yield ask
    end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and all below it, at once and for good."""
    family = [psutil.Process(process.pid)] if process.poll() is None else []
    family += [child for one in family for child in one.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait(30)
    psutil.wait_procs(family, timeout=30)
