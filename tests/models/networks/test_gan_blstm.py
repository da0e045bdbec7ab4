"""The recogniser and what a GAN adds to it: rows, labels, seeds, files, refusals."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest
import torch

from ser_ray import features
from ser_ray.corpora.labels import NEGATIVE
from ser_ray.errors import BadManifest, UsageError
from ser_ray.models import family
from ser_ray.models.inputs import stacked
from ser_ray.models.learner import Learner
from ser_ray.models.networks.classifier import NetworkClassifier, hold_out
from ser_ray.models.networks.gan_blstm import KIND, LIMIT, BlstmAttention, GanClassifier, real_sequences
from ser_ray.models.networks.gan_quality import COLLAPSED
from ser_ray.models.networks.network import Padded
from tests.models.networks.batches import frames_first

LABELS = ("anger", "happiness", "neutral", "sadness")
SMALL: dict[str, Any] = {
    "labels": "-".join(LABELS),
    "frames": 16,
    "hidden": 6,
    "units": 5,
    "epochs": 2,
    "batch": 8,
    "lr": 0.01,
    "held_out": 0.25,
    "latent": 3,
    "generator_hidden": "8-16",
    "discriminator_hidden": "8-4",
    "gan_epochs": 2,
    "gan_lr": 2e-3,
    "gan_batch": 8,
}
ROWS, COLUMNS = 32, 4
GANS = ["none", "extra_class", "valence"]


def settings(**changes: Any) -> dict[str, Any]:
    return family("gan_blstm").settings({**SMALL, **changes})


def corpus(seed: int = 0, rows: int = ROWS):
    """Frame sequences whose level grows with the class, their classes and speakers."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % len(LABELS)
    lengths = rng.integers(8, 24, rows)
    X = [rng.normal(k, 1.0, (n, COLUMNS)).astype(np.float32) for k, n in zip(y, lengths, strict=True)]
    return stacked(X), y, np.arange(rows) // 4 % 4


def fitted(seed: int = 0, rows: np.ndarray | None = None, **changes: Any) -> GanClassifier:
    X, y, speakers = corpus()
    rows = np.arange(ROWS) if rows is None else rows
    return GanClassifier(KIND, settings(**changes), seed).fit(X[rows], y[rows], speakers[rows])


def made_of(classifier: GanClassifier) -> tuple[list[Any], np.ndarray]:
    """What its generators add to scaled examples, and the classes of that."""
    X, y, _ = corpus()
    examples = [classifier.scaling((array,)) for array in X]
    enriched, wanted = classifier._enriched(examples, y)
    return enriched[ROWS:], wanted[ROWS:]


@pytest.fixture(scope="module", params=GANS)
def every(request):
    return fitted(gan=request.param)


def test_it_reads_the_descriptors_of_is09_as_the_paper_does():
    kind = family("gan_blstm")
    assert [features.get(spec).shape for spec in kind.features] == [(None, 32)]
    chosen = {k: kind.defaults[k] for k in ("gan", "generator", "frames", "latent", "gan_lr", "gan_beta1")}
    assert list(chosen.values()) == ["extra_class", "full", 512, 100, 2e-4, 0.5]
    assert set(kind.defaults["negative"].split("-")) == NEGATIVE
    assert set(kind.space) <= set(kind.defaults)
    network = KIND.build([(None, 32)], 4, kind.defaults)
    assert sum(p.numel() for p in network.head.logits.parameters()) == 257 * 5


def test_probabilities_are_those_of_the_real_classes(every):
    X, _, _ = corpus(seed=1)
    p = every.predict_proba(X)
    assert p.shape == (ROWS, len(LABELS))
    assert every.classes_.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-9)
    assert every.network.head.logits.out_features == 4 + (every.settings["gan"] == "extra_class")


def test_masking_the_extra_class_is_renormalising_the_others():
    torch.manual_seed(0)
    network = BlstmAttention(COLUMNS, 3, settings(dropout=0.0), extra=1)
    values, lengths = frames_first([5, 9], COLUMNS)
    whole = torch.softmax(network.train()((Padded(values, lengths),)), dim=1)
    masked = torch.softmax(network.eval()((Padded(values, lengths),)), dim=1)
    assert whole.shape == (2, 4)
    torch.testing.assert_close(masked, whole[:, :3] / whole[:, :3].sum(dim=1, keepdim=True))


def test_padding_changes_no_logit():
    torch.manual_seed(0)
    network = BlstmAttention(COLUMNS, 3, settings()).eval()
    lengths = [4, 1, 16, 23]
    values, count = frames_first(lengths, COLUMNS)
    together = network((Padded(values, count),))
    for row, length, own in zip(values, lengths, together, strict=True):
        alone = network((Padded(row[None, :length], torch.tensor([length])),))
        torch.testing.assert_close(own, alone[0], atol=1e-6, rtol=0)


def test_columns_are_cut_at_the_limit_and_frames_at_the_window():
    torch.manual_seed(0)
    network = BlstmAttention(COLUMNS, 3, settings()).eval()
    values = 3 * torch.randn(2, 20, COLUMNS)
    found = network((Padded(values, torch.tensor([20, 20])),))
    cut = torch.clamp(values[:, :16], -LIMIT, LIMIT)
    torch.testing.assert_close(network((Padded(cut, torch.tensor([16, 16])),)), found)
    sequences = real_sequences([(values[0].numpy(),), (values[1, :5].numpy(),)], 16)
    torch.testing.assert_close(sequences.values[0], cut[0] / LIMIT)
    torch.testing.assert_close(sequences.values[1, :5], cut[1, :5] / LIMIT)
    assert torch.count_nonzero(sequences.values[1, 5:]) == 0
    assert sequences.lengths.tolist() == [16, 5]


def test_one_row_alone_is_the_row_beside_others(every):
    X, _, _ = corpus(seed=1)
    alone = np.concatenate([every.predict_proba(X[row : row + 1]) for row in range(8)])
    np.testing.assert_allclose(alone, every.predict_proba(X)[:8], atol=1e-5)


def test_without_a_gan_it_is_the_recogniser_alone():
    X, y, speakers = corpus()
    found, alone = fitted(gan="none"), NetworkClassifier(KIND, settings(gan="none"), 0).fit(X, y, speakers)
    np.testing.assert_array_equal(found.predict_proba(X), alone.predict_proba(X))
    assert found.curve == alone.curve
    assert found.findings_ == {}
    assert np.abs(fitted(gan="valence").predict_proba(X) - found.predict_proba(X)).max() > 1e-4


@pytest.mark.parametrize(("generated", "count"), [(0.5, 4), (1.0, 8), (2.0, 16)])
def test_counter_examples_have_a_label_of_their_own_and_valence_those_of_the_emotions(generated, count):
    extra = fitted(gan="extra_class", generated=generated)
    made, wanted = made_of(extra)
    assert wanted.tolist() == [4] * 2 * count  # anger and sadness together
    assert all(values.shape[1] == COLUMNS and np.abs(values).max() <= LIMIT for (values,) in made)
    valence = fitted(gan="valence", generated=generated)
    assert made_of(valence)[1].tolist() == [0] * count + [3] * count


def test_each_emotion_has_a_generator_that_learned_from_it_alone():
    classifier = fitted(gan="valence", gan_epochs=120)
    made, wanted = made_of(classifier)
    level = {n: np.mean([made[row][0].mean() for row in np.flatnonzero(wanted == n)]) for n in (0, 3)}
    assert level[0] < -0.4
    assert level[3] > 0.4


@pytest.mark.parametrize("gan", GANS)
def test_the_seed_fixes_it(gan):
    X, _, _ = corpus(seed=1)
    first, again, other = (fitted(seed, gan=gan) for seed in (3, 3, 4))
    np.testing.assert_allclose(again.predict_proba(X), first.predict_proba(X), atol=1e-5)
    assert first.findings_ == again.findings_
    assert np.abs(other.predict_proba(X) - first.predict_proba(X)).max() > 1e-4


def test_generators_never_see_what_is_held_out():
    X, y, speakers = corpus()
    train, held = hold_out(y, speakers, SMALL["held_out"], 0)
    assert len(held) > 0
    assert not set(train) & set(held)
    other = X.copy()
    for row in held:
        other[row] = X[row] + 5.0
    one, two = (GanClassifier(KIND, settings(), 0).fit(given, y, speakers) for given in (X, other))
    assert one.findings_ == two.findings_
    assert one.findings_["gan_sequences"] == np.isin(y[train], [0, 3]).sum()
    for mean, same in zip(one.scaling.means, two.scaling.means, strict=True):
        np.testing.assert_array_equal(mean, same)
    assert [row["loss"] for row in one.curve] == [row["loss"] for row in two.curve]


def test_rows_of_the_test_change_nothing():
    X, y, speakers = corpus()
    other = X.copy()
    found = []
    for given in (X, other):
        for row in np.flatnonzero(speakers == 3):
            other[row] = X[row] - 7.0
        learner = Learner(family("gan_blstm"), settings(), given, y, speakers, 4)
        found.append(learner.learn(np.flatnonzero(speakers != 3)).predict_proba(X, None, 4))
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], fitted(rows=speakers != 3).predict_proba(X), atol=1e-9)


def test_it_grows_to_what_one_fit_gives_and_its_generators_learn_once():
    X, y, speakers = corpus()
    classifier, whole = GanClassifier(KIND, settings(epochs=4), 0), fitted(epochs=4)
    kept = [classifier._made for _ in classifier.grow(X, y, [1, 2, 4], speakers)]
    assert kept[0] is not None
    assert all(made is kept[0] for made in kept)
    assert classifier._made is None
    np.testing.assert_allclose(classifier.predict_proba(X), whole.predict_proba(X), atol=1e-6)
    resumed = GanClassifier(KIND, settings(epochs=4), 0)
    half = next(GanClassifier(KIND, settings(epochs=4), 0).grow(X, y, [2], speakers))
    assert [state.epoch for state in resumed.grow(X, y, [4], speakers, half)] == [4]
    np.testing.assert_allclose(resumed.predict_proba(X), whole.predict_proba(X), atol=1e-6)


def test_saved_and_loaded_it_answers_to_the_bit(every, tmp_path):
    family("gan_blstm").save(every, tmp_path)
    loaded = family("gan_blstm").load(tmp_path)
    X, _, _ = corpus(seed=1)
    np.testing.assert_array_equal(loaded.predict_proba(X), every.predict_proba(X))
    assert isinstance(loaded, GanClassifier)
    assert loaded.findings_ == every.findings_
    assert {p.name for p in tmp_path.iterdir()} == {"network.json", "network.safetensors", "gan.json"}
    assert json.loads((tmp_path / "gan.json").read_text()) == every.findings_


def test_collapse_and_the_literal_head_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        fitted()
        assert not caplog.records
        shared = fitted(generator="shared")
        assert "rank 2 at most" in caplog.text
        assert shared.findings_["gan_rank"] <= 2
        collapsed = fitted(generator_hidden="2", gan_lr=0.05, gan_epochs=30)
        assert collapsed.findings_["gan_diversity"] < COLLAPSED
    assert "of negative emotion makes much the same over and over" in caplog.text


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"gan": "wasserstein"}, UsageError, "gan='wasserstein'.*none, extra_class, valence"),
        ({"generated": 0.0}, UsageError, r"generated=0\.0 makes nothing.*gan to none"),
        ({"generator": "literal"}, UsageError, "generator='literal'"),
        ({"labels": ""}, UsageError, "labels='' does not tell.*gan to none"),
        ({"labels": "anger-neutral"}, UsageError, "labels='anger-neutral' does not tell"),
        ({"negative": "angr-sadness"}, UsageError, "negative='angr' does not exist"),
        (
            {"negative": "fear-disgust"},
            BadManifest,
            "none .* negative; .*happiness.*fear, disgust.*gan to none",
        ),
        ({"frames": 0}, UsageError, "frames=0"),
        ({"generator_hidden": "8,16"}, UsageError, "generator_hidden"),
    ],
)
def test_what_cannot_be_is_refused_with_its_mend(changes, error, message):
    with pytest.raises(error, match=message):
        fitted(**changes)


def test_without_negative_utterances_the_recogniser_can_still_be_trained():
    rows = np.flatnonzero(np.isin(corpus()[1], [1, 2]))
    with pytest.raises(BadManifest, match="they are: happiness, neutral"):
        fitted(rows=rows)
    assert fitted(rows=rows, gan="none").classes_.tolist() == [1, 2]
    assert fitted(rows=rows, negative="happiness").findings_["gan_sequences"] > 0


def test_a_single_negative_utterance_is_too_little():
    X, y, _ = corpus()
    rows = np.concatenate([np.flatnonzero(np.isin(y, [1, 2])), np.flatnonzero(y == 0)[:1]])
    with pytest.raises(BadManifest, match="a single utterance of negative emotion"):
        GanClassifier(KIND, settings(held_out=0.0), 0).fit(X[rows], y[rows])


def test_other_inputs_than_frames_of_columns_are_refused():
    X, y, _ = corpus()
    pairs = np.empty(ROWS, object)
    for row in range(ROWS):
        pairs[row] = (X[row], X[row])
    with pytest.raises(UsageError, match="one such feature"):
        GanClassifier(KIND, settings(), 0).fit(pairs, y)


def test_a_family_that_has_to_know_the_emotions_is_told_them():
    kind = family("gan_blstm")
    assert kind.knowing(kind.settings({}), ("anger", "neutral"))["labels"] == "anger-neutral"
    svm = family("svm")
    assert svm.knowing(svm.settings({}), ("anger", "neutral")) == dict(svm.defaults)
