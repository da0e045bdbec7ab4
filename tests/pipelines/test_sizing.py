"""Sizing a cluster: by hand calculation, by what must always hold, and by the files it is written into."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ser_ray import cli
from ser_ray.errors import MissingInput, UsageError
from ser_ray.pipelines.sizing import Machine, Night, read_figures, seconds_of, size

CLUSTER = Path(__file__).parents[2] / "cluster"
HOUR = 3600.0
# 3,000 h x 1.5 at 100 times real time are 45 h of one core; a machine of 10 has 4 h to work: 1.125 machines
NIGHT = Night(hours=3000, speed=100, worker_gib=2, deadline_s=4.5 * HOUR, startup_s=0.5 * HOUR)
TEN = Machine(cores=10, memory_gib=30, reserved_gib=4, price=0.5)


def test_machines_time_memory_and_cost_are_those_of_a_hand_calculation() -> None:
    assert size(NIGHT, TEN).to_dict() == {
        "machines": 2,
        "workers_each": 10,
        "workers": 20,
        "needed_s": pytest.approx(2.75 * HOUR),  # 0.5 + 45 / 20
        "without_margin_s": pytest.approx(2 * HOUR),  # 0.5 + 30 / 20
        "spare_s": pytest.approx(1.75 * HOUR),
        "spare_gib": pytest.approx(6),  # 30 - 4 - 10 x 2
        "cost": pytest.approx(2.75),  # 2 machines x 2.75 h x 0.5
        "write": {
            "kuberay/score.yaml": {
                "replicas": 2,
                "minReplicas": 2,
                "maxReplicas": 2,
                "num-cpus": 10,
                "cpu": 10,
                "memory": "30Gi",
            },
            "aws.yaml": {"min_workers": 0, "max_workers": 2, "CPU": 10},
            "nightly.sh": {"CPUS": 20},
        },
        "night": asdict(NIGHT),
        "machine": asdict(TEN),
    }


def test_work_that_fits_exactly_needs_no_further_machine() -> None:
    exactly = replace(NIGHT, margin=1, deadline_s=3.5 * HOUR)  # 30 h of one core in 3 h by 10
    told = size(exactly, TEN).to_dict()
    assert (told["machines"], told["spare_s"]) == (1, 0)
    assert size(replace(exactly, hours=3001), TEN).machines == 2


def test_machine_whose_memory_is_short_has_fewer_workers_and_there_are_more_of_them() -> None:
    short = size(NIGHT, replace(TEN, memory_gib=10.5))  # 6.5 GiB for workers of 2
    assert (short.workers_each, short.machines) == (3, 4)  # 45 / (3 x 4 h) = 3.75
    assert short.to_dict()["spare_gib"] == pytest.approx(0.5)
    assert short.settings()["nightly.sh"]["CPUS"] == 12
    assert size(replace(NIGHT, worker_gib=1.1), replace(TEN, cores=20, memory_gib=26)).workers_each == 20


def test_without_a_price_there_is_no_cost() -> None:
    assert size(NIGHT, replace(TEN, price=None)).to_dict()["cost"] is None


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"deadline_s": 1800}, "later --deadline, or --startup 0m"),
        ({"worker_gib": 26.1}, "more --memory"),
        ({"memory_gib": 4}, "more --memory"),
        ({"memory_gib": float("nan")}, "--memory is nan"),
        ({"hours": 0}, "--hours is 0"),
        ({"speed": -1}, "--speed is -1"),
        ({"speed": float("inf")}, "--speed is inf"),
        ({"margin": 0.9}, "--margin is 0.9: give a number from 1"),
        ({"cores": 0}, "--cores is 0: give a number from 1"),
        ({"reserved_gib": -1}, "--reserved is -1"),
        ({"price": -0.1}, "--price is -0.1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_mend(change: dict[str, Any], mend: str) -> None:
    night = replace(NIGHT, **{k: v for k, v in change.items() if hasattr(NIGHT, k)})
    machine = replace(TEN, **{k: v for k, v in change.items() if hasattr(TEN, k)})
    with pytest.raises(UsageError, match=mend):
        size(night, machine)


amount = st.floats(0.5, 1e5)
nights = st.builds(
    Night,
    hours=amount,
    speed=st.floats(1, 2000),
    worker_gib=st.floats(0.1, 3),
    deadline_s=st.floats(2 * HOUR, 24 * HOUR),
    startup_s=st.floats(0, HOUR),
    margin=st.floats(1, 3),
)
machines = st.builds(
    Machine,
    cores=st.integers(1, 128),
    memory_gib=st.floats(8, 512),
    reserved_gib=st.floats(0, 4.9),
    price=st.floats(0, 10),
)


@given(nights, machines)
def test_as_many_machines_as_needed_and_not_one_more(night: Night, machine: Machine) -> None:
    sizing = size(night, machine)
    told = sizing.to_dict()
    assert 1 <= sizing.workers_each <= machine.cores
    assert told["spare_gib"] > -1e-6
    assert told["needed_s"] <= night.deadline_s * (1 + 1e-9)
    assert night.startup_s < told["without_margin_s"] <= told["needed_s"] * (1 + 1e-9)
    if sizing.machines > 1:
        fewer = replace(sizing, machines=sizing.machines - 1).to_dict()
        assert fewer["needed_s"] > night.deadline_s * (1 - 1e-9)


@given(nights, machines, st.floats(1, 4))
def test_harder_nights_never_need_fewer_machines_nor_less_money(
    night: Night, machine: Machine, factor: float
) -> None:
    def need(night: Night, machine: Machine = machine) -> tuple[int, float]:
        sizing = size(night, machine)
        return sizing.machines, sizing.to_dict()["cost"] * (1 + 1e-9)

    usual = need(night)
    sooner = night.startup_s + (night.deadline_s - night.startup_s) / factor
    for harder in (
        replace(night, deadline_s=sooner),
        replace(night, hours=night.hours * factor),
        replace(night, speed=night.speed / factor),
        replace(night, margin=night.margin * factor),
    ):
        count, cost = need(harder)
        assert count >= usual[0]
        assert cost >= usual[1] * (1 - 1e-8)
    assert size(night, replace(machine, cores=machine.cores + 1)).machines <= usual[0]


@pytest.mark.parametrize(
    ("text", "seconds"), [("6h", 21600), ("90m", 5400), ("3h30m", 12600), ("1.5h", 5400), ("0m", 0)]
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "30m3h", "-1h", "6 hours", "1e3h"])
def test_other_lengths_of_time_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="3h30m"):
        seconds_of(text)


RUN = {"complete": True, "audio_hours": 12.5, "core_times_real_time": 400.0, "peak_worker_mib": 1536}


def test_figures_are_those_of_the_run_and_only_what_it_tells(tmp_path: Path) -> None:
    def figures(run: dict[str, Any]) -> dict[str, float]:
        (tmp_path / "run.json").write_text(json.dumps(run))
        return read_figures(str(tmp_path))

    with pytest.raises(MissingInput, match=r"run\.json"):
        read_figures(str(tmp_path))
    assert figures(RUN) == {"hours": 12.5, "speed": 400.0, "worker_gib": 1.5}
    assert figures({**RUN, "complete": False}) == {"speed": 400.0, "worker_gib": 1.5}
    assert figures({k: v for k, v in RUN.items() if k != "peak_worker_mib"}) == {
        "hours": 12.5,
        "speed": 400.0,
    }
    with pytest.raises(UsageError, match="no audio was scored yet"):
        figures({**RUN, "core_times_real_time": 0.0})


def test_plan_by_command_takes_what_is_given_before_what_the_run_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ser-ray", "plan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    (tmp_path / "run.json").write_text(json.dumps(RUN))
    options = ["--from", tmp_path, "--deadline", "2h", "--startup", "1h"]
    code, out, _ = run(*options, "--json")
    night = Night(12.5, 400, 1.5, 2 * HOUR, HOUR)
    assert (code, json.loads(out)) == (0, json.loads(json.dumps(size(night, Machine()).to_dict())))
    code, out, _ = run(*options, "--hours", 90_000, "--cores", 20, "--price", 2)
    assert code == 0
    told = " ".join(out.split())
    assert "machines 25, 14 workers each, 350 in all; memory for no more of its 20 cores" in told
    assert "cost 98.21, 1.09 for 1,000 h" in told  # 25 machines x (1 + 337.5 / 350) h x 2
    assert "cluster/nightly.sh CPUS 350" in told
    for left_out, mend in (
        (["--hours", 5, "--worker-memory", 1], "--speed is not known"),
        (["--hours", 5, "--speed", 300], "--worker-memory is not known"),
        (["--speed", 300, "--worker-memory", 1], "--hours is not known"),
    ):
        code, _, err = run(*left_out, "--deadline", "2h")
        assert code == 2
        assert err.startswith(f"error: {mend}")


def test_default_machine_is_that_of_the_nightly_job_and_settings_have_their_place_there() -> None:
    written = size(replace(NIGHT, worker_gib=1.2), Machine()).settings()
    assert set(written) == {"kuberay/score.yaml", "aws.yaml", "nightly.sh"}
    job = yaml.safe_load((CLUSTER / "kuberay" / "score.yaml").read_text())
    group = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert group["groupName"] == "cpu-spot"
    resources = group["template"]["spec"]["containers"][0]["resources"]
    places = {**group, **group["rayStartParams"], **resources["requests"]}
    asked = written["kuberay/score.yaml"]
    assert asked.keys() <= places.keys()
    assert {k: str(asked[k]) for k in ("num-cpus", "cpu", "memory")} == {
        k: places[k] for k in ("num-cpus", "cpu", "memory")
    }
    assert Machine().reserved_gib == 2 + int(places["object-store-memory"]) / 2**30  # 2 for Ray itself
    kind = yaml.safe_load((CLUSTER / "aws.yaml").read_text())["available_node_types"]["cpu-spot"]
    assert written["aws.yaml"].keys() <= {**kind, **kind["resources"]}.keys()
    assert (written["aws.yaml"]["min_workers"], written["aws.yaml"]["CPU"]) == (
        kind["min_workers"],
        kind["resources"]["CPU"],
    )
