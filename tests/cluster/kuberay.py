"""What is wrong with a Kubernetes file: by its schema, by the operator's rules, and by ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft7Validator
from ray.scripts.scripts import start

KUBERNETES = "1.34"
SCHEMA = Draft7Validator(json.loads((Path(__file__).parent / "kuberay.schema.json").read_text()))
FLAGS = {flag for option in start.params for flag in option.opts}
WORKER_GIB = 1.2  # of a scoring worker, which takes one CPU: README, Speed
RAY_GIB = 2.0  # of Ray's own processes on a machine
UNITS = {"Gi": 1.0, "Mi": 1 / 1024, "Ki": 1 / 1024**2}
Object = dict[str, Any]


def problems(ray: Object) -> list[str]:
    """What is wrong with a RayJob or a RayCluster."""
    found = [f"schema: {e.json_path} {e.message}" for e in _best(ray)]
    return found or [*_operator_problems(ray), *_group_problems(ray), *_pod_problems(ray)]


def _best(ray: Object) -> list[Any]:
    """The schema's errors for the kind that it is."""
    errors = SCHEMA.iter_errors(ray)
    kind = 1 if ray.get("kind") == "RayJob" else 0
    return [
        e
        for error in errors
        for e in error.context or [error]
        if not error.context or e.schema_path[0] == kind
    ]


def _operator_problems(ray: Object) -> Iterator[str]:
    """The operator's rules that are in no schema."""
    spec, name = ray["spec"], ray["metadata"]["name"]
    of = spec.get("rayClusterSpec", spec)
    if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
        yield "ttlSecondsAfterFinished without shutdownAfterJobFinishes"
    if spec.get("submissionMode") in ("SidecarMode", "HTTPMode") and "submitterPodTemplate" in spec:
        yield "a submitter's template where there is no submitter"
    if spec.get("submissionMode") == "InteractiveMode" and spec.get("backoffLimit"):
        yield "InteractiveMode with backoffLimit"
    if ray["kind"] == "RayJob" and len(name) > 47:
        yield "name too long"
    if of.get("autoscalerOptions", {}).get("version") != "v2" or not of.get("enableInTreeAutoscaling"):
        yield "no autoscaler v2"
    for group, template in templates(ray):
        if template["spec"].get("restartPolicy") != "Never":
            yield f"{group}: autoscaler v2 needs restartPolicy Never"
    if of.get("authOptions") != {"mode": "token"}:
        yield "no token authentication"
    if spec.get("entrypointNumCpus") and of["headGroupSpec"]["rayStartParams"].get("num-cpus") == "0":
        yield "entrypointNumCpus sends the driver to a spot worker"
    if of["headGroupSpec"].get("serviceType", "ClusterIP") != "ClusterIP" or of["headGroupSpec"].get(
        "enableIngress"
    ):
        yield "the dashboard is open"


def _group_problems(ray: Object) -> Iterator[str]:
    """Sizes: what Ray is told, what the machine gives, what our workers need."""
    of = ray["spec"].get("rayClusterSpec", ray["spec"])
    head = of["headGroupSpec"]
    if head["rayStartParams"].get("num-cpus") != "0":
        yield "head: runs tasks"
    if head["template"]["spec"]["nodeSelector"].get("karpenter.sh/capacity-type") != "on-demand":
        yield "head: not on demand"
    for group in [head, *of["workerGroupSpecs"]]:
        for flag in group["rayStartParams"]:
            if f"--{flag}" not in FLAGS:
                yield f"ray start has no --{flag}"
        spill = group["rayStartParams"].get("object-spilling-directory")
        spec = group["template"]["spec"]
        mounts = {m["mountPath"]: m["name"] for m in spec["containers"][0]["volumeMounts"]}
        if not any(v["name"] == mounts.get(spill) and "emptyDir" in v for v in spec["volumes"]):
            yield "spilling to no disk of its own"
    for group in of["workerGroupSpecs"]:
        name, params = group["groupName"], group["rayStartParams"]
        resources = group["template"]["spec"]["containers"][0]["resources"]
        cpus, gpus = int(params["num-cpus"]), int(params.get("num-gpus", 0))
        memory = _gib(resources["requests"]["memory"])
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            yield f"{name}: minReplicas <= replicas <= maxReplicas"
        if ray["kind"] == "RayJob" and group["minReplicas"] != group["replicas"]:
            yield f"{name}: a job takes as many workers as there are when it starts"
        if ray["kind"] == "RayCluster" and group["minReplicas"]:
            yield f"{name}: not from zero"
        if cpus != int(resources["requests"]["cpu"]):
            yield f"{name}: Ray is told of other CPUs than the pod has"
        if gpus != resources["limits"].get("nvidia.com/gpu", 0):
            yield f"{name}: Ray is told of other GPUs than the pod has"
        if resources["limits"]["memory"] != resources["requests"]["memory"]:
            yield f"{name}: memory that may be taken away"
        store = params.get("object-store-memory")
        needed = cpus * WORKER_GIB + RAY_GIB + (int(store) / 2**30 if store else 0.3 * memory)
        if memory < needed:
            yield f"{name}: {memory} GiB for {cpus} workers, which need {needed:.1f}"
        if group["template"]["spec"]["nodeSelector"].get("karpenter.sh/capacity-type") != "spot":
            yield f"{name}: not on spot"


def _gib(quantity: str | int) -> float:
    return float(str(quantity)[:-2]) * UNITS[str(quantity)[-2:]]


def _pod_problems(owner: Object) -> Iterator[str]:
    """Pods as Kubernetes takes them, confined, with no secret in clear and pinned images."""
    for name, template in templates(owner):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            **template,
            "metadata": {"name": "p", **template["metadata"]},
        }
        yield from (f"{name}: {problem}" for problem in kubernetes_problems(pod))
        if template["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "ser-ray":
            yield f"{name}: shut out by the NetworkPolicies"
        yield from (f"{name}: {problem}" for problem in confinement_problems(template["spec"]))


def templates(ray: Object) -> Iterator[tuple[str, Object]]:
    """Every pod template of a RayJob or RayCluster."""
    spec = ray["spec"].get("rayClusterSpec", ray["spec"])
    yield "head", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
    if "submitterPodTemplate" in ray["spec"]:
        yield "submitter", ray["spec"]["submitterPodTemplate"]


def confinement_problems(spec: Object) -> Iterator[str]:
    """Where a pod is not as the namespace's level `restricted` and we ask."""
    user = spec.get("securityContext", {})
    if user.get("runAsNonRoot") is not True or user.get("runAsUser") in (None, 0):
        yield "may be root"
    if user.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    for container in spec["containers"]:
        secure = container.get("securityContext", {})
        if secure.get("allowPrivilegeEscalation") is not False or secure.get("capabilities") != {
            "drop": ["ALL"]
        }:
            yield "has privileges"
        if not re.fullmatch(r"\S+:\d+\.\d+\.\d+-(cpu|gpu)", container["image"]):
            yield "image without a version"
        if not container.get("resources", {}).get("requests"):
            yield "asks for nothing"
        for variable in container.get("env", []):
            if re.search(r"TOKEN|SECRET|PASSWORD|_KEY", variable["name"]) and "valueFrom" not in variable:
                yield f"{variable['name']} in clear"


def kubernetes_problems(thing: Object) -> list[str]:
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"kubernetes: {error.message}"]
    return []


def changed(thing: Object, path: str, value: Any) -> Object:
    """A copy of `thing` in which one field is another."""
    broken: Any = json.loads(json.dumps(thing))  # anchors made some parts one object
    *parents, last = re.findall(r"(?:[^.]|(?<=\bio)\.)+", path)
    place = broken
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return dict(broken)
