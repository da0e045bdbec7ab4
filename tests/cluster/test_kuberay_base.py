"""The plain Kubernetes objects: accounts, what they may do, and who reaches whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kuberay import Object, changed, confinement_problems, kubernetes_problems, templates

ROOT = Path(__file__).parents[2]


def test_plain_objects_are_what_kubernetes_takes_and_closed(base: dict[str, Object]) -> None:
    assert {name: kubernetes_problems(o) for name, o in base.items()} == {name: [] for name in base}
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
    assert kubernetes_problems(changed(base[name], path, value))


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
        for group, template in templates(ray):
            spec = template["spec"]
            assert spec.get("serviceAccountName", "default") in {*accounts, "default"}
            assert group == "head" or spec["automountServiceAccountToken"] is False
    trusted = json.loads((ROOT / "cluster" / "iam" / "trust-pods.json").read_text())["Statement"][0]
    subjects = trusted["Condition"]["StringEquals"]["${OIDC}:sub"]
    with_role = {n for n in accounts if "annotations" in base[f"ServiceAccount/{n}"]["metadata"]}
    assert {s.rsplit(":", 1)[1] for s in subjects} == with_role == {"ser-ray-head", "ser-ray-worker"}
