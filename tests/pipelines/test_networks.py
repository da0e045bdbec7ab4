"""Networks on their way through training on Ray, evaluation, fusion with classical members, and scoring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_ray import storage
from ser_ray.audio.band import in_band
from ser_ray.audio.decode import read_audio
from ser_ray.corpora import read_manifest
from ser_ray.errors import UsageError
from ser_ray.fusion import load_ensemble, save_ensemble
from ser_ray.models import load_model, save_model
from ser_ray.models.inputs import joined, stacked
from ser_ray.pipelines.calls import Stopwatch
from ser_ray.pipelines.candidates import candidates_of
from ser_ray.pipelines.dataset import chosen_features
from ser_ray.pipelines.evaluate import evaluate
from ser_ray.pipelines.fuse import fuse, load_members
from ser_ray.pipelines.shard import ScoreOptions, ShardScorer
from ser_ray.pipelines.train import train
from tests.conftest import Deployment

pytestmark = pytest.mark.usefixtures("local_ray")
QUICK = {"epochs": 4, "batch": 8}


@pytest.fixture(scope="module")
def models(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recurrent network on frames, a perceptron on vectors and an SVM, all of the telephone band."""
    root = tmp_path_factory.mktemp("networks")
    for name, settings in (("simple_rnn", QUICK), ("mlp", QUICK), ("svm", {})):
        model, _ = train(
            name, read_manifest(corpus), str(root / "store"), band="telephone", settings=settings
        )
        save_model(model, str(root / name))
    return root


def test_network_trained_on_ray_is_saved_with_its_curve_and_answers_the_same(models: Path) -> None:
    model = load_model(str(models / "simple_rnn"))
    assert [row["epoch"] for row in model.classifier.curve] == [1, 2, 3, 4]  # type: ignore[attr-defined]
    assert (model.band, model.labels) == ("telephone", ("anger", "neutral", "sadness"))
    assert len(model.out_of_fold.ids) == 60
    np.testing.assert_allclose(model.out_of_fold.probabilities.sum(axis=1), 1.0, atol=1e-6)


def test_networks_fuse_with_classical_members_and_score_calls_alike_together_and_alone(
    models: Path, deployment: Deployment
) -> None:
    ensemble, _ = fuse(load_members([str(models / name) for name in ("simple_rnn", "mlp", "svm")]))
    save_ensemble(ensemble, str(models / "ensemble"))
    _, fingerprint = load_ensemble(str(models / "ensemble"))
    scorer = ShardScorer(str(models / "ensemble"), fingerprint, str(models / "out"), ScoreOptions())
    files = [f.uri for f in storage.list_files(deployment.archive, (".wav",))][:6]
    calls = [{"call_id": uri, "uri": uri} for uri in files]
    together = scorer.score(calls, Stopwatch())
    alone = [row for call in calls for row in scorer.score([call], Stopwatch())]
    heard = 0
    for one, other in zip(together, alone, strict=True):
        assert one["status"] == other["status"]
        for a, b in zip(one["segments"], other["segments"], strict=True):
            assert a["emotion"] == b["emotion"]
            np.testing.assert_allclose(list(a["p"].values()), list(b["p"].values()), atol=1e-5)
            heard += 1
    assert heard > 10


def test_each_member_reads_its_own_features_vectors_or_frames(models: Path, corpus: str) -> None:
    ensemble, _ = fuse(load_members([str(models / name) for name in ("simple_rnn", "svm")]), "soft")
    wave, rate = read_audio(read_manifest(corpus)["uri"][0].as_py())
    values = {f.fingerprint: stacked([f(in_band(wave, rate, f.rate, f.band))]) for f in ensemble.features}
    members = [
        m.predict_proba(joined([values[f.fingerprint] for f in m.features]))
        for m in ensemble.members.values()
    ]
    np.testing.assert_array_equal(ensemble.predict_proba(values), ensemble.fusion(np.stack(members)))


def test_network_is_evaluated_by_the_protocols_of_every_family(models: Path, corpus: str) -> None:
    result = evaluate(
        candidates_of(str(models / "mlp")), read_manifest(corpus), str(models / "store"), "speaker", folds=2
    )
    assert result.verdict.startswith("speaker-independent")
    assert sum(result.reports["mlp"].n) == 60


def test_families_say_which_features_they_cannot_read() -> None:
    with pytest.raises(UsageError, match="svm reads vectors; logmel gives frames or images"):
        chosen_features("svm", ["logmel"])
    assert chosen_features("cnn1d", ["logmel"])[0].spec == "logmel"
