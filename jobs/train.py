"""The job `train`: python jobs/train.py CONFIG.yaml, here or on a cluster's head."""

import sys

from ser_ray.pipelines.job import run_file
from ser_ray.pipelines.jobs import TrainJob

if __name__ == "__main__":
    sys.exit(run_file(TrainJob, sys.argv[1:]))
