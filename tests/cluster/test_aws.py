"""The launcher's file: what Ray and EC2 take, and what we ask of it; the policies; the nightly script."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from ser_ray.pipelines.jobs import ScoreJob
from ser_ray.pipelines.submissions import name_of

FLAGS = {flag for option in start.params for flag in option.opts}
Fill = Callable[..., str]


@pytest.fixture(scope="module")
def launcher(filled: Fill) -> dict[str, Any]:
    return dict(yaml.safe_load(filled("aws.yaml")))


@pytest.fixture(scope="module")
def ec2() -> Any:
    client = botocore.session.get_session().create_client(
        "ec2", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    return client.meta.service_model.operation_model("RunInstances").input_shape


def problems(config: dict[str, Any], ec2: Any) -> list[str]:
    """What is wrong with a launcher's file."""
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except (ValidationError, ValueError) as error:
        return [f"ray: {error}"]
    found = []
    types = config["available_node_types"]
    head = types[config["head_node_type"]]
    if head["resources"].get("CPU") != 0:
        found.append("the head runs tasks")
    if "InstanceMarketOptions" in head["node_config"]:
        found.append("the head is on spot")
    for name, kind in types.items():
        found += [f"{name}: {problem}" for problem in _node_problems(kind["node_config"], ec2)]
        if kind is not head:
            if kind["min_workers"]:
                found.append(f"{name}: not from zero")
            if name.endswith("spot") and kind["node_config"].get("InstanceMarketOptions") != {
                "MarketType": "spot"
            }:
                found.append(f"{name}: not on spot")
            if not 0 < kind["max_workers"] <= config["max_workers"]:
                found.append(f"{name}: max_workers")
    if config["provider"].get("use_internal_ips") is not True:
        found.append("public addresses")
    text = json.dumps(config)
    if re.search(r"0\.0\.0\.0|::/0", text):
        found.append("open to the world")
    if re.search(r"AKIA[0-9A-Z]{16}|[0-9a-f]{32,}|RAY_AUTH_TOKEN=(?!\$)", text):
        found.append("a secret")
    for part in ("head", "worker"):
        command = config[f"{part}_start_ray_commands"][-1]
        words = shlex.split(command)
        found += [
            f"ray start has no {w}" for w in words if w.startswith("--") and w.split("=")[0] not in FLAGS
        ]
        if "export RAY_AUTH_MODE=token" not in command or "--object-spilling-directory=" not in command:
            found.append(f"{part}: no token or no disk for spilling")
    if "--dashboard-host=127.0.0.1" not in config["head_start_ray_commands"][-1]:
        found.append("the dashboard is open")
    return found


def _node_problems(node: dict[str, Any], ec2: Any) -> list[str]:
    asked = {**node, "SubnetId": node["SubnetIds"][0], "MinCount": 1, "MaxCount": 1}
    del asked["SubnetIds"]
    report = ParamValidator().validate(asked, ec2)
    found = [report.generate_report()] if report.has_errors() else []
    if not str(node.get("ImageId", "")).startswith("ami-"):
        found.append("no image id of its own")
    if node.get("MetadataOptions", {}).get("HttpTokens") != "required":
        found.append("metadata without a token")
    if not node.get("SecurityGroupIds"):
        found.append("Ray would make a security group that is open to the world")
    if not node.get("IamInstanceProfile"):
        found.append("no role")
    if not all(d["Ebs"].get("Encrypted") for d in node.get("BlockDeviceMappings", [{"Ebs": {}}])):
        found.append("a disk in clear")
    return found


def test_launcher_is_what_ray_and_ec2_take_and_closed(launcher: dict[str, Any], ec2: Any) -> None:
    assert problems(launcher, ec2) == []


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("available_node_types.cpu-spot.min_worker", 0, "ray:"),
        ("idle_timeout", 5, "ray:"),
        ("available_node_types.head.resources.CPU", 4, "tasks"),
        (
            "available_node_types.head.node_config.InstanceMarketOptions",
            {"MarketType": "spot"},
            "head is on spot",
        ),
        ("available_node_types.cpu-spot.node_config.InstanceMarketOptions", {}, "not on spot"),
        ("available_node_types.cpu-spot.node_config.InstanceTyp", "m6id.large", "InstanceTyp"),
        ("available_node_types.gpu-spot.node_config.MetadataOptions", {"HttpTokens": "optional"}, "metadata"),
        ("available_node_types.gpu-spot.node_config.ImageId", None, "image id"),
        ("available_node_types.cpu-spot.node_config.SecurityGroupIds", [], "security group"),
        ("available_node_types.cpu-spot.node_config.IamInstanceProfile", None, "role"),
        ("provider.use_internal_ips", False, "public"),
        ("provider.security_group", {"IpPermissions": [{"CidrIp": "0.0.0.0/0"}]}, "world"),
        ("head_start_ray_commands", ["ray start --head --dashboard-host=127.0.0.1 --spill=/x"], "--spill"),
        ("head_start_ray_commands", ["export RAY_AUTH_TOKEN=abc; ray start --head"], "secret"),
    ],
)
def test_launcher_with_a_mistake_is_refused(
    launcher: dict[str, Any], ec2: Any, path: str, value: Any, found: str
) -> None:
    broken = copy.deepcopy(launcher)
    *parents, last = path.split(".")
    place = broken
    for key in parents:
        place = place[key]
    place[last] = value
    assert any(found in problem for problem in problems(broken, ec2))


def test_commands_of_the_launcher_are_bash_and_python(launcher: dict[str, Any]) -> None:
    commands = [c for key, value in launcher.items() if key.endswith("commands") for c in value]
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    words = shlex.split(launcher["setup_commands"][0])
    compile(words[words.index("-c") + 1], "setup", "exec")


def statement_problems(policy: dict[str, Any]) -> list[str]:
    """Where a policy gives more than it must."""
    found = []
    for statement in policy["Statement"]:
        name, resource = statement.get("Sid"), json.dumps(statement.get("Resource"))
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        found += [f"{name}: {action}" for action in actions if "*" in action]
        for action in actions:
            free = re.match(r"ec2:Describe|ecr:GetAuthorizationToken|sts:", action)
            if resource == '"*"' and not free:
                found.append(f"{name}: {action} on everything")
            condition = statement.get("Condition", {}).get("StringEquals", {})
            if action == "iam:PassRole" and (
                "*" in resource or condition != {"iam:PassedToService": "ec2.amazonaws.com"}
            ):
                found.append(f"{name}: any role")
            if action in ("ec2:TerminateInstances", "ec2:CreateTags") and not condition:
                found.append(f"{name}: any instance")
            if action == "ec2:RunInstances" and ":instance/*" in resource and len(condition) < 2:
                found.append(f"{name}: instances of any kind")
    return found


def test_policies_give_no_more_than_needed(cluster_folder: Path, filled: Fill) -> None:
    policies = {p.stem: json.loads(filled(f"iam/{p.name}")) for p in (cluster_folder / "iam").glob("*.json")}
    assert len(policies) == 6
    for policy in policies.values():
        assert policy["Version"] == "2012-10-17"
        assert statement_problems(policy) == []
    archive = json.dumps(policies["read-archive"])
    assert "Put" not in archive
    assert "Delete" not in archive


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::calls"}, "s3:*"),
        ({"Action": "s3:GetObject", "Resource": "*"}, "everything"),
        ({"Action": "iam:PassRole", "Resource": "arn:aws:iam::1:role/*"}, "any role"),
        ({"Action": ["ec2:TerminateInstances"], "Resource": "arn:aws:ec2:r:1:instance/*"}, "any instance"),
        ({"Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:r:1:instance/*"}, "of any kind"),
    ],
)
def test_policy_that_gives_too_much_is_found(statement: dict[str, Any], found: str) -> None:
    assert any(found in problem for problem in statement_problems({"Statement": [statement]}))


def _nightly(
    folder: Path, filled: Fill, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script with a `ray` that writes down what it is asked."""
    told = "40/40 calls\\nnight ended with 75\\r\\nclosed\\n"
    (folder / "ray").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "$ASKED"\nprintf "{told}"\n')
    (folder / "ray").chmod(0o755)
    (folder / "score.yaml").write_text(filled("score.yaml", night=None))
    script = Path(__file__).parents[2] / "cluster" / "nightly.sh"
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "ASKED": str(folder / "asked")}
    ended = subprocess.run(
        [str(script), "aws.yaml", str(folder / "score.yaml"), *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    asked = folder / "asked"
    return ended, asked.read_text().splitlines() if asked.exists() else []


def test_nightly_script_submits_one_named_job_for_the_night(tmp_path: Path, filled: Fill) -> None:
    ended, asked = _nightly(tmp_path, filled, "60", "2026-11-22")
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (75, "40/40 calls")  # those of the job
    assert asked[:2] == ["exec", "aws.yaml"]
    words = shlex.split(asked[2])
    assert words[words.index("ser-ray") :][:3] == ["ser-ray", "submit", "score"]
    asked_for = words[words.index("--address") : words.index("--address") + 6]
    assert asked_for == ["--address", "http://127.0.0.1:8265", "--cpus", "60", "--date", "2026-11-22;"]
    job = ScoreJob.of(**yaml.safe_load(base64.b64decode(words[1])), date="2026-11-22").dated
    assert (job.archive, job.out) == ("s3://calls/dt=2026-11-22/", "s3://results/scores/dt=2026-11-22")
    assert name_of(job).startswith("score-2026-11-22-")


@pytest.mark.parametrize("arguments", [(), ("sixty",), ("60", "today"), ("60", "; reboot")])
def test_nightly_script_refuses_what_it_cannot_mean(
    tmp_path: Path, filled: Fill, arguments: tuple[str, ...]
) -> None:
    ended, asked = _nightly(tmp_path, filled, *arguments)
    assert (ended.returncode, asked) == (2, [])
    assert ended.stderr
