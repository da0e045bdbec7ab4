"""System 8: two VGG-19 on pictures of mel spectrogram and MFCC, weighted by attention."""

from __future__ import annotations

from ser_ray.recipes.recipe import Claim, Published, Recipe, Variant

RECIPE = Recipe(
    name="vgg_attention",
    title="Two VGG-19 weighted by attention",
    source="System 8: J. KIISE 47(7), 2020; blocks 1-3 of ImageNet frozen, 4-5 tuned",
    variants=(
        Variant(name="attention", what="similarity to a common latent", family="vgg_attention"),
        Variant(
            name="mean",
            what="mean of the two branches",
            family="vgg_attention",
            settings={"weighting": "mean"},
        ),
        Variant(
            name="regression",
            what="a linear layer on what both say",
            family="vgg_attention",
            settings={"weighting": "regression"},
        ),
    ),
    flagship="attention",
    claims=(
        Claim(says="Attention beats the mean of the branches", better="attention", worse="mean"),
        Claim(says="Attention beats a linear regression", better="attention", worse="regression"),
    ),
    published=(Published(row="attention", figure=77.65, on="the paper's own corpus and split, accuracy"),),
    differences=(
        "The paper's corpus is not known.",
        "Without ImageNet's weights (a file in the torch cache, or `weights`) nothing is frozen and the "
        "networks learn from scratch.",
    ),
    needs="ImageNet weights of VGG-19; from scratch: `--set weights=none --set vgg_rate=1 --set lr=0.0001`",
)
