"""Sizing a cluster: how many machines a night needs by its deadline, how long they work, what they cost.

    machines = hours of audio x margin / (times real time of a core x workers of a machine x hours to work)

A worker scores on one core. Its speed and memory are those of an earlier run on such machines.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from ser_ray import storage
from ser_ray.errors import MissingInput, UsageError

LENGTH = re.compile(r"(?=.)(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?")


@dataclass(frozen=True)
class Night:
    """The work, and until when.

    Attributes:
        hours: of audio.
        speed: of one core at work, in times real time.
        worker_gib: memory of a worker.
        deadline_s: from the start of the machines to the last row.
        startup_s: until machines, image and workers are there.
        margin: factor of the work: slow reads, spot machines that go, the last long call.
    """

    hours: float
    speed: float
    worker_gib: float
    deadline_s: float
    startup_s: float = 900.0
    margin: float = 1.5


@dataclass(frozen=True)
class Machine:
    """A machine of workers, by default the pod of `cluster/kuberay/score.yaml`.

    Attributes:
        cores: that Ray may use.
        memory_gib: all of it.
        reserved_gib: what Ray's object store and own processes take of it.
        price: an hour, in any currency.
    """

    cores: int = 15
    memory_gib: float = 26.0
    reserved_gib: float = 4.0
    price: float | None = None


@dataclass(frozen=True)
class Sizing:
    """The fewest machines that are done by the deadline, which is also the cheapest number.

    Attributes:
        night: what they are for.
        machine: each of them.
        workers_each: of a machine, one a core, or fewer where its memory holds no more.
        machines: how many.
    """

    night: Night
    machine: Machine
    workers_each: int
    machines: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the machines, their time, memory and cost, what to write where, and what was asked."""
        night, machine = self.night, self.machine
        work_s = _work_s(night) / (self.machines * self.workers_each)
        needed_s = night.startup_s + work_s
        price = machine.price
        return {
            "machines": self.machines,
            "workers_each": self.workers_each,
            "workers": self.machines * self.workers_each,
            "needed_s": needed_s,
            "without_margin_s": night.startup_s + work_s / night.margin,
            "spare_s": max(0.0, night.deadline_s - needed_s),
            "spare_gib": machine.memory_gib - machine.reserved_gib - self.workers_each * night.worker_gib,
            "cost": None if price is None else self.machines * needed_s / 3600 * price,
            "write": self.settings(),
            "night": asdict(night),
            "machine": asdict(machine),
        }

    def settings(self) -> dict[str, dict[str, Any]]:
        """What to write into the group `cpu-spot` of each file in `cluster/`, and the script's argument."""
        each, memory = self.workers_each, f"{self.machine.memory_gib:g}Gi"
        replicas = dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), self.machines)
        return {
            "kuberay/score.yaml": {**replicas, "num-cpus": each, "cpu": each, "memory": memory},
            "aws.yaml": {"min_workers": 0, "max_workers": self.machines, "CPU": each},
            "nightly.sh": {"CPUS": self.machines * each},
        }


def size(night: Night, machine: Machine) -> Sizing:
    """The fewest machines by which the night is done in time.

    Raises:
        UsageError: a figure that cannot be, a deadline before the machines are there, or a machine whose
            memory holds no worker.
    """
    _check(night, machine)
    free_gib = machine.memory_gib - machine.reserved_gib
    workers = min(machine.cores, math.floor(free_gib / night.worker_gib + 1e-9))
    if workers < 1:
        raise UsageError(
            f"a worker needs {night.worker_gib:.2f} GiB, and of {machine.memory_gib:g} GiB Ray leaves "
            f"{max(0.0, free_gib):g}. Take a machine with more --memory."
        )
    time_s = night.deadline_s - night.startup_s
    if time_s <= 0:
        raise UsageError(
            f"the deadline is after {night.deadline_s / 60:g} min, and the start-up takes "
            f"{night.startup_s / 60:g}. Give a later --deadline, or --startup 0m if the machines run."
        )
    return Sizing(night, machine, workers, math.ceil(_work_s(night) / (workers * time_s)))


def read_figures(scores: str) -> dict[str, float]:
    """What an earlier run tells of `hours`, `speed` and `worker_gib`, without a key that it does not tell.

    Args:
        scores: its folder. The hours of a run that is not complete are not those of its archive.

    Raises:
        MissingInput: no scores.
        UsageError: no call was scored yet.
    """
    place = storage.join(storage.require(scores, "scores folder"), "run.json")
    if not storage.exists(place):
        raise MissingInput(f"{scores} holds no scores (run.json). Give the folder of a run, or --speed.")
    run = storage.read_json(place)
    if not run["core_times_real_time"]:
        raise UsageError(f"{scores} tells no speed: no audio was scored yet. Give another run, or --speed.")
    figures = {
        "hours": run["audio_hours"] if run["complete"] else 0.0,
        "speed": run["core_times_real_time"],
        "worker_gib": run.get("peak_worker_mib", 0) / 1024,
    }
    return {name: value for name, value in figures.items() if value}


def seconds_of(text: str) -> float:
    """A length of time such as 6h, 90m or 3h30m, in s.

    Raises:
        UsageError: another text.
    """
    found = LENGTH.fullmatch(text)
    if not found:
        raise UsageError(f"{text!r} is no length of time. Write it like 6h, 90m or 3h30m.")
    return 3600 * float(found[1] or 0) + 60 * float(found[2] or 0)


def _work_s(night: Night) -> float:
    """Seconds that one core would work, with the margin."""
    return night.hours * 3600 * night.margin / night.speed


def _check(night: Night, machine: Machine) -> None:
    least = {
        "--hours": (night.hours, 0),
        "--speed": (night.speed, 0),
        "--worker-memory": (night.worker_gib, 0),
        "--margin": (night.margin, 1),
        "--cores": (machine.cores, 1),
        "--memory": (machine.memory_gib, 0),
    }
    for option, (value, bound) in least.items():
        if not (0 < value < math.inf and value >= bound):
            raise UsageError(
                f"{option} is {value:g}: give a number {f'from {bound}' if bound else 'above 0'}."
            )
    for option, value in (("--reserved", machine.reserved_gib), ("--price", machine.price or 0.0)):
        if not 0 <= value < math.inf:
            raise UsageError(f"{option} is {value:g}: give a number from 0.")
