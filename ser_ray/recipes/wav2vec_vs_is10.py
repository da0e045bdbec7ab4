"""System 6: the mean of wav2vec's context against IS10, and both together."""

from __future__ import annotations

from itertools import product

from ser_ray.recipes.recipe import Claim, Preparation, Recipe, Variant

FEATURES = {
    "wav2vec": ("wav2vec(checkpoint={wav2vec})",),
    "is10": ("is10",),
    "both": ("wav2vec(checkpoint={wav2vec})", "is10"),
    "encoder": ("ssl(checkpoint={encoder})",),
}
CLASSIFIERS = {"svm": "an SVM", "mlp": "a multilayer perceptron"}

RECIPE = Recipe(
    name="wav2vec_vs_is10",
    title="wav2vec against IS10",
    source="System 6: wav2vec of Librispeech-960h, context averaged to 512, against 1,582 of IS10",
    variants=tuple(
        Variant(
            name=f"{read}_{classifier}",
            what=f"{read} and {what}",
            family=classifier,
            features=FEATURES[read],
        )
        for read, (classifier, what) in product(FEATURES, CLASSIFIERS.items())
    ),
    flagship="is10_svm",
    preparations=(
        Preparation(
            name="wav2vec",
            what="wav2vec pre-trained by its contrastive loss",
            makes="checkpoint",
            source="speech",
        ),
        Preparation(
            name="encoder",
            what="a speech encoder of transformers",
            makes="given",
            source="encoder",
        ),
    ),
    claims=tuple(
        Claim(says=f"{says}, with {what}", better=f"{better}_{name}", worse=f"{worse}_{name}")
        for says, better, worse in (
            ("wav2vec beats IS10", "wav2vec", "is10"),
            ("Both beat wav2vec", "both", "wav2vec"),
            ("Both beat IS10", "both", "is10"),
            ("A pre-trained encoder beats IS10", "encoder", "is10"),
        )
        for name, what in CLASSIFIERS.items()
    ),
    differences=(
        "The paper's encoder learned from 960 h of Librispeech; without `--checkpoint` of that one a small "
        "one is pre-trained on the speech at hand, which is minutes or hours.",
    ),
    needs="speech to pre-train on (`--speech`; the corpus itself without) or a "
    "checkpoint (`--checkpoint`); `--encoder` of transformers for the rows `encoder`",
)
