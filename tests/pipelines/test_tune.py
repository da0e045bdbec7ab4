"""Tuning families and fusions: what the search sees, what it leaves behind, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from ser_ray.corpora import read_manifest
from ser_ray.errors import OutputConflict, UsageError
from ser_ray.fusion import load_ensemble
from ser_ray.models import load_model
from ser_ray.pipelines.contest import contest
from ser_ray.pipelines.search import SearchOptions
from ser_ray.pipelines.train import train
from ser_ray.pipelines.trials import read_trials
from ser_ray.pipelines.tune import TuneRequest, prepare, tune
from ser_ray.pipelines.tune_fusion import FusionRequest, tune_fusion

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("tuning") / "store")


def wanted(samples: int, at_once: int = 1, **options: Any) -> SearchOptions:
    """One trial at a time, unless told: a process of its own for each costs seconds to start."""
    return SearchOptions(samples=samples, at_once=at_once, **options)


@pytest.fixture(scope="module")
def tuned(corpus: str, store: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An SVM, with a parameter of its feature, and speakers left out by the outer folds too."""
    out = tmp_path_factory.mktemp("tuned") / "svm"
    request = TuneRequest(
        "svm",
        space={"C": {"low": 1, "high": 100}, "gamma": 0.3, "feature.n_mels": [20, 40]},
        inner_folds=2,
        outer="speaker",
        outer_folds=3,
        options=wanted(4, seed=3),
    )
    return out, tune(request, read_manifest(corpus), store, str(out))


def test_what_a_search_leaves_behind(tuned: tuple[Path, dict[str, Any]], corpus: str, store: str) -> None:
    out, summary = tuned
    assert json.loads((out / "tuning.json").read_text()) == summary
    trials = read_trials(str(out))
    table = pq.read_table(out / "trials.parquet").to_pylist()
    assert [json.loads(row["settings"]) for row in table] == [t.settings for t in trials]
    assert [row["ua"] for row in table] == [t.ua for t in trials]
    assert all(len(row["folds"]) == 2 and np.mean(row["folds"]) == row["ua"] for row in table)
    best = max(trials, key=lambda t: (t.ua, -t.number))
    assert summary["best"]["ua"] == best.ua
    assert summary["trials"] == {"done": 4, "stopped": 0, "failed": 0}
    assert summary["default"]["settings"] == {"C": 10.0, "gamma": 0.3, "feature.n_mels": 40}
    assert (summary["family"], summary["seed"], summary["utterances"]) == ("svm", 3, 60)
    assert summary["protocol"] == "2 inner folds, speakers apart"
    chosen = yaml.safe_load((out / "best.yaml").read_text())
    assert chosen["settings"] == {"C": best.settings["C"], "gamma": 0.3}
    model = load_model(str(out / "best"))
    assert model.settings == chosen["settings"]
    assert [f.spec for f in model.features] == chosen["features"]
    n_mels = best.settings["feature.n_mels"]
    assert chosen["features"] == ["mfcc_stats" if n_mels == 40 else f"mfcc_stats(n_mels={n_mels})"]
    again, _ = train(
        "svm", read_manifest(corpus), store, chosen["features"], settings=chosen["settings"], seed=3
    )
    np.testing.assert_allclose(again.out_of_fold.probabilities, model.out_of_fold.probabilities)


def test_the_outer_folds_measure_a_search_of_their_own(tuned: tuple[Path, dict[str, Any]]) -> None:
    out, summary = tuned
    outer = summary["outer"]
    assert (outer["protocol"], outer["utterances"], len(outer["folds"])) == ("speaker", 60, 3)
    for number, fold in enumerate(outer["folds"], 1):
        trials = read_trials(str(out / "outer" / str(number)))
        assert len(trials) == 4
        assert fold["inner_ua"] == max(t.ua or 0.0 for t in trials)
        assert fold["settings"] in [t.settings for t in trials]
    value, low, high = outer["difference"]
    assert value == pytest.approx(outer["tuned"]["ua"][0] - outer["default"]["ua"][0])
    assert low <= value <= high


def test_a_search_sees_nothing_of_the_rows_that_test_it(corpus: str, store: str, tmp_path: Path) -> None:
    prepared = prepare(TuneRequest("svm", inner_folds=2, options=wanted(2)), read_manifest(corpus), store)
    data = prepared.objective.variants.data
    rows = np.flatnonzero(data.speakers != data.speakers[0])  # type: ignore[index]
    before = prepared.search(str(tmp_path / "a"), wanted(2), rows=rows)
    key = next(iter(prepared.objective.variants.X))
    X = prepared.objective.variants.of({}).copy()
    X[np.setdiff1d(np.arange(len(X)), rows)] = np.nan
    from ser_ray.pipelines.cluster import ray

    prepared.objective.variants.X[key] = ray.put(X)  # type: ignore[index]
    after = prepared.search(str(tmp_path / "b"), wanted(2), rows=rows)
    assert [(t.settings, t.folds) for t in sorted(after, key=str)] != []
    assert {str(t.settings): t.folds for t in after} == {str(t.settings): t.folds for t in before}


def test_the_same_request_goes_on_and_another_is_refused(
    tuned: tuple[Path, dict[str, Any]], corpus: str, store: str, tmp_path: Path
) -> None:
    manifest, out = read_manifest(corpus), str(tmp_path / "s")
    request = TuneRequest("svm", inner_folds=2, options=wanted(2))
    first = tune(request, manifest, store, out)
    more = tune(TuneRequest("svm", inner_folds=2, options=wanted(3)), manifest, store, out)
    assert (first["trials"]["done"], more["trials"]["done"]) == (2, 3)
    for other in (
        TuneRequest("svm", inner_folds=3, options=wanted(3)),
        TuneRequest("svm", inner_folds=2, options=wanted(3, seed=1)),
        TuneRequest("svm", inner_folds=2, options=wanted(3), space={"C": 1.0}),
    ):
        with pytest.raises(OutputConflict, match=r"holds a search with another (inner_folds|options|space)"):
            tune(other, manifest, store, out)
    with pytest.raises(OutputConflict, match="another utterances"):
        tune(request, manifest.slice(1), store, out)


@pytest.mark.parametrize(
    ("request_", "cause"),
    [
        (TuneRequest("svm", inner_folds=1), "2 inner folds or more"),
        (TuneRequest("svm", space={"Q": 1}), "svm has no setting 'Q'"),
        (
            TuneRequest("svm", space={"feature.window_s": [0.1]}),
            "none of mfcc_stats has a parameter",
        ),
        (TuneRequest("svm", outer="nonsense"), "unknown protocol 'nonsense'"),
        (TuneRequest("nonsense"), "unknown family 'nonsense'"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_written(
    request_: TuneRequest, cause: str, corpus: str, store: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=cause):
        tune(request_, read_manifest(corpus), store, str(tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_a_fusion_is_tuned_and_kept_as_an_ensemble(corpus: str, store: str, tmp_path: Path) -> None:
    request = FusionRequest(
        "svm,random_forest,xgboost",
        space={"member.svm": True},
        inner_folds=2,
        outer="speaker",
        outer_folds=2,
        options=wanted(6),
    )
    summary = tune_fusion(request, read_manifest(corpus), store, str(tmp_path / "f"))
    settings = summary["best"]["settings"]
    ensemble, _ = load_ensemble(str(tmp_path / "f" / "best"))
    assert settings["member.svm"] is True
    assert list(ensemble.members) == [
        name for name in ("svm", "random_forest", "xgboost") if settings[f"member.{name}"]
    ]
    assert (ensemble.fusion.rule, ensemble.fusion.temperature) == (settings["rule"], settings["temperature"])
    assert summary["default"]["settings"]["temperature"] == 1.0
    assert len(summary["outer"]["folds"]) == 2
    assert summary["trials"]["done"] == 6
    with pytest.raises(UsageError, match="two members or more"):
        tune_fusion(FusionRequest("svm"), read_manifest(corpus), store, str(tmp_path / "g"))


def test_the_better_half_of_a_contest_searches_on(corpus: str, store: str, tmp_path: Path) -> None:
    space = {"random_forest": {"trees": 10}, "xgboost": {"trees": 1, "column_share": 0.02}}
    request = TuneRequest("", space=space, inner_folds=2, options=wanted(12))
    names = ["svm", "random_forest", "xgboost"]
    done = contest(names, request, read_manifest(corpus), store, str(tmp_path))
    places = {place["family"]: place for place in done["places"]}
    assert {name: place["trials"] for name, place in places.items()} == {
        name: 2 if place["rounds"] == 1 else 5 for name, place in places.items()
    }
    assert sorted(place["rounds"] for place in done["places"]) == [1, 2, 2]
    uas = [place["ua"] for place in done["places"]]
    assert uas == sorted(uas, reverse=True)
    assert done["winner"] == done["places"][0]["family"]
    assert load_model(done["model"]).family == done["winner"]
    with pytest.raises(UsageError, match=r"too few for 3 families\. Give 6"):
        contest(names, TuneRequest("", options=wanted(5)), read_manifest(corpus), store, str(tmp_path / "x"))
    other = TuneRequest("", space={"mlp": {}}, options=wanted(12))
    with pytest.raises(UsageError, match="'mlp' does not take part"):
        contest(names, other, read_manifest(corpus), store, str(tmp_path / "x"))


def test_a_population_copies_its_best_and_goes_on_with_other_rates(
    corpus: str, store: str, tmp_path: Path
) -> None:
    rate = {"type": "log", "low": 1e-5, "high": 0.1}
    space = {"epochs": 8, "held_out": 0, "hidden": "8", "dropout": 0.0, "lr": rate}
    request = TuneRequest("mlp", space=space, inner_folds=2, options=wanted(3, scheduler="pbt"))
    summary = tune(request, read_manifest(corpus), store, str(tmp_path / "s"))
    trials = read_trials(str(tmp_path / "s"))
    assert [t.status for t in trials] == ["done"] * 3
    assert all(len(t.rungs) == 8 and t.rungs[-1] == [8, t.ua] for t in trials)
    assert summary["best"]["ua"] == max(t.ua or 0.0 for t in trials) > 0.5
    assert not (tmp_path / "s" / "population").exists()
