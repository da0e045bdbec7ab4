from __future__ import annotations

import json
import shutil
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from torch import nn

from ser_ray import features
from ser_ray.errors import BadManifest, BadModel, UsageError
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.four_feature_cnn import FAMILY, FourFeatureClassifier
from ser_ray.models.networks.image_cnn import IMAGE_CNN
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.parts import MaskedBatchNorm

ROWS, COLUMNS, SPEAKERS = 48, 3, 6
SMALL = {"channels": "3-4", "hidden": "6", "epochs": 3, "batch": 8, "lr": 0.01, "folds": 3, "held_out": 0.2}


def settings(**changes: Any) -> dict[str, Any]:
    return FAMILY.settings({**SMALL, **changes})


def corpus(towers: int = 2, classes: int = 3, seed: int = 0, signal: float = 0.7):
    """Noisy pictures that grow brighter with the class, their classes and speakers."""
    rng = np.random.default_rng(seed)
    y, speakers = np.arange(ROWS) % classes, np.arange(ROWS) // (ROWS // SPEAKERS)
    X = np.empty(ROWS, object)
    for row in range(ROWS):
        pictures = rng.normal(0, 1.0, (towers, 8, 6)) + signal * y[row]
        X[row] = tuple(picture.astype(np.float32) for picture in pictures)
    return X, y, speakers


def column(X: np.ndarray, number: int) -> np.ndarray:
    """The pictures of one tower."""
    found = np.empty(len(X), object)
    for row, pictures in enumerate(X):
        found[row] = pictures[number]
    return found


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Logits but for a shift of each row."""
    return np.log(probabilities) - np.log(probabilities).mean(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def fitted() -> FourFeatureClassifier:
    return FourFeatureClassifier(settings(), seed=3).fit(*corpus())


def test_the_four_features_are_those_of_the_paper():
    chosen = [features.get(spec) for spec in FAMILY.features]
    assert [feature.of for feature in chosen] == ["logmel", "mfcc", "chroma", "contrast"]
    assert {feature.shape for feature in chosen} == {(512, 400)}
    assert json.loads(json.dumps(FAMILY.defaults)) == FAMILY.defaults
    assert set(FAMILY.space) <= set(FAMILY.defaults)
    assert (FAMILY.defaults["regression"], FAMILY.defaults["standardise"]) == ("oof", False)


def test_a_tower_is_as_large_as_its_layers():
    shapes: tuple[tuple[int | None, ...], ...]
    channels = (1, 16, 32, 64, 128, 128)
    convolutions = sum(9 * a * b + 2 * b for a, b in pairwise(channels))
    for shapes in ([(512, 400)], [(None, 400)], [(None, 512, 400)]):
        network = IMAGE_CNN.build(shapes, 7, IMAGE_CNN.defaults)
        assert sum(p.numel() for p in network.parameters()) == convolutions + 129 * 128 + 129 * 7


def test_a_tower_gives_what_plain_layers_give():
    torch.manual_seed(0)
    network = IMAGE_CNN.build([(None, 30)], 3, {**IMAGE_CNN.defaults, "channels": "4-5"}).eval()
    first, second = network.blocks.blocks
    pictures = torch.randn(2, 32, 28)  # sides that two halvings leave whole
    values = pictures.unsqueeze(1)
    for block in (first, second):
        mean, variance = torch.randn(block.normalisation.weight.shape), torch.rand(4 + (block is second))
        block.normalisation.running_mean.copy_(mean)
        block.normalisation.running_var.copy_(variance)
        kernel = block.convolution.weight.transpose(2, 3)  # rows are its frames
        values = nn.functional.conv2d(values, kernel, padding=1)
        values = nn.functional.batch_norm(values, mean, variance).relu()
        values = nn.functional.max_pool2d(values, 2)
    hidden = torch.relu(network.head.hidden[0](values.mean(dim=(2, 3))))
    expected = network.head.logits(hidden)
    found = network((Padded(pictures, torch.tensor([32, 32])),))
    assert torch.allclose(found, expected, atol=1e-5)
    one_frame = network((Padded(pictures[:, None], torch.tensor([1, 1])),))
    assert torch.equal(one_frame, found)


def test_padding_changes_no_logit():
    torch.manual_seed(0)
    network = IMAGE_CNN.build([(None, 20)], 3, {**IMAGE_CNN.defaults, "channels": "4-5-6"})
    for module in network.modules():
        if isinstance(module, MaskedBatchNorm):
            module.momentum = 1.0
    lengths = [40, 33, 16, 5, 1]
    values = torch.randn(len(lengths), 47, 20)
    with torch.no_grad():
        network((Padded(values[:3, :16], torch.tensor([16, 16, 16])),))
        for row, length in zip(values, lengths, strict=True):
            row[length:] = 1000.0
        logits = network.eval()((Padded(values, torch.tensor(lengths)),))
        for row, length, together in zip(values, lengths, logits, strict=True):
            alone = network((Padded(row[None, :length], torch.tensor([length])),))
            assert torch.allclose(together, alone[0], atol=1e-5)
    assert logits.std(0).min() > 1e-3


@pytest.mark.parametrize("shapes", [[(50,)], [(None, 224, 224, 3)], [(None, 40), (None, 40)]])
def test_inputs_that_are_no_picture_are_refused(shapes):
    with pytest.raises(UsageError, match="reads 1 x image, not inputs of"):
        IMAGE_CNN.build(shapes, 3, IMAGE_CNN.defaults)


def test_the_regression_learns_from_held_out_logits_alone():
    X, y, speakers = corpus()
    heard, given = [], []

    def recording(function, jobs):
        for job in jobs:
            result = function(job)
            if isinstance(result, np.ndarray):
                heard.append(job)
                given.append(result)
            yield result

    classifier = FourFeatureClassifier(settings(), seed=3).fit(X, y, speakers, mapper=recording)
    stacked = np.full((ROWS, 2 * COLUMNS), np.nan)
    for (number, fold), logits in zip(heard, given, strict=True):
        assert not set(fold.train) & set(fold.test)
        assert not set(speakers[fold.train]) & set(speakers[fold.test])
        alone = NetworkClassifier(IMAGE_CNN, settings(), 3 + number)
        alone.fit(column(X, number)[fold.train], y[fold.train], speakers[fold.train])
        expected = alone.predict_proba(column(X, number)[fold.test])
        np.testing.assert_allclose(log_softmax(logits, axis=1), np.log(expected), atol=1e-6)
        stacked[fold.test, number * COLUMNS : (number + 1) * COLUMNS] = logits
    assert np.isfinite(stacked).all()
    regression = LogisticRegression(C=1.0, max_iter=2000).fit(stacked, y)
    np.testing.assert_array_equal(classifier.coefficients, regression.coef_)
    np.testing.assert_array_equal(classifier.intercepts, regression.intercept_)


def test_training_logits_promise_more_than_held_out_ones():
    X, y, _ = corpus(towers=1, signal=0.0)  # nothing can be learned but by heart
    long = {"epochs": 40, "patience": 40, "held_out": 0.0, "channels": "16-32", "hidden": "32", "batch": 24}
    oof = FourFeatureClassifier(settings(**long), seed=0).fit(X, y)
    train = FourFeatureClassifier(settings(**long, regression="train"), seed=0).fit(X, y)
    for a, b in zip(oof.towers, train.towers, strict=True):
        for name, weights in a.network.state_dict().items():
            assert torch.equal(weights, b.network.state_dict()[name]), name
    assert (train.predict_proba(X).argmax(1) == y).mean() > 0.9
    fresh, wanted, _ = corpus(towers=1, signal=0.0, seed=1)
    boast = train.predict_proba(fresh).max(1).mean() - (train.predict_proba(fresh).argmax(1) == wanted).mean()
    doubt = oof.predict_proba(fresh).max(1).mean() - (oof.predict_proba(fresh).argmax(1) == wanted).mean()
    assert boast > doubt + 0.2
    assert np.abs(oof.coefficients).max() < np.abs(train.coefficients).max()


def test_towers_alone_their_vote_and_the_regression_are_told_apart(fitted):
    X, _, _ = corpus(seed=5)
    alone = fitted.tower_probabilities(X)
    logits = []
    for number, tower in enumerate(fitted.towers):
        own = tower.predict_proba(column(X, number))
        np.testing.assert_allclose(alone[number], own, atol=1e-6)
        logits.append(log_odds(own))
    np.testing.assert_allclose(fitted.soft_vote(X), alone.mean(0), atol=1e-12)
    # The regression minds the shift of the logits that a softmax takes away; take it from the towers.
    shifts = [
        tower.network((Padded(torch.from_numpy(np.stack([*column(X, k)])), torch.full((ROWS,), 8)),))
        for k, tower in enumerate(fitted.towers)
    ]
    stacked = np.hstack([logits[k] + shifts[k].detach().mean(1, keepdim=True).numpy() for k in range(2)])
    expected = softmax(stacked @ fitted.coefficients.T + fitted.intercepts, axis=1)
    np.testing.assert_allclose(fitted.predict_proba(X), expected, atol=1e-5)
    assert np.abs(fitted.predict_proba(X) - fitted.soft_vote(X)).max() > 0.05


def test_one_row_alone_is_the_row_beside_others(fitted):
    X, _, _ = corpus(seed=5)
    together = fitted.predict_proba(X)
    alone = np.concatenate([fitted.predict_proba(X[row : row + 1]) for row in range(5)])
    np.testing.assert_allclose(together[:5], alone, atol=1e-6)
    assert fitted.predict_proba(X[:0]).shape == (0, COLUMNS)


def test_two_classes_are_scored_as_scikit_learn_scores_them():
    X, y, _ = corpus(towers=1, classes=2)
    classifier = FourFeatureClassifier(settings(regression="train"), seed=0).fit(X, y + 4)
    assert classifier.classes_.tolist() == [4, 5]
    assert classifier.coefficients.shape == (2, 2)
    logits = classifier._stacked([column(X, 0)])
    regression = LogisticRegression(max_iter=2000).fit(logits, y)
    np.testing.assert_allclose(classifier.predict_proba(X), regression.predict_proba(logits), atol=1e-9)


def test_a_class_that_a_tower_never_heard_has_its_lowest_logit():
    X, y, _ = corpus(towers=1)
    speakers = np.where(y == 0, 0, 1 + np.arange(ROWS) // 3 % 2)  # class 0 has one speaker
    unheard = []

    def recording(function, jobs):
        for job in jobs:
            result = function(job)
            if isinstance(result, np.ndarray) and 0 not in y[job[1].train]:
                unheard.append(result)
            yield result

    classifier = FourFeatureClassifier(settings(), seed=0).fit(X, y, speakers, mapper=recording)
    [logits] = unheard
    np.testing.assert_array_equal(logits[:, 0], logits[:, 1:].min(axis=1))
    assert np.abs(logits[:, 1] - logits[:, 2]).min() > 0
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_the_same_seed_gives_the_same_classifier(fitted):
    X, y, speakers = corpus()
    again = FourFeatureClassifier(settings(), seed=3).fit(X, y, speakers)
    other = FourFeatureClassifier(settings(), seed=4).fit(X, y, speakers)
    np.testing.assert_array_equal(fitted.predict_proba(X), again.predict_proba(X))
    assert np.abs(fitted.predict_proba(X) - other.predict_proba(X)).max() > 1e-3


def test_a_saved_classifier_is_the_same_to_the_bit(fitted, tmp_path):
    X, _, _ = corpus(seed=5)
    FAMILY.save(fitted, tmp_path)
    loaded = FAMILY.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(loaded.tower_probabilities(X), fitted.tower_probabilities(X))
    assert loaded.curve == fitted.curve
    assert {row["tower"] for row in loaded.curve} == {0, 1}
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".json", ".safetensors"}


def test_parts_that_do_not_fit_together_are_refused(fitted, tmp_path):
    FAMILY.save(fitted, tmp_path)
    weights = load_file(tmp_path / "regression.safetensors")
    save_file(
        {**weights, "coefficients": weights["coefficients"][:, :-1].copy()},
        tmp_path / "regression.safetensors",
    )
    with pytest.raises(BadModel, match="do not fit together"):
        FAMILY.load(tmp_path)
    save_file(weights, tmp_path / "regression.safetensors")
    assert FAMILY.load(tmp_path).coefficients.shape == (3, 6)
    X, y, _ = corpus()
    (tmp_path / "other").mkdir()
    NetworkClassifier(IMAGE_CNN, settings(channels="3-5"), 0).fit(column(X, 0), y).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "network.safetensors", tmp_path / "tower-0")
    with pytest.raises(BadModel, match="not those of image_cnn"):
        FAMILY.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regression": "none"}, "Set it to one of: oof, train"),
        ({"folds": 1}, "Set folds to 2 or more"),
        ({"C": 0.0}, "C above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        FAMILY.build(settings(**changes), 0)


def test_data_that_teach_nothing_are_refused(fitted):
    X, y, _ = corpus()
    with pytest.raises(BadManifest, match="one emotion"):
        FourFeatureClassifier(settings(), seed=0).fit(X, y * 0)
    three = np.empty(1, object)
    three[0] = (*X[0], X[0][0])
    with pytest.raises(UsageError, match="3 pictures for 2 towers"):
        fitted.predict_proba(three)


def test_defaults_are_those_of_the_loop_and_the_tower():
    assert set(all_settings(IMAGE_CNN)) < set(FAMILY.defaults)
