"""The families that `ser-ray train` knows. A new one is one new file and one entry here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ser_ray.errors import UnknownName
from ser_ray.models import boosting, forest, gmm, gmm_fusion, svm
from ser_ray.models.family import Family

CLASSICAL: dict[str, Family] = {f.name: f for f in (svm.FAMILY, forest.FAMILY, boosting.FAMILY)}
FRAMEWISE: dict[str, Family] = {f.name: f for f in (gmm.FAMILY, gmm_fusion.FAMILY)}
_LIGHT = CLASSICAL | FRAMEWISE  # those that need no PyTorch


class _Families(Mapping[str, Family]):
    """All families by name; the networks, and PyTorch with them, are loaded when one is asked for."""

    def __getitem__(self, name: str) -> Family:
        return _LIGHT[name] if name in _LIGHT else self._networks()[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*_LIGHT, *self._networks()])

    def __len__(self) -> int:
        return len(_LIGHT) + len(self._networks())

    @staticmethod
    def _networks() -> Mapping[str, Family]:
        from ser_ray.models.networks.registry import NETWORKS

        return NETWORKS


FAMILIES: Mapping[str, Family] = _Families()


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        UnknownName: there is none; the message has the nearest names.
    """
    if name not in FAMILIES:
        raise UnknownName("family", name, FAMILIES)
    return FAMILIES[name]
