"""The eleven systems, one file each: plain data, which `pipelines.recipes` runs."""

from ser_ray.recipes.recipe import Claim, Preparation, Published, Recipe, Variant
from ser_ray.recipes.registry import RECIPES, recipe

__all__ = ["RECIPES", "Claim", "Preparation", "Published", "Recipe", "Variant", "recipe"]
