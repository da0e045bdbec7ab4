"""Create the scoring RayJob of one night, as the CronJob in nightly.yaml does.

python nightly.py RAYJOB.yaml [DATE]    DATE is like 2026-11-22; yesterday by UTC without it

Every {night} in the file becomes the night: in the RayJob's name, so that a night is created once, and in the
date of its job. Where it is there already nothing happens, and the exit code is 0.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_S = 30.0


def main(arguments: list[str]) -> int:
    """Create it by this pod's service account."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return create(
        rayjob_of(Path(arguments[0]).read_text(), arguments[1] if len(arguments) > 1 else yesterday),
        f"https://{host}:{port}",
        (ACCOUNT / "token").read_text(),
        ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")),
    )


def rayjob_of(template: str, night: str) -> dict[str, Any]:
    """The RayJob of one night."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", night):
        raise SystemExit(f"error: a night is like 2026-11-22, not {night!r}")
    job: dict[str, Any] = yaml.safe_load(template.replace("{night}", night))
    if job["kind"] != "RayJob" or not job["metadata"]["name"].endswith(night):
        raise SystemExit("error: the file should hold one RayJob whose name ends in {night}")
    return job


def create(job: dict[str, Any], api: str, token: str, tls: ssl.SSLContext | None = None) -> int:
    """Hand it to the Kubernetes API, and return the exit code."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    request = urllib.request.Request(
        f"{api}/apis/ray.io/v1/namespaces/{namespace}/rayjobs",
        data=json.dumps(job).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=tls):
            print(f"created {name}")
            return 0
    except urllib.error.HTTPError as error:
        if error.code == 409:
            print(f"{name} is there already: nothing done")
            return 0
        print(f"error: {name}: {error.code} {error.read().decode()[:500]}", file=sys.stderr)
    except OSError as error:
        print(f"error: {name}: no answer from {api}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
