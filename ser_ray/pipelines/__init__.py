"""Pipelines on a Ray cluster."""

import os

# What Ray reads when it is imported, and so before any pipeline imports it.
# Under `uv run`, Ray would ship the working folder and build the environment anew for every worker.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else warnings of its core land between our lines
# Ray ends workers that are idle for a second, and each new one imports everything again.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
