"""System 2: four networks from the wave to the emotion; they differ only in the parts that are named."""

from __future__ import annotations

from ser_ray.recipes.recipe import Claim, Recipe, Variant

RECIPE = Recipe(
    name="end_to_end",
    title="Four end-to-end networks",
    source="System 2: CNN, CNN + BiLSTM, BiLSTM + attention, CNN + BiLSTM + attention on Korean speech",
    variants=(
        Variant(name="cnn", what="convolutions", family="e2e_cnn"),
        Variant(name="cnn_bilstm", what="convolutions and a BiLSTM", family="e2e_cnn_bilstm"),
        Variant(
            name="bilstm_attention", what="a BiLSTM and attention on frames", family="e2e_bilstm_attention"
        ),
        Variant(
            name="cnn_bilstm_attention",
            what="convolutions, a BiLSTM and attention",
            family="e2e_cnn_bilstm_attention",
        ),
    ),
    flagship="cnn_bilstm_attention",
    claims=(
        Claim(
            says="Attention over time helps a CNN + BiLSTM",
            better="cnn_bilstm_attention",
            worse="cnn_bilstm",
        ),
        Claim(says="A BiLSTM behind the CNN helps", better="cnn_bilstm", worse="cnn"),
        Claim(
            says="Convolutions before BiLSTM + attention help",
            better="cnn_bilstm_attention",
            worse="bilstm_attention",
        ),
    ),
    differences=(
        "The paper has Korean speech (AI-Hub emotional dialogue, KESDy18), for which another stands in.",
        "Sizes of layers and the 4 s of wave that they see are ours.",
    ),
)
