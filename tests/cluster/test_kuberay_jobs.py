"""The RayJobs: their options are those that the jobs take, their clusters what the code asks for."""

from __future__ import annotations

import copy
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ser_ray.errors import UsageError
from ser_ray.pipelines import cluster, jobs, parallel
from ser_ray.pipelines.job import Job
from ser_ray.pipelines.members import GpuActor
from tests.cluster.kuberay import Object

ROOT = Path(__file__).parents[2]
JOBS: dict[str, type[Job]] = {
    kind.verb: kind
    for kind in vars(jobs).values()
    if inspect.isclass(kind) and issubclass(kind, Job) and kind is not Job
}


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
    assert "num_cpus=1," in inspect.getsource(cluster._dataset)  # a CPU for each worker of a pool
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


def test_copies_of_one_night_share_no_state(ray_objects: dict[str, Object]) -> None:
    assert ray_objects["score"]["metadata"]["name"] == "ser-ray-score-2026-11-22"
    kind, options = _job_of(copy.deepcopy(ray_objects["score"]))
    job: Any = kind.of(**options, keep_days=90).dated
    assert job.archive.rstrip("/").endswith("dt=2026-11-22")
    assert job.out.endswith("dt=2026-11-22")
