"""System 7: a CNN for each of four features, and a multinomial regression on their logits."""

from __future__ import annotations

from ser_ray.recipes.recipe import PART, Claim, Recipe, Variant

OOF, TRAIN = "regression", "regression_train"
TOWERS = ("logmel", "mfcc", "chroma", "contrast")
SOFT = f"{OOF}{PART}soft vote"

RECIPE = Recipe(
    name="four_feature_cnn",
    title="Four CNNs on four features, and a regression on their logits",
    source="System 7: pictures of 512 x 400, softmax removed, multinomial logistic regression",
    variants=(
        Variant(name=OOF, what="regression on out-of-fold logits", family="four_feature_cnn"),
        Variant(
            name=TRAIN,
            what="regression on logits of the training utterances",
            family="four_feature_cnn",
            settings={"regression": "train"},
        ),
    ),
    flagship=OOF,
    claims=(
        *(
            Claim(says=f"The regression beats the CNN on {tower}", better=OOF, worse=f"{OOF}{PART}tower {k}")
            for k, tower in enumerate(TOWERS, 1)
        ),
        Claim(says="The regression beats a soft vote of the four", better=OOF, worse=SOFT),
        Claim(says="Out-of-fold logits beat those of the training utterances", better=OOF, worse=TRAIN),
    ),
    differences=(
        "Which four features the paper took is not known: log-mel, MFCC, chroma and spectral contrast here.",
        "The layers of the CNN are ours.",
    ),
)
