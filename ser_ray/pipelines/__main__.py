"""A job where `ser-ray submit` starts it: python -m ser_ray.pipelines VERB OPTIONS, the options as JSON."""

import json
import sys

from ser_ray.pipelines.job import run_job
from ser_ray.pipelines.jobs import JOBS

if __name__ == "__main__":
    verb, options = sys.argv[1:]
    sys.exit(run_job(lambda: JOBS[verb].of(**json.loads(options))))
