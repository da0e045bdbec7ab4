"""A network as a family: learns, stops by speakers of its own, is saved and loaded to the bit."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from ser_ray.errors import BadModel
from ser_ray.models import FAMILIES, family
from ser_ray.models.inputs import joined, stacked
from ser_ray.models.networks.classifier import NetworkClassifier
from ser_ray.models.networks.registry import KINDS

QUICK = {"epochs": 12, "batch": 8, "lr": 3e-3}


def speech(rows=48, columns=50, seed=0):
    """Sequences of 30 to 60 frames, 3 classes told apart by their mean, 4 speakers."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    arrays = [rng.normal(5 + 2 * k, 3, (int(rng.integers(30, 60)), columns)).astype(np.float32) for k in y]
    return stacked(arrays), y, np.array([f"s{k // 3 % 4}" for k in range(rows)])


@pytest.fixture(scope="module")
def trained():
    X, y, speakers = speech()
    kind = KINDS["cnn1d"]
    settings = {**family("cnn1d").defaults, **QUICK, "frames": 32, "start": 0}
    return NetworkClassifier(kind, settings, seed=0).fit(X, y, speakers)


def test_it_learns_what_the_data_tell(trained):
    X, y, _ = speech(seed=1)
    p = trained.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-9)
    assert (p.argmax(axis=1) == y).mean() > 0.9
    assert trained.classes_.tolist() == [0, 1, 2]


def test_a_batch_gives_what_single_utterances_give(trained):
    X, _, _ = speech(seed=2)
    together = trained.predict_proba(X)
    alone = np.concatenate([trained.predict_proba(X[k : k + 1]) for k in range(len(X))])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert trained.predict_proba(X[:0]).shape == (0, 3)


def test_saved_and_loaded_it_answers_to_the_bit(trained, tmp_path):
    trained.save(tmp_path)
    loaded = NetworkClassifier.load(KINDS["cnn1d"], tmp_path)
    X, _, _ = speech(seed=3)
    np.testing.assert_array_equal(loaded.predict_proba(X), trained.predict_proba(X))
    assert loaded.curve == trained.curve
    assert json.loads((tmp_path / "network.json").read_text())["network"] == "cnn1d"


def test_weights_of_another_network_are_refused(trained, tmp_path):
    trained.save(tmp_path)
    tensors = load_file(tmp_path / "network.safetensors")
    tensors.pop(next(name for name in tensors if name.startswith("network.")))
    save_file(tensors, tmp_path / "network.safetensors")
    with pytest.raises(BadModel, match="are not those of cnn1d"):
        NetworkClassifier.load(KINDS["cnn1d"], tmp_path)


def test_columns_are_standardised_by_the_training_rows_alone():
    X, y, speakers = speech()
    settings = {**family("fcn").defaults, **QUICK, "epochs": 1, "frames": 32, "start": 0, "held_out": 0.25}
    (mean,) = NetworkClassifier(KINDS["fcn"], settings, 0).fit(X, y, speakers).scaling.means
    without = [np.concatenate(list(X[speakers != held])).mean(axis=0) for held in ("s0", "s1", "s2", "s3")]
    assert sum(np.allclose(mean, other, atol=1e-4) for other in without) == 1
    assert not np.allclose(mean, np.concatenate(list(X)).mean(axis=0), atol=1e-4)


def test_features_are_joined_as_vectors_sequences_or_tuples():
    vectors = joined([np.ones((2, 3), np.float32), np.zeros((2, 1), np.float32)])
    assert vectors.tolist() == [[1, 1, 1, 0]] * 2
    a = stacked([np.ones((4, 2), np.float32), np.ones((4, 2), np.float32)])
    assert (a.shape, a.dtype) == ((2,), object)
    pairs = joined([a, a])
    assert isinstance(pairs[0], tuple)
    np.testing.assert_array_equal(pairs[1][1], a[1])
    images = joined([np.zeros((2, 5, 4), np.float32)])
    assert (images.shape, images[1].shape) == ((2,), (5, 4))


def test_networks_are_families_that_come_when_they_are_asked_for():
    assert {"svm", "fcn", "lstm", "bilstm", "cnn1d", "cnn2d_bilstm", "simple_rnn", "mlp"} <= set(FAMILIES)
    assert FAMILIES["cnn1d"].deep
    assert not FAMILIES["svm"].deep
    assert FAMILIES["cnn1d"].settings({"epochs": "3"})["epochs"] == 3


def test_the_threads_of_the_test_do_not_matter(trained):
    X, _, _ = speech(seed=4)
    one = trained.predict_proba(X)
    torch.set_num_threads(2)
    two = trained.predict_proba(X)
    torch.set_num_threads(1)
    np.testing.assert_allclose(two, one, atol=1e-5)
