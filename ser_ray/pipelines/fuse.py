"""Fusing trained models into an ensemble, by what they predicted out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ser_ray import storage
from ser_ray.corpora.labels import VALENCE, group_labels
from ser_ray.errors import UsageError
from ser_ray.evaluation import Report, cross_selected, measure, selection_for, selections
from ser_ray.fusion import RULES, STACKING, Ensemble, check_rule, fit_fusion, out_of_fold
from ser_ray.fusion.ensemble import aligned
from ser_ray.fusion.fusion import AUTO
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
    members: Mapping[str, Model],
    rule: str = "paper",
    seed: int = 0,
    calibration: str = AUTO,
    precision: float | None = None,
    groups: str = VALENCE,
) -> tuple[Ensemble, dict[str, Report]]:
    """An ensemble of `members` by `rule`, and the out-of-fold report of each member and each rule.

    Args:
        members: trained models by name.
        rule: one of the rules, or `stacking`.
        seed: of the folds inside.
        calibration: `temperature`, `isotonic`, or `auto`: what does better on held-out speakers.
        precision: share of the certain segments that is to be right; None: all segments are certain.
        groups: what labels count as; see `corpora.labels.group_labels`.

    Raises:
        UnknownName: no such rule.
        UsageError: the members differ in labels or band, or share no utterance; the groups are not groups of
            their labels; no confidence gives the precision.
    """
    check_rule(rule)
    p, y, speakers, _ = aligned(members)
    labels = next(iter(members.values())).labels
    grouping = {} if groups == VALENCE else group_labels(labels, groups)
    fusions = {r: fit_fusion(r, p, y, speakers, seed, calibration=calibration) for r in (*RULES, STACKING)}
    honest = {r: out_of_fold(fusion, p, y, speakers, seed) for r, fusion in fusions.items()}
    reports = {name: measure(y, p[k], labels, speakers) for k, name in enumerate(members)}
    reports |= {f"rule:{r}": measure(y, fused, labels, speakers) for r, fused in honest.items()}
    card = {
        "metrics": _metrics(members, reports[f"rule:{rule}"], speakers is not None),
        "selections": [asdict(one) for one in selections(y, honest[rule], speakers)],
        "seed": seed,
        "versions": versions(),
    }
    certain_from = None
    if precision:
        chosen = selection_for(precision, y, honest[rule], speakers)
        unseen = cross_selected(precision, y, honest[rule], speakers, seed)
        card["certain"] = {"wanted": precision, "chosen": asdict(chosen), "unseen": asdict(unseen)}
        certain_from = chosen.certain_from
    return Ensemble(dict(members), fusions[rule], card, grouping, certain_from), reports


def _metrics(members: Mapping[str, Model], fused: Report, apart: bool) -> dict[str, Any]:
    protocol = "out of fold, " + ("speakers apart" if apart else "speakers not known")
    if any(m.normalisation and m.normalisation.transductive for m in members.values()):
        protocol += f"; {TRANSDUCTIVE}"
    figures = {name: getattr(fused, name).value for name in ("wa", "ua", "f1", "ece")}
    return {"protocol": protocol, "utterances": sum(fused.n), **figures}
