"""The files of `cluster/` as they are after their placeholders are filled in, and the objects in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
PLACES = {
    "ACCOUNT": "123456789012",
    "REGION": "eu-central-1",
    "REPOSITORY": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ser-ray",
    "ARCHIVE": "calls",
    "RESULTS": "results",
    "SUBNET": "subnet-0a1b2c3d",
    "SECURITY_GROUP": "sg-0a1b2c3d",
    "AMI": "ami-0a1b2c3d",
    "OIDC": "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE",
}
NIGHT = "2026-11-22"


@pytest.fixture(scope="session")
def cluster_folder() -> Path:
    return CLUSTER


@pytest.fixture(scope="session")
def places() -> dict[str, str]:
    return PLACES


@pytest.fixture(scope="session")
def filled() -> Callable[..., str]:
    """The text of a file with `${NAMES}`, and `{night}` where one is given, replaced."""

    def fill(name: str, night: str | None = NIGHT) -> str:
        text = (CLUSTER / name).read_text()
        text = re.sub(r"\$\{([A-Z_]+)\}", lambda found: PLACES[found[1]], text)
        return text.replace("{night}", night) if night else text

    return fill


def _objects(text: str) -> dict[str, dict[str, Any]]:
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in yaml.safe_load_all(text)}


@pytest.fixture(scope="session")
def ray_objects(cluster_folder: Path, filled: Callable[..., str]) -> dict[str, dict[str, Any]]:
    """RayJobs and the RayCluster, by file."""
    found = {}
    for file in sorted((cluster_folder / "kuberay").glob("*.yaml")):
        if file.stem != "base":
            (found[file.stem],) = _objects(filled(f"kuberay/{file.name}")).values()
    return found


@pytest.fixture(scope="session")
def base(filled: Callable[..., str]) -> dict[str, dict[str, Any]]:
    return _objects(filled("kuberay/base.yaml"))
