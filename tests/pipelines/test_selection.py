"""Pitch statistics are chosen by training rows alone, and alike one after the other and on the cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ser_ray.corpora import read_manifest
from ser_ray.errors import UsageError
from ser_ray.models import family, load_model, save_model
from ser_ray.models.inputs import joined, stacked
from ser_ray.models.selection import columns_text
from ser_ray.pipelines.dataset import Dataset, chosen_features, load_dataset
from ser_ray.pipelines.selection import select_columns
from ser_ray.pipelines.train import train

ROWS, COLUMNS, PLANTED = 90, 9, (2, 5)
SMALL: dict[str, Any] = {"components": 2, "pitch_components": 1}


def made_up(copies: int = 0, cepstrum: float = 0.1) -> Dataset:
    """Six speakers; two columns that tell three emotions together, and frames that hardly do.

    The last `copies` rows are copies of the first, with another emotion's statistics.
    """
    rng = np.random.default_rng(0)
    y, speakers = np.arange(ROWS) % 3, np.arange(ROWS) // (ROWS // 6)
    frames = [rng.normal(cepstrum * k, 1, (int(rng.integers(8, 16)), 3)).astype(np.float32) for k in y]
    vectors = rng.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32)
    vectors[:, PLANTED[0]] += 3 * (y == 1)
    vectors[:, PLANTED[1]] += 3 * (y == 2)
    rows = np.concatenate([np.arange(ROWS), np.arange(copies)])
    changes = [None] * ROWS + ["noise"] * copies
    return Dataset(
        rows=pa.table({"augmentation": pa.array(changes, pa.string())}),
        y=y[rows],
        labels=("anger", "fear", "joy"),
        speakers=speakers[rows],
        lost={},
        sources=rows,
        X=joined([stacked([frames[row] for row in rows]), vectors[rows]]),
    )


def test_the_planted_columns_are_found_in_any_run() -> None:
    told: list[tuple[int, int]] = []
    data, rows = made_up(), np.arange(ROWS)
    first = select_columns(
        data, rows, SMALL, 3, 3, progress=lambda done, total, _: told.append((done, total)), mapper=map
    )
    assert sorted(first[1].columns) == list(PLANTED)
    assert first[1].score > first[0].score + 0.15
    assert first[1].score > 0.85
    assert [len(step.columns) for step in first] == [1, 2, 3]
    assert told == [(9, 24), (17, 24), (24, 24)]
    assert select_columns(data, rows, SMALL, 3, 3, mapper=map) == first


def test_rows_that_test_are_not_looked_at() -> None:
    data = made_up()
    rows = np.flatnonzero(data.speakers != 0)
    before = select_columns(data, rows, SMALL, 2, 3, mapper=map)
    X, y = data.X.copy(), data.y.copy()
    for row in np.flatnonzero(data.speakers == 0):
        X[row], y[row] = (np.full((4, 3), np.nan, np.float32), np.full(COLUMNS, np.nan, np.float32)), 0
    assert select_columns(replace(data, X=X, y=y), rows, SMALL, 2, 3, mapper=map) == before


def test_copies_are_learned_from_and_never_tested() -> None:
    """Those of one emotion only: tested, they would weigh on it; beside their sources, they tell nothing."""
    data, plain = made_up(copies=30), made_up()
    rows = np.arange(len(data.y))
    found = select_columns(data, rows, SMALL, 2, 3, mapper=map)
    assert sorted(found[1].columns) == list(PLANTED)
    scores = {round(step.score * 90, 6) for step in found}
    assert all(score == pytest.approx(round(score)) for score in scores)  # of 30 utterances an emotion
    assert found != select_columns(plain, np.arange(ROWS), SMALL, 2, 3, mapper=map)


def test_a_given_weight_is_that_of_every_candidate() -> None:
    data = made_up(cepstrum=2.0)
    rows = np.arange(ROWS)
    deaf = select_columns(data, rows, {**SMALL, "weight": 1}, 2, 3, mapper=map)
    assert deaf[-1].columns == (0, 1)
    assert deaf[0].score == deaf[1].score
    alone = select_columns(data, rows, {**SMALL, "weight": 0}, 2, 3, mapper=map)
    assert sorted(alone[-1].columns) == list(PLANTED)
    best = select_columns(data, rows, SMALL, 2, 3, mapper=map)
    assert best[-1].score >= max(deaf[-1].score, alone[-1].score)


def test_what_cannot_be_chosen_is_refused() -> None:
    with pytest.raises(UsageError, match="Ask for 1 to 9"):
        select_columns(made_up(), np.arange(ROWS), SMALL, 10, 2, mapper=map)
    with pytest.raises(UsageError, match="no setting 'component'"):
        select_columns(made_up(), np.arange(ROWS), {"component": 2})


def test_the_cluster_chooses_as_this_process_does(local_ray: None) -> None:
    rows = np.arange(ROWS)
    serial = select_columns(made_up(), rows, SMALL, 2, 3, mapper=map)
    assert select_columns(made_up(), rows, SMALL, 2, 3) == serial


def test_a_corpus_is_learned_with_the_columns_chosen_from_it(
    local_ray: None, corpus: str, tmp_path: Any
) -> None:
    manifest, store = read_manifest(corpus), str(tmp_path / "store")
    small = {**SMALL, "components": 4, "folds": 2}
    data = load_dataset(manifest, store, chosen_features("gmm_fusion"))
    columns = select_columns(data, np.arange(len(data.y)), small, 2, 2)[-1].columns
    model, report = train("gmm_fusion", manifest, store, settings={**small, "columns": columns_text(columns)})
    assert model.settings["columns"] == columns_text(columns)
    assert model.classifier.pitch.columns.tolist() == sorted(columns)  # type: ignore[attr-defined]
    assert report.ua.value > 0.6  # chance is 0.33
    save_model(model, str(tmp_path / "model"))
    loaded = load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict_proba(data.X), model.predict_proba(data.X))
    with pytest.raises(UsageError, match="vectors beside frames are not normalised together"):
        train("gmm_fusion", manifest, store, normalise="cmvn")
    assert family("gmm_fusion").features == ("mfcc(n=12,deltas=1)", "pitch_stats")
