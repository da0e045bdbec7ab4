"""A model fitted to noise, of predictions whose figures are computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ser_ray import features
from ser_ray.models import Model, OutOfFold, family, save_model
from ser_ray.models.calibration import Calibration
from ser_ray.models.normalisation import get as normalisation
from ser_ray.reports.model_page import write_model_page

LABELS = ("anger", "neutral", "sadness")
# The confidence is 0.95, 0.75 or 0.55. Right: anger 2 of 3, neutral 4 of 4, sadness 1 of 2.
TRUTH = [0, 0, 0, 1, 1, 1, 1, 2, 2]
TAKEN = [(0, 0.95), (0, 0.75), (1, 0.55), (1, 0.95), (1, 0.95), (1, 0.75), (1, 0.55), (2, 0.95), (0, 0.95)]
CARD: dict[str, Any] = {
    "trained_on": {
        "corpora": ["emodb", "own"], "utterances": 9, "copies": 1234, "speakers": 3,
        "by_emotion": {"anger": 3, "neutral": 4, "sadness": 2}, "left_out": {"truncated": 2, "missing": 5},
    },
    "metrics": {"protocol": "out of fold, speakers apart", "wa": 0.0, "ua": 0.0, "f1": 0.0, "ece": 0.0},
    "seed": 7, "wall_s": 83.0, "versions": {"ser_ray": "0.1.0", "numpy": "2.4.6"},
}  # fmt: skip


def out_of_fold(seed: int = 0) -> OutOfFold:
    """The predictions above; with a seed, some others for the same utterances."""
    p = np.array([[c if k == taken else (1 - c) / 2 for k in range(3)] for taken, c in TAKEN])
    if seed:
        p = np.random.default_rng(seed).dirichlet(np.ones(3), len(TRUTH))
    speakers: list[str | None] = [f"speaker{row % 3}" for row in range(len(TRUTH))]
    return OutOfFold([f"utterance{row}" for row in range(len(TRUTH))], speakers, np.array(TRUTH), p)


def model(
    kind: str = "svm", card: dict[str, Any] = CARD, labels: tuple[str, ...] = LABELS, **settings: Any
) -> Model:
    """A model fitted to noise, with the predictions above."""
    feature = features.get("mfcc_stats")
    X = np.random.default_rng(0).normal(size=(30, len(feature.names))).astype(np.float32)
    full = family(kind).settings(settings)
    return Model(
        family=kind,
        settings=full,
        features=(feature,),
        labels=labels,
        classifier=family(kind).build(full, 0).fit(X, np.arange(30) % 3),
        calibration=Calibration(1.25),
        out_of_fold=out_of_fold(),
        card=card,
        normaliser=normalisation("cmvn").fit(X),  # type: ignore[union-attr]
    )


def page_of(made: Model, folder: Path) -> str:
    """The page of a model that was saved and read back."""
    save_model(made, str(folder / "model"))
    write_model_page(str(folder / "model"), str(folder / "page.html"))
    return (folder / "page.html").read_text()
