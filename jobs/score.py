"""The job `score`: python jobs/score.py CONFIG.yaml, here or on a cluster's head."""

import sys

from ser_ray.pipelines.job import run_file
from ser_ray.pipelines.jobs import ScoreJob

if __name__ == "__main__":
    sys.exit(run_file(ScoreJob, sys.argv[1:]))
