"""The RayJobs and the RayCluster are sound, and each kind of mistake in one is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.kuberay import Object, changed, problems


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
    broken = changed(ray_objects["score"], path, value)
    assert any(found in problem for problem in problems(broken)), problems(broken)
