"""The Kubernetes files: their schemas, the operator's rules, ours, and what the jobs in them need."""

from __future__ import annotations

import copy
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft7Validator
from ray.scripts.scripts import start

from ser_ray.errors import UsageError
from ser_ray.pipelines import cluster, jobs, parallel
from ser_ray.pipelines.job import Job
from ser_ray.pipelines.members import GpuActor

KUBERNETES = "1.34"
ROOT = Path(__file__).parents[2]
SCHEMA = Draft7Validator(json.loads((Path(__file__).parent / "kuberay.schema.json").read_text()))
FLAGS = {flag for option in start.params for flag in option.opts}
JOBS: dict[str, type[Job]] = {
    kind.verb: kind
    for kind in vars(jobs).values()
    if inspect.isclass(kind) and issubclass(kind, Job) and kind is not Job
}
WORKER_GIB = 1.2  # of a scoring worker, which takes one CPU: README, Speed
RAY_GIB = 2.0  # of Ray's own processes on a machine
UNITS = {"Gi": 1.0, "Mi": 1 / 1024, "Ki": 1 / 1024**2}
Fill = Callable[..., str]
Object = dict[str, Any]


def _objects(text: str) -> dict[str, Object]:
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def ray_objects(cluster_folder: Path, filled: Fill) -> dict[str, Object]:
    """RayJobs and the RayCluster, by file."""
    found = {}
    for file in sorted((cluster_folder / "kuberay").glob("*.yaml")):
        if file.stem != "base":
            (found[file.stem],) = _objects(filled(f"kuberay/{file.name}")).values()
    return found


@pytest.fixture(scope="module")
def base(filled: Fill) -> dict[str, Object]:
    return _objects(filled("kuberay/base.yaml"))


def _gib(quantity: str | int) -> float:
    return float(str(quantity)[:-2]) * UNITS[str(quantity)[-2:]]


def _templates(ray: Object) -> Iterator[tuple[str, Object]]:
    """Every pod template of a RayJob or RayCluster."""
    spec = ray["spec"].get("rayClusterSpec", ray["spec"])
    yield "head", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
    if "submitterPodTemplate" in ray["spec"]:
        yield "submitter", ray["spec"]["submitterPodTemplate"]


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
    for group, template in _templates(ray):
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


def _pod_problems(owner: Object) -> Iterator[str]:
    """Pods as Kubernetes takes them, confined, with no secret in clear and pinned images."""
    for name, template in _templates(owner):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            **template,
            "metadata": {"name": "p", **template["metadata"]},
        }
        yield from (f"{name}: {problem}" for problem in _kubernetes_problems(pod))
        if template["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "ser-ray":
            yield f"{name}: shut out by the NetworkPolicies"
        yield from (f"{name}: {problem}" for problem in confinement_problems(template["spec"]))


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


def _kubernetes_problems(thing: Object) -> list[str]:
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"kubernetes: {error.message}"]
    return []


def test_ray_files_are_sound(ray_objects: dict[str, Object]) -> None:
    assert {name: problems(ray) for name, ray in ray_objects.items()} == {name: [] for name in ray_objects}


GROUP = "spec.rayClusterSpec.workerGroupSpecs.0"
HEAD = "spec.rayClusterSpec.headGroupSpec"
POD = f"{GROUP}.template.spec"


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("spec.shutdownAfterJobFinish", True, "schema"),
        ("spec.shutdownAfterJobFinishes", False, "ttlSecondsAfterFinished"),
        ("spec.backoffLimit", "2", "schema"),
        ("spec.submissionMode", "HTTPMode", "submitter"),
        ("spec.entrypointNumCpus", 0.1, "driver to a spot worker"),
        ("metadata.name", "2026-score", "schema"),
        ("spec.rayClusterSpec.authOption", {"mode": "token"}, "schema"),
        ("spec.rayClusterSpec.authOptions", {"mode": "disabled"}, "token"),
        ("spec.rayClusterSpec.autoscalerOptions.version", "v1", "autoscaler v2"),
        (f"{HEAD}.serviceType", "LoadBalancer", "open"),
        (f"{HEAD}.rayStartParams.num-cpus", "4", "runs tasks"),
        (f"{HEAD}.rayStartParams.num-cpu", "0", "--num-cpu"),
        (f"{HEAD}.rayStartParams.num-cpus", 0, "schema"),
        (f"{GROUP}.maxReplicas", 3, "<="),
        (f"{GROUP}.minReplicas", 0, "when it starts"),
        (f"{GROUP}.rayStartParams.num-cpus", "16", "other CPUs"),
        (f"{GROUP}.rayStartParams.object-spilling-directory", "/tmp", "no disk"),
        (f"{POD}.restartPolicy", "Always", "Never"),
        (f"{POD}.nodeSelecter", {}, "kubernetes"),
        (f"{POD}.containers.0.resources.requests.memory", "16Gi", "which need"),
        (f"{POD}.containers.0.image", "host/ser-ray:latest", "version"),
        (f"{POD}.containers.0.env", [{"name": "RAY_AUTH_TOKEN", "value": "x"}], "in clear"),
        (f"{POD}.containers.0.securityContext.privileged", "no", "kubernetes"),
        (f"{POD}.containers.0.securityContext.allowPrivilegeEscalation", True, "privileges"),
        (f"{POD}.securityContext.runAsUser", 0, "root"),
        (f"{POD}.volumes.0.emptyDir.sizeLimits", "1Gi", "kubernetes"),
        (f"{GROUP}.template.metadata.labels", {}, "NetworkPolicies"),
    ],
)
def test_ray_file_with_a_mistake_is_refused(
    ray_objects: dict[str, Object], path: str, value: Any, found: str
) -> None:
    broken = _with(ray_objects["score"], path, value)
    assert any(found in problem for problem in problems(broken)), problems(broken)


def _with(thing: Object, path: str, value: Any) -> Object:
    """A copy of `thing` in which one field is another."""
    broken: Any = json.loads(json.dumps(thing))  # anchors made some parts one object
    *parents, last = re.findall(r"(?:[^.]|(?<=\bio)\.)+", path)
    place = broken
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return dict(broken)


def test_each_job_has_a_rayjob_whose_options_it_takes(ray_objects: dict[str, Object]) -> None:
    seen = set()
    for name, ray in ray_objects.items():
        if ray["kind"] == "RayCluster":
            continue
        kind, options = _job_of(ray)
        seen.add(kind.verb)
        assert name == kind.verb
        job = kind.of(**options)
        assert job.address is None  # where it runs already
        _with_mistake = {**options, "manifset": "x"}
        with pytest.raises(UsageError, match="manifset"):
            kind.of(**_with_mistake)
    assert seen == JOBS.keys()


def _job_of(ray: Object) -> tuple[type[Job], dict[str, Any]]:
    """The job that a RayJob's head runs, and its options as the head finds them."""
    python, script, config = ray["spec"]["entrypoint"].split()
    folder = re.fullmatch(r"/opt/ser-ray/jobs/(\w+)\.py", script)
    assert python == "python"
    assert folder
    assert "COPY jobs /opt/ser-ray/jobs" in (ROOT / "cluster" / "Dockerfile").read_text()
    assert (ROOT / "jobs" / f"{folder[1]}.py").exists()
    template = ray["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    (volume,) = [v for v in template["spec"]["volumes"] if "downwardAPI" in v]
    (item,) = volume["downwardAPI"]["items"]
    (mount,) = [m for m in template["spec"]["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert f"{mount['mountPath']}/{item['path']}" == config
    key = re.fullmatch(r"metadata\.annotations\['(.+)'\]", item["fieldRef"]["fieldPath"])
    assert key
    return JOBS[folder[1]], yaml.safe_load(template["metadata"]["annotations"][key[1]])


def test_clusters_of_jobs_have_what_the_code_asks_for(ray_objects: dict[str, Object]) -> None:
    assert parallel._call._default_options["num_cpus"] == 1
    assert "num_cpus=1," in inspect.getsource(cluster.run_batches)  # a CPU for each worker of a pool
    actor = GpuActor._default_options  # type: ignore[attr-defined]
    assert (actor["num_cpus"], actor["num_gpus"]) == (0, 1)
    for name, ray in ray_objects.items():
        if ray["kind"] == "RayCluster":
            continue
        groups = ray["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        cpus, gpus = (
            sum(g["replicas"] * int(g["rayStartParams"].get(kind, 0)) for g in groups)
            for kind in ("num-cpus", "num-gpus")
        )
        assert cpus > 0, name
        together = getattr(JOBS[name].of(**_job_of(ray)[1]), "workers", None)
        if together:
            assert cpus >= together + 1  # one reads for them where features are streamed
            assert gpus in (0, together)


def test_plain_objects_are_what_kubernetes_takes_and_closed(base: dict[str, Object]) -> None:
    assert {name: _kubernetes_problems(o) for name, o in base.items()} == {name: [] for name in base}
    role = base["Role/ser-ray-nightly"]
    assert role["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create"]}]
    binding = base["RoleBinding/ser-ray-nightly"]
    pod = base["CronJob/ser-ray-nightly"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["name"] == pod["serviceAccountName"]
    assert list(confinement_problems(pod)) == []
    closed = base["NetworkPolicy/closed"]["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    budget = base["PodDisruptionBudget/heads"]["spec"]
    assert "maxUnavailable" not in budget  # Kubernetes counts pods of a foreign owner by minAvailable alone


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("CronJob/ser-ray-nightly", "spec.timezone", "Etc/UTC"),
        ("CronJob/ser-ray-nightly", "spec.jobTemplate.spec.template.spec.container", []),
        ("Role/ser-ray-nightly", "rule", []),
        ("NetworkPolicy/closed", "spec.policyType", ["Ingress"]),
        ("PodDisruptionBudget/heads", "spec.minAvailabel", 1),
        ("ServiceAccount/ser-ray-worker", "automountServiceAccountToken", "no"),
    ],
)
def test_plain_object_with_a_typo_is_refused(
    base: dict[str, Object], name: str, path: str, value: Any
) -> None:
    assert _kubernetes_problems(_with(base[name], path, value))


def test_network_policies_let_in_only_our_pods_and_the_operator(base: dict[str, Object]) -> None:
    ours = {"app.kubernetes.io/part-of": "ser-ray"}
    policies = [o["spec"] for name, o in base.items() if name.startswith("NetworkPolicy/")]
    let_in = [
        (source, rule.get("ports"))
        for p in policies
        for rule in p.get("ingress", [])
        for source in rule["from"]
    ]
    assert {"podSelector": {"matchLabels": ours}} in [source for source, _ in let_in]
    others = [(s, ports) for s, ports in let_in if "namespaceSelector" in s or "ipBlock" in s]
    assert [ports for _, ports in others] == [[{"protocol": "TCP", "port": 8265}]]
    assert others[0][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    out = [rule for p in policies for rule in p.get("egress", [])]
    blocks = [(to["ipBlock"], rule["ports"]) for rule in out for to in rule["to"] if "ipBlock" in to]
    assert [ports for _, ports in blocks] == [[{"protocol": "TCP", "port": 443}]]
    assert blocks[0][0]["except"] == ["169.254.0.0/16"]


def test_accounts_and_template_that_pods_name_are_there(
    base: dict[str, Object], ray_objects: dict[str, Object]
) -> None:
    accounts = {o["metadata"]["name"] for name, o in base.items() if name.startswith("ServiceAccount/")}
    for ray in ray_objects.values():
        for group, template in _templates(ray):
            spec = template["spec"]
            assert spec.get("serviceAccountName", "default") in {*accounts, "default"}
            assert group == "head" or spec["automountServiceAccountToken"] is False
    trusted = json.loads((ROOT / "cluster" / "iam" / "trust-pods.json").read_text())["Statement"][0]
    subjects = trusted["Condition"]["StringEquals"]["${OIDC}:sub"]
    with_role = {n for n in accounts if "annotations" in base[f"ServiceAccount/{n}"]["metadata"]}
    assert {s.rsplit(":", 1)[1] for s in subjects} == with_role == {"ser-ray-head", "ser-ray-worker"}


def test_copies_of_one_night_share_no_state(ray_objects: dict[str, Object]) -> None:
    assert ray_objects["score"]["metadata"]["name"] == "ser-ray-score-2026-11-22"
    kind, options = _job_of(copy.deepcopy(ray_objects["score"]))
    job: Any = kind.of(**options)
    assert job.archive.rstrip("/").endswith("dt=2026-11-22")
    assert job.out.endswith("dt=2026-11-22")
