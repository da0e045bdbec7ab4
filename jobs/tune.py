"""The job `tune`: python jobs/tune.py CONFIG.yaml, here or on a cluster's head."""

import sys

from ser_ray.pipelines.job import run_file
from ser_ray.pipelines.jobs import TuneJob

if __name__ == "__main__":
    sys.exit(run_file(TuneJob, sys.argv[1:]))
