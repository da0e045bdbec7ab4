"""Fusing trained models into an ensemble, by what they predicted out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ser_ray import storage
from ser_ray.errors import UsageError
from ser_ray.evaluation import Report, measure
from ser_ray.fusion import RULES, STACKING, Ensemble, check_rule, fit_fusion
from ser_ray.fusion.ensemble import aligned
from ser_ray.fusion.stacking import cross_fitted
from ser_ray.models import Model, load_model
from ser_ray.models.normaliser import TRANSDUCTIVE
from ser_ray.pipelines.train import versions


def load_members(uris: Sequence[str]) -> dict[str, Model]:
    """Models by the names of their folders.

    Raises:
        UsageError: fewer than two models, or two folders of one name.
        MissingInput, BadModel: a folder that is no model.
    """
    names = [storage.name(uri) for uri in uris]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError("fusion needs two models or more, in folders of different names.")
    return {name: load_model(uri) for name, uri in zip(names, uris, strict=True)}


def fuse(
    members: Mapping[str, Model], rule: str = "paper", seed: int = 0
) -> tuple[Ensemble, dict[str, Report]]:
    """An ensemble of `members` by `rule`, and the out-of-fold report of each member and each rule.

    Raises:
        UnknownName: no such rule.
        UsageError: the members differ in labels or band, or share no utterance.
    """
    check_rule(rule)
    p, y, groups, ids = aligned(members)
    labels = next(iter(members.values())).labels
    reports = {name: measure(y, p[k], labels, groups) for k, name in enumerate(members)}
    reports |= {
        f"rule:{r}": measure(y, _out_of_fold(r, p, y, groups, seed), labels, groups)
        for r in (*RULES, STACKING)
    }
    fused = reports[f"rule:{rule}"]
    protocol = "out of fold, " + ("speakers apart" if groups is not None else "speakers not known")
    if any(m.normalisation and m.normalisation.transductive for m in members.values()):
        protocol += f"; {TRANSDUCTIVE}"
    card = {
        "metrics": {
            "protocol": protocol,
            "utterances": len(ids),
            "wa": fused.wa.value,
            "ua": fused.ua.value,
            "f1": fused.f1.value,
            "ece": fused.ece.value,
        },
        "seed": seed,
        "versions": versions(),
    }
    return Ensemble(dict(members), fit_fusion(rule, p, y, groups, seed), card), reports


def _out_of_fold(rule: str, p: np.ndarray, y: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """What a rule gives for rows that it did not learn from [rows, labels]."""
    fusion = fit_fusion(rule, p, y, groups, seed)
    if rule == STACKING:
        return fusion.calibration(cross_fitted(p, y, groups, seed))
    return fusion(p)
