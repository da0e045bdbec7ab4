"""System 11: nine networks on MFCC of RAVDESS, five emotions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ser_ray.recipes.recipe import Claim, Published, Recipe, Variant

COPIES = ("speed(factor=0.9)", "speed(factor=1.1)", *(f"pitch(semitones={n})" for n in (-2, -1, 1, 2)))
PUBLISHED = {
    "fcn": 72.22,
    "lstm": 70.14,
    "bilstm": 63.54,
    "cnn1d": 87.47,
    "cnn1d_lstm": 81.94,
    "cnn1d_bilstm": 86.46,
    "cnn2d": 88.54,
    "cnn2d_lstm": 84.03,
    "cnn2d_bilstm": 78.47,
}
ON = "RAVDESS, five emotions, 30 % of the utterances at random, accuracy"
_ALL = {"held_out": 0.0, "epochs": 10}
_IMAGES = {"epochs": 6, "precision": "bf16", "channels": "32-64-64-64", "block_dropout": 0.1}


def _settings(name: str) -> Mapping[str, Any]:
    own = _IMAGES if name.startswith("cnn2d") else {}
    return {**_ALL, **own, **({"pooling": "mean_std"} if name == "cnn2d" else {})}


RECIPE = Recipe(
    name="mfcc_nine",
    title="Nine networks on MFCC",
    source="System 11: JICCE 19(3), 2021; 44.1 kHz, 50 MFCC, window 2048, hop 512",
    variants=tuple(
        Variant(
            name=name,
            what="with copies at two speaking rates and four pitches",
            family=name,
            settings=_settings(name),
            copies=COPIES,
        )
        for name in PUBLISHED
    ),
    flagship="cnn1d",
    protocols=("speaker", "twin_safe", "random70"),
    emotions={"ravdess": ("anger", "calm", "fear", "happiness", "sadness")},
    claims=(
        Claim(says="The best, a 2D CNN, beats a fully connected network", better="cnn2d", worse="fcn"),
        Claim(says="A 2D CNN beats a 1D CNN", better="cnn2d", worse="cnn1d"),
        Claim(says="A 1D CNN beats an LSTM", better="cnn1d", worse="lstm"),
        Claim(says="An LSTM behind the 1D CNN costs", better="cnn1d", worse="cnn1d_lstm"),
        Claim(says="A BiLSTM is worse than an LSTM", better="lstm", worse="bilstm"),
    ),
    published=tuple(Published(row=name, figure=figure, on=ON) for name, figure in PUBLISHED.items()),
    differences=(
        "The published split is not known; 288 test items at random are inferred from the figures. In such a "
        "split most test items have their twin, the same sentence by the same actor, in training.",
        "Layers and training are ours, and so are the augmented copies.",
    ),
)
