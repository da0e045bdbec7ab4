"""Recipes on Ray: every variant of a published system, in all folds and seeds side by side, and one table."""

from ser_ray.pipelines.recipes.figures import Outcome
from ser_ray.pipelines.recipes.request import RecipeRequest
from ser_ray.pipelines.recipes.run import run_recipe

__all__ = ["Outcome", "RecipeRequest", "run_recipe"]
