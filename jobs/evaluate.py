"""The job `evaluate`: python jobs/evaluate.py CONFIG.yaml, here or on a cluster's head."""

import sys

from ser_ray.pipelines.job import run_file
from ser_ray.pipelines.jobs import EvaluateJob

if __name__ == "__main__":
    sys.exit(run_file(EvaluateJob, sys.argv[1:]))
