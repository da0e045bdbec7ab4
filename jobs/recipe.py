"""The job `recipe`: python jobs/recipe.py CONFIG.yaml, here or on a cluster's head."""

import sys

from ser_ray.pipelines.job import run_file
from ser_ray.pipelines.recipes.job import RecipeJob

if __name__ == "__main__":
    sys.exit(run_file(RecipeJob, sys.argv[1:]))
