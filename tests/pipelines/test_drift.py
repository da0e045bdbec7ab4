"""A night held against what its ensemble learned from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_ray import features
from ser_ray.corpora import read_manifest
from ser_ray.corpora.simulate import SimulateOptions, simulate
from ser_ray.fusion import Ensemble
from ser_ray.fusion.ensemble import Fusion
from ser_ray.models import Model, OutOfFold, family
from ser_ray.models.calibration import Calibration
from ser_ray.models.profile import Profile
from ser_ray.pipelines.drift import FEWEST, Tally, drift_of, sound_of
from ser_ray.pipelines.score import score

LABELS = ("anger", "neutral")
FEATURE = features.get("pitch_stats")
COLUMNS = len(FEATURE.names)
QUIET = (-26.0, 30.0, 0.0)  # level, distance from the pauses, share at full scale


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    """One model, wide-band: its columns lay at 0 for anger, at 2 for neutral; the last one never moved."""
    kind = family("svm")
    X = np.random.default_rng(0).normal(size=(20, COLUMNS)).astype(np.float32)
    y = np.arange(20) % 2
    settings = kind.settings({})
    classifier = kind.build(settings, 0).fit(X, y)
    p = np.where(y[:, None] == [0, 1], [0.9, 0.7], [0.3, 0.1])  # right always: anger by 0.9, neutral by 0.7
    means, deviations = np.array([[0.0], [2.0]]) * np.ones(COLUMNS), np.full(COLUMNS, 4.0)
    means[:, -1], deviations[-1] = 5.0, 0.0
    model = Model(
        family="svm",
        settings=settings,
        features=(FEATURE,),
        labels=LABELS,
        classifier=classifier,
        calibration=Calibration(1.0),
        out_of_fold=OutOfFold([str(i) for i in range(20)], [None] * 20, y, p),
        profile=Profile(means, deviations),
    )
    return Ensemble({"svm": model}, Fusion("soft", Calibration(1.0)))


def night(column: np.ndarray, anger: float = 0.25, segments: int = 400, sound: Any = QUIET) -> Tally:
    """So many equal segments."""
    tally = Tally()
    values = {FEATURE.fingerprint: [column.astype(np.float32)] * segments}
    p = np.tile([anger, 1 - anger], (segments, 1))
    tally.add(values, p, [sound] * segments, np.ones(segments, bool))
    return tally


def usual(mix: float = 0.25) -> np.ndarray:
    """Where the columns of the training set lie if `mix` of it is anger."""
    column = np.full(COLUMNS, 2 * (1 - mix))
    column[-1] = 7.0
    return column


def test_sums_are_those_of_the_segments_that_count() -> None:
    tally = Tally()
    frames = [np.full((3, 2), 1.0), np.full((5, 2), 100.0), np.array([[0.0, 4.0], [2.0, 8.0]])]
    p = np.array([[0.8, 0.2], [0.1, 0.9], [0.4, 0.6]])
    tally.add({"f": frames}, p, [(-20, 30, 0), (0, 0, 1), (-30, 20, 0.5)], np.array([True, False, True]))
    assert tally.segments == 2
    assert {key: values.tolist() for key, values in tally.sums.items()} == {
        "f": [2.0, 7.0],
        "p": [pytest.approx(1.2), pytest.approx(0.8)],
        "label": [1.0, 1.0],
        "confidence": [pytest.approx(1.4)],
        "sound": [-50.0, 50.0, 0.5],
    }
    tally.add({"f": []}, np.zeros((0, 2)), [], np.zeros(0, bool))
    assert tally.segments == 2


def test_sums_of_shards_add_up_to_those_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    values, p = list(rng.normal(size=(90, 3))), rng.dirichlet([1, 1], 90)
    sound = rng.normal(size=(90, 3)).tolist()

    def of(rows: slice) -> Tally:
        tally = Tally()
        tally.add({"f": values[rows]}, p[rows], sound[rows], np.ones(len(values[rows]), bool))
        return tally

    merged = Tally()
    for shard in (slice(0, 10), slice(10, 10), slice(10, 90)):
        merged.merge(json.loads(json.dumps(of(shard).to_dict())))
    whole = of(slice(0, 90))
    assert merged.segments == 90
    for key, sums in whole.sums.items():
        np.testing.assert_allclose(merged.sums[key], sums, rtol=1e-5, atol=1e-5)


def test_the_sound_of_a_segment_as_reckoned_by_hand() -> None:
    speech = np.where(np.arange(8000) % 2, 0.1, -0.1).astype(np.float32)  # -20 dB
    pause = 0.01 * speech[:1920]  # 40 dB below
    level, above, clipped = sound_of(np.concatenate([speech, pause]), 8000)
    assert level == pytest.approx(10 * np.log10(0.01 * 8000 / 9920), abs=0.01)
    assert above == pytest.approx(40, abs=0.1)
    assert clipped == 0
    assert sound_of(np.concatenate([-np.ones(400, np.float32), speech]), 8000)[2] == pytest.approx(400 / 8400)
    assert sound_of(np.zeros(4000, np.float32), 8000) == (pytest.approx(-90), 0.0, 0.0)


def test_columns_are_expected_where_the_nights_mix_of_labels_puts_them(ensemble: Ensemble) -> None:
    off = usual()
    off[0] += 8.0
    off[1] -= 3.0
    drift = drift_of(night(off), ensemble, narrow=0.0)
    found = drift["features"][FEATURE.spec]
    assert found["columns"] == COLUMNS - 1  # the last one says nothing: it never moved
    assert found["median"] == 0.0
    assert found["moved"] == pytest.approx(1 / (COLUMNS - 1))
    assert list(found["worst"].items())[:2] == [(FEATURE.names[0], 2.0), (FEATURE.names[1], -0.75)]
    assert drift["warnings"] == []


def test_labels_and_confidence_are_held_against_those_out_of_fold(ensemble: Ensemble) -> None:
    drift = drift_of(night(usual()), ensemble, narrow=0.0)
    assert drift["labels"]["night"] == pytest.approx({"anger": 0.25, "neutral": 0.75})
    assert drift["labels"]["training"] == pytest.approx({"anger": 0.6, "neutral": 0.4})
    assert drift["labels"]["total_variation"] == pytest.approx(0.35)
    assert drift["confidence"] == pytest.approx({"night": 0.75, "training": 0.7})  # all are told as neutral
    assert drift["warnings"] == []


@pytest.mark.parametrize(
    ("changes", "narrow", "sentence"),
    [
        ({}, 0.0, None),
        ({"column": usual(0.15), "anger": 0.15}, 0.0, r"confidence is 0\.85; the same labels had 0\.70"),
        ({"column": usual() + 5.0}, 0.0, r"100 % of the columns of pitch_stats .*\+1\.2.*ser-ray augment"),
        ({"column": usual() + 3.0}, 0.0, None),
        ({"column": usual(0.45), "anger": 0.45}, 0.0, r"confidence is 0\.55; the same labels had 0\.70"),
        ({}, 0.93, "93 % of the calls are of telephone rate.*--band telephone"),
        ({"sound": (-55.0, 30.0, 0.0)}, 0.0, "55 dB below full scale.*Raise the level"),
        ({"sound": (-26.0, 8.0, 0.0)}, 0.0, "only 8 dB above the pauses.*-a noise"),
        ({"sound": (-5.0, 30.0, 0.11)}, 0.0, r"11\.0 % of the samples.*Lower the level"),
    ],
)
def test_a_warning_says_what_stands_out_and_what_to_do(
    ensemble: Ensemble, changes: dict[str, Any], narrow: float, sentence: str | None
) -> None:
    tally = night(**{"column": usual(), **changes})
    warnings = drift_of(tally, ensemble, narrow)["warnings"]
    assert len(warnings) == (sentence is not None)
    for warning in warnings:
        assert re.search(sentence, warning)


def test_few_segments_are_told_of_and_not_warned_of(ensemble: Ensemble) -> None:
    far = usual() + 40.0
    assert drift_of(night(far, segments=FEWEST), ensemble, 1.0)["warnings"]
    few = drift_of(night(far, segments=FEWEST - 1), ensemble, 1.0)
    assert (few["segments"], few["warnings"]) == (FEWEST - 1, [])


def test_without_a_profile_or_speech_nothing_is_compared(ensemble: Ensemble) -> None:
    old = replace(ensemble, members={"svm": replace(ensemble.members["svm"], profile=None)})
    assert drift_of(night(usual()), old, 0.0) is None
    assert drift_of(Tally(), ensemble, 0.0) is None


def test_noisy_calls_of_the_speakers_of_the_training_set_are_warned_of(
    corpus: str, deployment: Any, tmp_path: Path
) -> None:
    options = SimulateOptions(calls=12, seconds=40.0, noise_db=5.0)
    simulate(read_manifest(corpus), str(tmp_path / "calls"), options)
    drift = score(str(tmp_path / "calls"), deployment.ensemble, str(tmp_path / "scores"))["drift"]
    assert drift["segments"] >= FEWEST
    assert any("not like that of the training set" in warning for warning in drift["warnings"])
