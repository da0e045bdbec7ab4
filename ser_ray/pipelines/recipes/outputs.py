"""What the fits of a recipe said of the test utterances, and what fusion makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ser_ray.corpora.splits import Fold
from ser_ray.errors import BadStore
from ser_ray.evaluation import unweighted_accuracy
from ser_ray.fusion import RULES, STACKING, fit_fusion
from ser_ray.pipelines.candidates import Candidate
from ser_ray.pipelines.dataset import Utterances
from ser_ray.pipelines.evaluate import Tested, common_rows, fusable, out_of_fold_of, outputs_of
from ser_ray.pipelines.recipes.material import Material
from ser_ray.pipelines.recipes.preparation import Made
from ser_ray.pipelines.recipes.request import RecipeRequest
from ser_ray.pipelines.recipes.results import Piece, Result
from ser_ray.recipes import Recipe, Variant
from ser_ray.recipes.recipe import PART, RULE

BEST = 3  # members that the fusion of the best takes


@dataclass(frozen=True)
class Measured:
    """All that the figures are made of: what was asked, what was fitted, and what that gave."""

    asked: Recipe
    request: RecipeRequest
    variants: Sequence[Variant]
    candidates: Mapping[str, Candidate]
    materials: Mapping[str, Material]
    folds: Mapping[tuple[str, int], Mapping[str, Sequence[Fold]]]
    results: Mapping[Piece, Result]
    made: Mapping[str, Made]

    @cached_property
    def recorded(self) -> Utterances:
        """The recordings, the same for all variants."""
        return next(iter(self.materials.values())).data.recorded

    @cached_property
    def place(self) -> dict[str, int]:
        """Row number of each recording by its id."""
        return {i: row for row, i in enumerate(self.recorded.rows["id"].to_pylist())}

    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """Row numbers of recordings."""
        return np.array([self.place[i] for i in ids], dtype=int)


def outputs_by_row(measured: Measured, protocol: str, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Test rows of one seed, folds one after the other, and each row's probabilities of them.

    Where some fold's out-of-fold predictions hold too little of an emotion, nothing is fused.
    """
    folds = [fold.name for fold in next(iter(measured.folds[protocol, seed].values()))]
    outputs: dict[str, list[np.ndarray]] = {}
    tested: list[np.ndarray] = []
    members = [v.name for v in measured.variants if v.name in measured.asked.fused]
    for fold in folds:
        results = {v.name: measured.results[Piece(protocol, seed, fold, v.name)] for v in measured.variants}
        ids = next(iter(results.values())).tested
        if any(result.tested != ids for result in results.values()):
            raise BadStore("results of one fold tell of different utterances. Start anew: --overwrite.")
        rows = measured.rows_of(ids)
        tested.append(rows)
        for name, result in results.items():
            for part, p in result.outputs.items():
                outputs.setdefault(name + PART * bool(part) + part, []).append(p)
        if len(members) > 1:
            fused = _fused(measured, {name: results[name] for name in members}, fold, rows, seed)
            for name, p in fused.items():
                outputs.setdefault(name, []).append(p)
    whole = {name: parts for name, parts in outputs.items() if len(parts) == len(folds)}
    return np.concatenate(tested), {name: np.concatenate(parts) for name, parts in whole.items()}


def _fused(
    measured: Measured, members: Mapping[str, Result], fold: str, rows: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """What each fusion rule gives for the test rows of one fold; of many members, of the best few too."""
    data = measured.recorded
    results = {(fold, name): _tested(measured, result) for name, result in members.items()}
    names, common = list(members), common_rows(list(results.values()))
    if not fusable(data, common):
        return {}
    divided = [Fold(fold, np.setdiff1d(np.arange(len(data.y)), rows), rows)]
    found = outputs_of(divided, names, results, data, seed)
    fused = {name: p for name, p in found.items() if name.startswith(RULE)}
    if len(names) > BEST:
        inner = out_of_fold_of(list(results.values()), common)
        ranked = sorted(range(len(names)), key=lambda k: -unweighted_accuracy(data.y[common], inner[k]))
        best = sorted(ranked[:BEST])
        groups = None if data.speakers is None else data.speakers[common]
        outer = np.stack([results[fold, names[k]].tested for k in best])
        for rule in (*RULES, STACKING):
            fusion = fit_fusion(rule, inner[best], data.y[common], groups, seed)
            fused[f"{RULE}{rule} of the best {BEST}"] = fusion(outer)
    return fused


def _tested(measured: Measured, result: Result) -> Tested:
    predicted = measured.rows_of(result.predicted)
    inner = np.array(result.out_of_fold).reshape(len(predicted), -1)
    return Tested(predicted, inner, np.array(result.p))
