"""The image: one version of Ray everywhere, all pinned by hash, no root, no more context than needed."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = ROOT / "cluster" / "requirements.txt"
DOCKERFILE = (ROOT / "cluster" / "Dockerfile").read_text()
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")
PIN = re.compile(r"([a-z0-9-]+)==([^\s;]+)(?: ;.*)?")


def _name(requirement: str) -> str:
    return re.split(r"[\[=<>~! ]", requirement)[0].lower().replace("_", "-")


def pins_of(text: str) -> dict[str, str]:
    """Package to version of a compiled list; raises ValueError where a line is not pinned by hash."""
    pins: dict[str, str] = {}
    for entry in filter(str.strip, re.split(r"\n(?! )", text)):
        first, *hashes = entry.rstrip("\n").replace(" \\\n", "\n").split("\n")
        pin = PIN.fullmatch(first)
        if not pin or not hashes or not all(HASH.fullmatch(h) for h in hashes):
            raise ValueError(first)
        pins[pin[1]] = pin[2]
    return pins


def test_requirements_hold_every_constraint_of_the_project_and_only_hashed_pins() -> None:
    pins = pins_of(REQUIREMENTS.read_text())
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = {_name(r) for r in (*PROJECT["project"]["dependencies"], *extras["ssl"])}
    assert wanted <= pins.keys()
    left_out = {_name(r) for extra in extras for r in extras[extra] if extra != "ssl"}
    left_out |= {_name(r) for r in PROJECT["dependency-groups"]["dev"]}
    constraints = dict(c.split("==") for c in PROJECT["tool"]["uv"]["constraint-dependencies"])
    run_time = {name: version for name, version in constraints.items() if name not in left_out}
    assert {name: pins.get(name) for name in run_time} == run_time
    assert pins["boto3"] == pins["botocore"]  # s3fs's own pin decides, and the launcher's autoscaler follows


@pytest.mark.parametrize(
    "line",
    [
        "torch==2.12.1",
        "torch>=2.12.1 \\\n    --hash=sha256:" + "0" * 64,
        "torch @ https://host/torch.whl \\\n    --hash=sha256:" + "0" * 64,
        "--extra-index-url https://host/simple",
        "torch==2.12.1 \\\n    --hash=md5:" + "0" * 32,
    ],
)
def test_requirement_that_is_not_a_hashed_pin_is_found(line: str) -> None:
    with pytest.raises(ValueError, match=r"torch|index"):
        pins_of(f"a==1 \\\n    --hash=sha256:{'1' * 64}\n{line}\n")


def test_ray_has_one_version_in_all_files() -> None:
    version = pins_of(REQUIREMENTS.read_text())["ray"]
    assert f"ray[data,train,tune,default]=={version}" in PROJECT["project"]["dependencies"]
    assert re.findall(r"^FROM (.+)$", DOCKERFILE, re.M) == [
        f"rayproject/ray:{version}-py311-${{ACCELERATOR}}"
    ]
    assert f"ray.__version__ == '{version}'" in DOCKERFILE
    for file in (ROOT / "cluster" / "kuberay").glob("*.yaml"):
        assert set(re.findall(r"rayVersion: \"(.+)\"", file.read_text())) <= {version}, file


def test_image_installs_by_hash_and_does_not_run_as_root() -> None:
    steps = re.sub(r"\\\n", " ", DOCKERFILE)
    users = re.findall(r"^USER (\w+)$", steps, re.M)
    assert users[-1] == "ray"
    installs = re.findall(r"pip install ([^&\n]+)", steps)
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert {"--no-deps", "--no-build-isolation"} <= set(installs[1].split())
    assert "RAY_AUTH_MODE=token" in steps
    assert not re.search(r"(?i)(token|secret|password|access_key)=(?!token\b)\S", steps)
    assert "hatchling" in pins_of(REQUIREMENTS.read_text())


def test_context_holds_what_the_image_copies_and_nothing_else_of_the_repository() -> None:
    rules = [
        line
        for line in (ROOT / "cluster" / "Dockerfile.dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    kept = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M):
        copied |= set([part for part in line.split() if not part.startswith("--")][:-1])
    assert copied == kept
    assert all((ROOT / path).exists() for path in copied)
    assert any(fnmatch.fnmatch("ser_ray/__pycache__", rule) for rule in rules[1:])
