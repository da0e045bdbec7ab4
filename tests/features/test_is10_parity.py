"""The comparison with openSMILE: what it measures of numbers that are alike, and of both speeds."""

import numpy as np
import pytest

pytest.importorskip("opensmile", reason="the extra [opensmile] is not installed")

from ser_ray.features.is10 import DESCRIPTORS, FUNCTIONALS, PITCH
from ser_ray.features.is10_parity import compare_is10


def test_the_comparison_tells_by_descriptor_and_by_functional_and_both_speeds():
    rng = np.random.default_rng(0)
    t = np.arange(16000) / 16000
    waves = [
        (
            sum(0.1 / k * np.sin(2 * np.pi * k * hz * t) for k in range(1, 9)) + rng.normal(0, 0.01, 16000)
        ).astype(np.float32)
        for hz in (150, 210)
    ]
    found = compare_is10(waves, repeats=1)
    assert {*DESCRIPTORS, *PITCH, *(f"within 1 %, {name}" for name in FUNCTIONALS)} < set(found)
    assert found["mfcc_sma[3]"]["correlation"] > 0.9999
    assert found["mfcc_sma[3]"]["median_difference"] < 1e-4
    assert found["F0"] == {"same_voicing": 1.0, "within_1_percent": 1.0}
    assert found["within 1 %, not of pitch"] > 0.95
    assert found["ratio"] == pytest.approx(found["times_real_time"] / found["reference_times_real_time"])
