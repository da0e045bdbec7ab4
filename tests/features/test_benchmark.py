"""The comparison with librosa and openSMILE: it measures both sides over the same waves."""

import importlib.util

import numpy as np
import pytest

from ser_ray.features.benchmark import compare, contests


def test_every_contest_gives_speeds_and_their_ratio():
    waves = [np.random.default_rng(k).normal(0, 0.1, 16000).astype(np.float32) for k in range(2)]
    found = compare(waves, repeats=1)
    assert list(found) == [contest.name for contest in contests()]
    assert ("IS09 descriptors" in found) == bool(importlib.util.find_spec("opensmile"))
    for figures in found.values():
        wanted = figures["times_real_time"] / figures["reference_times_real_time"]
        assert figures["ratio"] == pytest.approx(wanted)
        assert figures["times_real_time"] > 1
