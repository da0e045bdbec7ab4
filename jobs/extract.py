"""The job `extract`: python jobs/extract.py CONFIG.yaml, here or on a cluster's head."""

import sys

from ser_ray.pipelines.job import run_file
from ser_ray.pipelines.jobs import ExtractJob

if __name__ == "__main__":
    sys.exit(run_file(ExtractJob, sys.argv[1:]))
