"""Fusing models: what is chosen on held-out speakers, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from ser_ray.errors import UsageError
from ser_ray.evaluation import cross_selected, select
from ser_ray.fusion import out_of_fold
from ser_ray.fusion.ensemble import aligned
from ser_ray.models import Model, OutOfFold
from ser_ray.pipelines.fuse import fuse
from tests.reports.models import model

ROWS = 600


def member(seed: int) -> Model:
    """A model whose out-of-fold predictions of 12 speakers are right for its rows."""
    y = np.arange(ROWS) % 3
    logits = np.random.default_rng(seed).normal(size=(ROWS, 3))
    logits[np.arange(ROWS), y] += 1.5
    speakers: list[str | None] = [f"s{row // 50}" for row in range(ROWS)]
    ids = [f"u{row}" for row in range(ROWS)]
    return replace(model(), out_of_fold=OutOfFold(ids, speakers, y, softmax(1.5 * logits, axis=1)))


@pytest.fixture(scope="module")
def members() -> dict[str, Model]:
    return {"one": member(1), "other": member(2)}


def test_threshold_keeps_its_promise_and_says_what_it_costs(members: dict[str, Model]) -> None:
    ensemble, reports = fuse(members, "soft", precision=0.9)
    p, y, speakers, _ = aligned(members)
    honest = out_of_fold(ensemble.fusion, p, y, speakers)
    assert ensemble.certain_from is not None
    found, told = select(y, honest, speakers, ensemble.certain_from), ensemble.card["certain"]
    assert found.low >= 0.9
    assert told["chosen"] == vars(found)
    assert told["unseen"] == vars(cross_selected(0.9, y, honest, speakers))
    assert 0.3 < told["unseen"]["coverage"] < 0.95
    assert told["unseen"]["precision"] == pytest.approx(0.92, abs=0.03)
    everything = ensemble.card["selections"][0]
    assert everything["coverage"] == 1.0
    assert everything["precision"] == pytest.approx(reports["rule:soft"].wa.value)


def test_without_a_precision_every_segment_is_certain(members: dict[str, Model]) -> None:
    ensemble, _ = fuse(members, "soft")
    assert ensemble.certain_from is None
    assert "certain" not in ensemble.card
    assert ensemble.groups == {"negative": ("anger", "sadness"), "neutral": ("neutral",)}


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_calibration_is_of_the_kind_that_is_asked_for(members: dict[str, Model], kind: str) -> None:
    ensemble, reports = fuse(members, "soft", calibration=kind)
    assert ensemble.fusion.calibration.kind == kind
    assert reports["rule:soft"].ece.value < 0.08


def test_what_cannot_be_is_refused(members: dict[str, Model]) -> None:
    with pytest.raises(UsageError, match=r"no confidence gives a precision of 99\.99 %"):
        fuse(members, "soft", precision=0.9999)
    with pytest.raises(UsageError, match="sadness in no group"):
        fuse(members, "soft", groups="negative=anger,rest=neutral")
