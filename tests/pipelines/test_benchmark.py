"""What the benchmarks of scoring make of a run's shards, and the archives and loops that they build."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from ser_ray.pipelines.growth_benchmark import build_archive, tail_of
from ser_ray.pipelines.plan import list_calls
from ser_ray.pipelines.score import score
from ser_ray.pipelines.scoring_benchmark import Done, course_of, shards_done, speed_of, waiting_share
from ser_ray.pipelines.scoring_peers import mfcc_statistics, peers_of


def done(began: float, ended: float, worker: str = "a", calls: int = 16, mib: int = 100) -> Done:
    return Done(1000.0 + ended, 1000.0 + began, worker, calls, 3.0 * calls, mib, 0.9 * (ended - began))


def test_course_tells_calls_a_second_and_memory_of_each_part_of_a_run() -> None:
    shards = [done(n / 2, n / 2) for n in range(21)]
    shards += [done(10 + n, 10 + n, mib=100 + n) for n in range(1, 21)]  # half as fast, and growing
    course = course_of(shards)
    assert course["calls_per_s_by_parts"] == pytest.approx([32.0] * 5 + [16.0] * 5)
    assert course["times_real_time_by_parts"] == pytest.approx([96.0] * 5 + [48.0] * 5)
    assert course["peak_worker_mib_by_parts"] == [100] * 5 + [104, 108, 112, 116, 120]


def test_what_a_worker_waits_between_its_shards_is_not_its_start_nor_the_others_tail() -> None:
    shards = [done(0, 3), done(4, 7), done(5, 8, "late"), done(8, 20)]  # 1 s + 1 s between a's shards
    assert waiting_share(shards) == pytest.approx(2 / 23)
    assert speed_of(shards) == pytest.approx(4 * 48 / 20)
    assert tail_of(shards) == pytest.approx(12)
    assert tail_of(shards[:1]) == 0


@pytest.mark.usefixtures("local_ray")
def test_shards_of_a_run_tell_who_worked_on_them_and_when(deployment: Any, tmp_path: Path) -> None:
    score(deployment.archive, deployment.ensemble, str(tmp_path / "scores"), workers=1)
    shards = shards_done(str(tmp_path / "scores"))
    assert sum(shard.calls for shard in shards) == len(list_calls(deployment.archive)[0])
    assert len({shard.worker for shard in shards}) == 1
    assert [shard.ended for shard in shards] == sorted(shard.ended for shard in shards)
    assert all(one.ended <= two.began for one, two in pairwise(shards))
    assert 0 <= waiting_share(shards) < 1
    assert all(shard.cpu_s > 0 for shard in shards)


def test_an_archive_grows_to_its_hours_and_holds_one_long_call(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, (8000, 2)).astype(np.float32)
    for number, seconds in enumerate((1, 2)):
        sf.write(tmp_path / f"{number}.wav", np.tile(wave, (seconds, 1)), 8000, subtype="ULAW")
    grown = tmp_path / "grown"
    grown.mkdir()
    paths = sorted(tmp_path.glob("*.wav"))
    assert build_archive(grown, paths, hours=10 / 3600, long_hours=4.5 / 3600) == 8
    lasting = sorted(sf.info(path).duration for path in grown.iterdir())
    assert lasting == [1, 1, 1, 1, 2, 2, 2, 4.5]
    assert (grown / "call-000001.wav").samefile(paths[1])
    assert {sf.info(path).subtype for path in grown.iterdir()} == {"ULAW"}


def test_the_loops_of_users_hear_the_calls_that_they_are_given(deployment: Any) -> None:
    assert peers_of(deployment.archive, deployment.ensemble, 0) == {}
    found = peers_of(deployment.archive, deployment.ensemble, 2)["librosa"]
    assert 0 < found["calls"] <= 2
    assert found["audio_hours"] > 0
    assert found["times_real_time"] > 0
    assert mfcc_statistics(np.ones(4000, np.float32), 8000).shape == (160,)
