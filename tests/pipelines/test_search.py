"""Searches through a space: what they find, what they record, and how they go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ser_ray.errors import BadStore, RunFailed, UsageError
from ser_ray.models.space import Space
from ser_ray.pipelines.search import SearchOptions, importance, search
from ser_ray.pipelines.trials import Objective, Tried, best_of, read_trials

pytestmark = pytest.mark.usefixtures("local_ray")

X, Y = {"type": "float", "low": -1.0, "high": 1.0}, {"type": "log", "low": 0.01, "high": 1.0}
SPACE = Space({"x": X, "y": Y})


def wanted(samples: int, at_once: int = 1, **options: Any) -> SearchOptions:
    """One trial at a time, unless told: a process of its own for each costs seconds to start."""
    return SearchOptions(samples=samples, at_once=at_once, **options)


def hill(calls: Path, fails: Callable[[float], bool] = lambda x: False, top: float = 0.9) -> Objective:
    """The nearer x to 0.3, the better, whatever y is; each call is a file in `calls`."""

    def objective(settings: dict[str, Any], shares: Sequence[float], state: Any = None) -> Iterator[Tried]:
        (calls / f"{settings['x']:.12f}-{time.monotonic_ns()}").touch()
        if fails(settings["x"]):
            raise RuntimeError("a hole in the ground")
        here = top - (settings["x"] - 0.3) ** 2
        for share in shares:
            time.sleep(0.05)
            yield Tried([share * here - 0.05, share * here + 0.05])

    return objective


def test_a_search_climbs_and_writes_everything_down(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    first = {"x": -1.0, "y": 0.01}
    options = wanted(24, scheduler="none")
    found = search(
        hill(tmp_path), SPACE, str(tmp_path / "s"), options, first=[first], progress=lambda *a: told.append(a)
    )
    assert len(found) == 24
    assert found == read_trials(str(tmp_path / "s"))
    assert [t.number for t in found] == list(range(24))
    assert first in [t.settings for t in found[:4]]
    best = best_of(found)
    assert best.ua == max(t.ua or 0.0 for t in found) > 0.89
    assert best.ua == pytest.approx(0.9 - (best.settings["x"] - 0.3) ** 2)
    assert {(t.status, t.share, round(t.spread or 0.0, 9)) for t in found} == {("done", 1.0, 0.05)}
    assert told[0] == (0, 24, "trials")
    assert told[-1] == (24, 24, "trials")
    shares = importance(SPACE, found)
    assert shares is not None
    assert shares["x"] > 0.7
    later = np.mean([t.ua or 0.0 for t in found[16:]])
    assert later > np.mean([t.ua or 0.0 for t in found[:8]])  # it learns from what it tried


def test_a_search_that_goes_on_repeats_nothing(tmp_path: Path) -> None:
    folder, calls = str(tmp_path / "s"), tmp_path / "calls"
    calls.mkdir()
    before = search(hill(calls), SPACE, folder, wanted(6))
    after = search(hill(calls), SPACE, folder, wanted(12))
    assert after[:6] == before
    assert len(after) == 12
    assert len(list(calls.iterdir())) == 12
    assert len({t.settings["x"] for t in after}) == 12
    assert search(hill(calls), SPACE, folder, wanted(12)) == after
    assert len(list(calls.iterdir())) == 12


def test_asha_ends_early_what_promises_little_and_remembers_when_it_goes_on(tmp_path: Path) -> None:
    folder = str(tmp_path / "s")
    searched = search(hill(tmp_path), SPACE, folder, wanted(12, searcher="random"), staged=True)
    stopped = [t for t in searched if t.status == "stopped"]
    assert len(stopped) >= 4
    assert {t.share for t in stopped} <= {1 / 9, 3 / 9}
    assert all(t.rungs[-1][1] == t.ua for t in searched)
    assert best_of(searched).status == "done"
    poor = hill(tmp_path, top=0.2)
    more = search(poor, SPACE, folder, wanted(14, searcher="random"), staged=True)
    assert [t.status for t in more[12:]] == ["stopped", "stopped"]  # a new search would let the first pass


def test_grids_and_few_choices_are_tried_once_each(tmp_path: Path) -> None:
    grid = search(hill(tmp_path), SPACE, str(tmp_path / "g"), wanted(50, searcher="grid", points=2))
    assert sorted((t.settings["x"], t.settings["y"]) for t in grid) == [
        (-1.0, 0.01),
        (-1.0, 1.0),
        (1.0, 0.01),
        (1.0, 1.0),
    ]
    few = Space({"x": {"type": "choice", "choices": [0.0, 0.2, 0.4]}})
    found = search(hill(tmp_path), few, str(tmp_path / "c"), wanted(50))
    assert sorted(t.settings["x"] for t in found) == [0.0, 0.2, 0.4]


def test_what_fails_is_written_down_with_its_cause_and_the_search_goes_on(tmp_path: Path) -> None:
    folder = str(tmp_path / "s")
    found = search(hill(tmp_path, lambda x: x < 0), SPACE, folder, wanted(10, searcher="random"))
    failed = [t for t in found if t.status == "failed"]
    assert 0 < len(failed) < 10
    assert len(found) == 10
    assert all(t.settings["x"] < 0 and t.ua is None for t in failed)
    assert {t.error for t in failed} == {"RuntimeError: a hole in the ground"}
    assert best_of(found).settings["x"] >= 0
    with pytest.raises(RunFailed, match=r"first \d trials all failed, the last with: RuntimeError: a hole"):
        search(hill(tmp_path, lambda x: True), SPACE, str(tmp_path / "f"), wanted(50, at_once=2))
    assert 5 <= len(read_trials(str(tmp_path / "f"))) <= 7  # what ran beside the fifth


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "00000.json").write_text('{"number": 0}')
    with pytest.raises(BadStore, match=r"00000\.json is no record of a trial"):
        search(hill(tmp_path), SPACE, str(tmp_path), SearchOptions())


def test_pbt_is_for_what_it_can_change(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pbt changes lr, .* none of them is searched"):
        search(hill(tmp_path), SPACE, str(tmp_path), SearchOptions(scheduler="pbt"), staged=True, deep=True)


DRIVER = """
import sys
from pathlib import Path
from ser_ray.pipelines import cluster
cluster.ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
from ser_ray.pipelines.search import search
sys.path.insert(0, sys.argv[3])
import test_search
cluster.ray.cloudpickle.register_pickle_by_value(test_search)
def show(done, total, counted):
    print(counted, done, flush=True)
objective = test_search.hill(Path(sys.argv[1]))
search(objective, test_search.SPACE, sys.argv[2], test_search.wanted(40, at_once=2), progress=show)
"""


@pytest.mark.cluster
def test_a_search_killed_in_the_middle_is_completed_and_nothing_is_doubled(tmp_path: Path) -> None:
    folder, calls = str(tmp_path / "s"), tmp_path / "calls"
    calls.mkdir()
    command = [sys.executable, "-c", DRIVER, str(calls), folder, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as driver:
        assert driver.stdout is not None
        assert any(line.strip() == "trials 4" for line in driver.stdout)
        family = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
    for process in family:
        if process.is_running():
            process.kill()
    psutil.wait_procs(family, timeout=30)
    before = read_trials(folder)
    begun = len(list(calls.iterdir()))
    assert 4 <= len(before) < 40
    after = search(hill(calls), SPACE, folder, wanted(40, at_once=2))
    assert after[: len(before)] == before
    assert [t.number for t in after] == list(range(40))
    assert len({t.settings["x"] for t in after}) == 40
    assert len(list(calls.iterdir())) == begun + 40 - len(before)
