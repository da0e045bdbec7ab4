"""System 5: a plain recurrent network on MFCC, with LSTM and GRU as ablations."""

from __future__ import annotations

from ser_ray.recipes.recipe import Claim, Recipe, Variant

RECIPE = Recipe(
    name="simple_rnn",
    title="A plain RNN on MFCC",
    source="System 5: six emotions (anger, joy, excitement, neutral, sadness, fear), MFCC, 16 kHz, plain RNN",
    variants=(
        Variant(name="rnn", what="tanh units", family="simple_rnn"),
        Variant(name="lstm", what="LSTM in its place", family="simple_rnn", settings={"cell": "lstm"}),
        Variant(name="gru", what="GRU in its place", family="simple_rnn", settings={"cell": "gru"}),
    ),
    flagship="rnn",
    emotions={"iemocap": ("anger", "happiness", "excitement", "neutral", "sadness", "fear")},
    claims=(
        Claim(says="An LSTM recognises more than the plain RNN", better="lstm", worse="rnn"),
        Claim(says="A GRU recognises more than the plain RNN", better="gru", worse="rnn"),
    ),
    differences=(
        "The paper's corpus is not known; a corpus without excitement lacks one of its six emotions.",
        "The number of coefficients, of units and of frames is ours.",
    ),
)
