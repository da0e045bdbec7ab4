"""Scoring of single calls by one worker: legs, segments, smoothing, and what goes wrong inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from ser_ray.fusion.smoothing import SMOOTHINGS
from ser_ray.pipelines.calls import OpenCall, Stopwatch
from ser_ray.pipelines.scores import Segment
from ser_ray.pipelines.shard import ScoreOptions, ShardScorer
from tests.pipelines.worker import a_good_call, score_one, worker


@pytest.fixture(scope="module")
def scorer(deployment: Any, tmp_path_factory: pytest.TempPathFactory) -> ShardScorer:
    """A worker in this process."""
    return worker(deployment, tmp_path_factory.mktemp("scorer"))


class Stumbling(ShardScorer):
    """Meets an error that nobody foresaw, late, over one call."""

    def _row(self, call: dict[str, str], heard: OpenCall, segments: list[Segment]) -> dict[str, Any]:
        if call["call_id"] == "bad":
            raise ArithmeticError("nobody foresaw this")
        return super()._row(call, heard, segments)


def test_an_unforeseen_error_costs_one_row_and_no_segment_counts_twice(
    deployment: Any, tmp_path: Path
) -> None:
    stumbling = worker(deployment, tmp_path, kind=Stumbling)
    uri = str(a_good_call(deployment))
    good, bad = stumbling.score([{"call_id": name, "uri": uri} for name in ("good", "bad")], Stopwatch())
    assert (good["status"], bad["status"], bad["error_type"]) == ("ok", "error", "ArithmeticError")
    assert stumbling.tally.segments == len(good["segments"]) > 0


def test_same_sound_on_both_channels_is_scored_once(
    deployment: Any, scorer: ShardScorer, tmp_path: Path
) -> None:
    stereo, rate = sf.read(a_good_call(deployment))
    voice = stereo.sum(axis=1)
    sf.write(tmp_path / "dual.wav", np.stack([voice, voice], axis=1), rate)
    sf.write(tmp_path / "mono.wav", voice, rate)
    dual, mono = (score_one(scorer, tmp_path / name) for name in ("dual.wav", "mono.wav"))
    assert (dual["dual_mono"], mono["dual_mono"]) == (True, False)
    assert [leg["leg"] for leg in dual["legs"]] == [leg["leg"] for leg in mono["legs"]] == ["mono"]
    assert dual["segments"] == mono["segments"] != []


@pytest.mark.parametrize("how", SMOOTHINGS)
def test_smoothing_comes_before_all_that_is_read_from_the_probabilities(
    deployment: Any, scorer: ShardScorer, tmp_path: Path, how: str
) -> None:
    call = a_good_call(deployment)
    plain = score_one(scorer, call)["segments"]
    options = ScoreOptions(smooth=how, certain_from=0.6)
    row = score_one(worker(deployment, tmp_path, options), call)
    assert [(s["leg"], s["start_s"]) for s in row["segments"]] == [(s["leg"], s["start_s"]) for s in plain]
    for leg in row["legs"]:
        own = [s for s in plain if s["leg"] == leg["leg"]]
        p = np.array([list(s["p"].values()) for s in own])
        expected = SMOOTHINGS[how](p, np.array([(s["start_s"] + s["end_s"]) / 2 for s in own]))
        found = [s for s in row["segments"] if s["leg"] == leg["leg"]]
        np.testing.assert_allclose([list(s["p"].values()) for s in found], expected, atol=1e-9)
        sure = expected.max(axis=1)
        assert [s["certain"] for s in found] == (sure >= 0.6).tolist()
        negative = expected[:, [0, 2]].sum(axis=1) > 0.5  # anger and sadness; the third is neutral
        assert [s["group"] == "negative" for s in found] == negative.tolist()
        unsure_s = sum(s["end_s"] - s["start_s"] for s in own if not found[own.index(s)]["certain"])
        assert leg["uncertain_s"] == pytest.approx(unsure_s)


def test_third_channel_gets_a_leg_of_its_own(deployment: Any, scorer: ShardScorer, tmp_path: Path) -> None:
    stereo, rate = sf.read(a_good_call(deployment))
    sf.write(tmp_path / "three.wav", np.column_stack([stereo, np.zeros(len(stereo))]), rate)
    row = score_one(scorer, tmp_path / "three.wav")
    assert [leg["leg"] for leg in row["legs"]] == ["agent", "customer", "channel-3"]
    assert row["legs"][2]["speech_s"] == 0.0


def test_long_call_is_cut_like_its_parts(deployment: Any, scorer: ShardScorer, tmp_path: Path) -> None:
    stereo, rate = sf.read(a_good_call(deployment))
    pause = np.zeros((3 * rate - len(stereo) % rate, 2))
    once = np.concatenate([stereo, pause])
    sf.write(tmp_path / "long.wav", np.tile(once, (6, 1)), rate)
    row = score_one(scorer, tmp_path / "long.wav")
    length = len(once) / rate
    second, fourth = ([s for s in row["segments"] if n <= s["start_s"] / length < n + 1] for n in (1, 3))
    assert len(second) == len(fourth) > 1
    for a, b in zip(second, fourth, strict=True):
        assert a["leg"] == b["leg"]
        there = (a["start_s"] + 2 * length, a["end_s"] + 2 * length)
        assert there == pytest.approx((b["start_s"], b["end_s"]), abs=0.3)  # the detector remembers
