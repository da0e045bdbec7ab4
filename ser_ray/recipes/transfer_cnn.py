"""System 1: a CNN that learned general sounds, and what of it serves emotions."""

from __future__ import annotations

from ser_ray.recipes.recipe import Claim, Preparation, Recipe, Variant

SOURCE = "{source}"

RECIPE = Recipe(
    name="transfer_cnn",
    title="Transfer of a CNN from general sounds",
    source="System 1: sounds of DCASE2018; IEMOCAP 5,531, EMO-DB 466 (without fear), SAVEE 480",
    variants=(
        Variant(name="scratch", what="learns emotions alone", family="transfer_cnn"),
        Variant(
            name="frozen",
            what="all but the classification layer as the sounds left it",
            family="transfer_cnn",
            settings={"transfer": "frozen", "source": SOURCE},
        ),
        Variant(
            name="fine_tune",
            what="begins with what the sounds left, and tunes all of it",
            family="transfer_cnn",
            settings={"transfer": "fine_tune", "source": SOURCE},
        ),
    ),
    flagship="fine_tune",
    emotions={
        "emodb": ("anger", "boredom", "disgust", "happiness", "neutral", "sadness"),
        "iemocap": ("anger", "happiness", "neutral", "sadness"),
    },
    preparations=(
        Preparation(
            name="source",
            what="the CNN trained on classes of general sounds",
            makes="model",
            source="sounds",
            family="transfer_cnn",
        ),
    ),
    claims=(
        Claim(says="Fine-tuning beats training from scratch", better="fine_tune", worse="scratch"),
        Claim(says="Frozen layers beat training from scratch", better="frozen", worse="scratch"),
        Claim(says="Fine-tuning beats frozen layers", better="fine_tune", worse="frozen"),
    ),
    differences=(
        "The paper's sounds are those of DCASE2018, task 2 (FSDKaggle2018); without `--sounds` made-up ones "
        "of ten kinds stand in.",
        "The layers and rates are ours.",
    ),
    needs="sound events to learn from first (`--sounds`, such as FSDKaggle2018 or ESC-50; made up without)",
)
