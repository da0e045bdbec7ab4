"""Who is evaluated: families with settings and features, or the members of a saved model or ensemble."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.manifest import EMOTION, labelled
from ser_ray.errors import MissingInput, UsageError
from ser_ray.features import Band, Feature
from ser_ray.fusion import load_ensemble
from ser_ray.models import FAMILIES, Model, check_source, family
from ser_ray.models import normalisation as normalisations
from ser_ray.models.normalisation import NONE
from ser_ray.models.normaliser import Normalisation
from ser_ray.pipelines.dataset import chosen_features


@dataclass(frozen=True)
class Candidate:
    """One member to be evaluated: a family with its settings and features, and what it learns."""

    family: str
    settings: Mapping[str, Any]
    features: tuple[Feature, ...]
    normalisation: Normalisation | None = None
    label: str = EMOTION

    @classmethod
    def of(cls, model: Model) -> Candidate:
        """What a saved model was made by."""
        return cls(model.family, model.settings, model.features, model.normalisation, model.label)


def candidates_of(
    target: str,
    specs: Sequence[str] = (),
    band: Band | None = None,
    normalise: str = NONE,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Candidate]:
    """Members named by families (`svm,xgboost`), or those of a model or ensemble directory.

    Args:
        target: families, or a directory.
        specs: features in place of the families' own.
        band: in place of the features' own.
        normalise: specification of the normalisation.
        settings: hyperparameters in place of the defaults, each for all families that have it.

    Raises:
        UnknownName, MissingInput: neither a family nor a directory.
        UsageError: features, band or normalisation were given for a directory, which has its own.
    """
    names = target.split(",")
    if not all(name in FAMILIES for name in names) and storage.exists(target):
        check_unchanged(specs, band, normalise, settings or ())
        ensemble, _ = load_ensemble(target)
        return {n: Candidate.of(m) for n, m in ensemble.members.items()}
    if "/" in target:
        raise MissingInput(
            f"model or ensemble not found: {target}. Give its folder, or families such as svm."
        )
    normalisation = normalisations.get(normalise)
    kinds, given = {n: family(n) for n in names}, dict(settings or {})
    for name in given:
        if not any(name in kind.defaults for kind in kinds.values()):
            raise UsageError(f"none of {', '.join(names)} has a setting {name!r}; see ser-ray train --list.")
    members = {
        n: Candidate(
            n,
            kind.settings({k: v for k, v in given.items() if k in kind.defaults}),
            chosen_features(n, specs, band),
            normalisation,
        )
        for n, kind in kinds.items()
    }
    for name, kind in kinds.items():
        check_source(kind, members[name].settings, members[name].features, normalisation)
    return members


def check_unchanged(
    specs: Sequence[str], band: Band | None, normalise: str, settings: Collection[str] = ()
) -> None:
    """Raise UsageError where something is given that a saved model brings along."""
    if specs or band or normalise != NONE or settings:
        raise UsageError(
            "a saved model has its own features, band, normalisation and settings; leave out --feature, "
            "--band, --normalise and --set."
        )


def labelled_for(candidates: Mapping[str, Candidate], manifest: pa.Table) -> pa.Table:
    """The rows that have what the members learn; see `corpora.manifest.labelled`.

    Raises:
        UsageError: some learn emotions, and others do not.
        BadManifest: fewer than two labels are there.
    """
    labels = {member.label for member in candidates.values()}
    if len(labels) > 1:
        raise UsageError(f"some members learned {' and others '.join(sorted(labels))}. Evaluate them apart.")
    return labelled(manifest, "evaluation", *labels)
