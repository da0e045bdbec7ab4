"""All systems side by side: the flagship of each, on one corpus, and fusion of them on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ser_ray.recipes.recipe import RULE, Claim, Recipe

NAME = "all"


def league_of(recipes: Mapping[str, Recipe]) -> Recipe:
    """The recipe that compares one variant of each of `recipes`."""
    variants = tuple(
        replace(each.variant(each.flagship), name=name, what=f"{each.title}: {each.flagship}")
        for name, each in recipes.items()
    )
    return Recipe(
        name=NAME,
        title="All systems on one corpus",
        source="the flagship of each recipe, and fusion of all and of the best few",
        variants=variants,
        flagship=variants[0].name,
        fused=tuple(variant.name for variant in variants),
        protocols=("loso",),
        preparations=tuple(each for known in recipes.values() for each in known.preparations),
        claims=tuple(
            Claim(says=f"Stacking of all beats {variant.name}", better=f"{RULE}stacking", worse=variant.name)
            for variant in variants
        ),
        differences=("The recipe of each system says what differs from its paper.",),
        needs="what its systems need",
        ranked=True,
    )
