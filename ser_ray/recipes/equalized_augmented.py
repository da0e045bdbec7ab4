"""System 10: histogram equalisation of a test speaker's features, and several speaking rates in training."""

from __future__ import annotations

from itertools import product

from ser_ray.recipes.recipe import NO_NORMALISATION, Claim, Recipe, Variant

RATES = tuple(f"speed(factor={rate})" for rate in (0.8, 0.9, 1.1, 1.2))
NORMALISATIONS = {
    "none": NO_NORMALISATION,
    "cmvn": "cmvn(scope=speaker)",
    "equalised": "equalise(scope=speaker)",
}


def _variant(name: str, augmented: bool) -> Variant:
    return Variant(
        name=f"{name}+rates" if augmented else name,
        what=f"features {name}, {'five speaking rates' if augmented else 'recorded rate'}",
        family="bilstm",
        features=("is09_lld",),
        settings={"start": 0, "frames": 0, "pooling": "attention"},
        normalise=NORMALISATIONS[name],
        copies=RATES if augmented else (),
    )


RECIPE = Recipe(
    name="equalized_augmented",
    title="Histogram equalisation and speaking-rate augmentation",
    source="System 10: relative gains of 24-35 % on three corpora, from memory of the abstract",
    variants=tuple(_variant(name, augmented) for augmented, name in product((False, True), NORMALISATIONS)),
    flagship="none+rates",
    claims=(
        Claim(says="Equalisation helps", better="equalised", worse="none"),
        Claim(says="Speaking rates help", better="none+rates", worse="none"),
        Claim(says="Both help together", better="equalised+rates", worse="none"),
        Claim(says="Equalisation beats mean and variance", better="equalised", worse="cmvn"),
    ),
    differences=(
        "A BiLSTM with attention on 32 IS09 descriptors recognises; the paper's recogniser is not known.",
        "Rows `cmvn` and `equalised` use the test speaker's own unlabelled speech (transductive).",
    ),
)
