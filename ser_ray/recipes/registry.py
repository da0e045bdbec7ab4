"""The recipes that `ser-ray recipe` knows. A new one is one new file and one entry here."""

from __future__ import annotations

from ser_ray.errors import UnknownName
from ser_ray.recipes import (
    end_to_end,
    equalized_augmented,
    four_feature_cnn,
    gan_negative,
    mfcc_nine,
    ml_fusion,
    selection_fusion,
    simple_rnn,
    transfer_cnn,
    vgg_attention,
    wav2vec_vs_is10,
)
from ser_ray.recipes.league import league_of
from ser_ray.recipes.recipe import Recipe

_SYSTEMS: dict[str, Recipe] = {
    module.RECIPE.name: module.RECIPE
    for module in (
        transfer_cnn,
        end_to_end,
        gan_negative,
        ml_fusion,
        simple_rnn,
        wav2vec_vs_is10,
        four_feature_cnn,
        vgg_attention,
        selection_fusion,
        equalized_augmented,
        mfcc_nine,
    )
}

_LEAGUE = league_of(_SYSTEMS)
RECIPES: dict[str, Recipe] = {**_SYSTEMS, _LEAGUE.name: _LEAGUE}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownName: there is none; the message has the nearest names.
    """
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    return RECIPES[name]
