"""What is said where no cluster can be used."""

from __future__ import annotations

import pytest

from ser_ray.errors import RunFailed
from ser_ray.pipelines import cluster


@pytest.mark.parametrize(
    ("address", "told"), [(None, "Ray does not start on this machine"), ("head:6379", "Check --address")]
)
def test_address_is_doubted_only_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, address: str | None, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("timed out during startup")

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", fail)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(RunFailed, match=told):
        cluster.connect(address)
