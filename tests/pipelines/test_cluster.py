"""What is said where a cluster cannot be used yet, or at all."""

from __future__ import annotations

import pytest

from ser_ray.errors import RunFailed
from ser_ray.pipelines import cluster


@pytest.fixture
def not_joined(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process as it is before it has joined a cluster."""
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster, "_alone", False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return monkeypatch


def test_cluster_without_worker_is_waited_for_with_a_word(
    not_joined: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    not_joined.setattr(cluster.ray, "init", lambda *_, **__: None)
    not_joined.setattr(cluster.ray, "cluster_resources", lambda: {"memory": 1.0})
    assert cluster.connect("head:6379") == 1
    assert "no worker yet; waiting for one" in capfd.readouterr().err
    not_joined.setattr(cluster.ray, "cluster_resources", lambda: {"CPU": 2.0})
    assert cluster.connect("head:6379") == 2
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("address", "told"), [(None, "Ray does not start on this machine"), ("head:6379", "Check --address")]
)
def test_address_is_doubted_only_where_there_is_one(
    not_joined: pytest.MonkeyPatch, address: str | None, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("timed out during startup")

    not_joined.setattr(cluster.ray, "init", fail)
    with pytest.raises(RunFailed, match=told):
        cluster.connect(address)
