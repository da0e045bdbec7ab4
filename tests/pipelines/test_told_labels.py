"""A family that has to know what emotion each class is, is told by whoever trains it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ser_ray.errors import BadManifest
from ser_ray.models import family
from ser_ray.pipelines.train import learn

ROWS = 24
QUICK = {
    "frames": 8,
    "hidden": 4,
    "units": 3,
    "epochs": 1,
    "gan_epochs": 1,
    "gan": "valence",
    "generator_hidden": "8",
    "discriminator_hidden": "4",
}


def data(labels: tuple[str, ...]) -> Any:
    rng = np.random.default_rng(0)
    X = np.empty(ROWS, object)
    for row in range(ROWS):
        X[row] = rng.normal(size=(8, 3)).astype(np.float32)
    y, who = np.arange(ROWS) % len(labels), np.arange(ROWS) // 6
    return SimpleNamespace(X=X, y=y, labels=labels, speakers=who, voices=None, sources=np.arange(ROWS))


def test_training_tells_which_classes_are_negative() -> None:
    kind = family("gan_blstm")
    full = kind.settings(QUICK)
    trained: Any = learn(kind, full, data(("anger", "calm", "fear")), np.arange(ROWS), folds=1)
    assert trained.classifier.settings["labels"] == "anger-calm-fear"
    assert trained.classifier.findings_["gan_sequences"] > 8  # of two emotions of 8 utterances, some held out
    with pytest.raises(BadManifest, match="they are: calm, neutral"):
        learn(kind, full, data(("calm", "neutral")), np.arange(ROWS), folds=1)
    assert full["labels"] == ""
