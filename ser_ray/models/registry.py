"""The families that `ser-ray train` knows. A new one is one new file and one entry here."""

from __future__ import annotations

from ser_ray.errors import UnknownName
from ser_ray.models import boosting, forest, svm
from ser_ray.models.family import Family

FAMILIES: dict[str, Family] = {f.name: f for f in (svm.FAMILY, forest.FAMILY, boosting.FAMILY)}


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        UnknownName: there is none; the message has the nearest names.
    """
    if name not in FAMILIES:
        raise UnknownName("family", name, FAMILIES)
    return FAMILIES[name]
