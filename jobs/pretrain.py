"""The job `pretrain`: python jobs/pretrain.py CONFIG.yaml, here or on a cluster's head."""

import sys

from ser_ray.pipelines.job import run_file
from ser_ray.pipelines.pretrain_job import PretrainJob

if __name__ == "__main__":
    sys.exit(run_file(PretrainJob, sys.argv[1:]))
