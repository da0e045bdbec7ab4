"""System 3: sequences of features of negative emotion that a GAN makes join training."""

from __future__ import annotations

from ser_ray.recipes.recipe import Claim, Recipe, Variant

RECIPE = Recipe(
    name="gan_negative",
    title="Features of negative emotion made by a GAN",
    source="System 3: Journal of KIIT 17(11), 2019; IEMOCAP, 1.86 points above BLSTM + attention alone",
    variants=(
        Variant(
            name="without", what="BLSTM and attention alone", family="gan_blstm", settings={"gan": "none"}
        ),
        Variant(
            name="extra_class",
            what="what is made is a class of its own, which is never answered",
            family="gan_blstm",
            settings={"gan": "extra_class"},
        ),
        Variant(
            name="valence",
            what="a generator for each negative emotion, whose label its sequences have",
            family="gan_blstm",
            settings={"gan": "valence"},
        ),
        Variant(
            name="shared_head",
            what="the literal head, FC(32) for all frames: sequences of rank 2 at most",
            family="gan_blstm",
            settings={"gan": "extra_class", "generator": "shared"},
        ),
    ),
    flagship="extra_class",
    emotions={"iemocap": ("anger", "happiness", "neutral", "sadness")},
    claims=(
        Claim(
            says="Data of a GAN help, as counter-examples of a further class",
            better="extra_class",
            worse="without",
        ),
        Claim(says="Data of a GAN help, each under its emotion", better="valence", worse="without"),
        Claim(says="A head for each frame beats the literal one", better="extra_class", worse="shared_head"),
    ),
    differences=(
        "The paper's corpus is IEMOCAP.",
        "Which features the paper's 32 are is not known: 16 IS09 descriptors and their deltas here.",
        "What `labelled negative` means is read in two ways.",
    ),
)
