"""Running a recipe: preparations, features, then folds, seeds and variants as parallel tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ser_ray.corpora.splits import Fold, split
from ser_ray.models import family
from ser_ray.models.gmm_fusion import FAMILY as FUSED
from ser_ray.models.learner import placed
from ser_ray.models.normaliser import normalised
from ser_ray.models.training import Trained, epochs_of, fits_of
from ser_ray.pipelines.candidates import Candidate
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.dataset import Dataset
from ser_ray.pipelines.parallel import Epochs, parallel_map
from ser_ray.pipelines.recipes.choice import Choice
from ser_ray.pipelines.recipes.figures import Outcome, outcome_of
from ser_ray.pipelines.recipes.material import Material, materials_of
from ser_ray.pipelines.recipes.models import save_models
from ser_ray.pipelines.recipes.outputs import Measured
from ser_ray.pipelines.recipes.preparation import prepared
from ser_ray.pipelines.recipes.request import (
    RecipeRequest,
    candidate_of,
    checked,
    chosen_rows,
    version_of,
)
from ser_ray.pipelines.recipes.results import Piece, Result, read_results, write_result
from ser_ray.pipelines.request import keep_request
from ser_ray.pipelines.train import learn
from ser_ray.recipes import Recipe, Variant


def run_recipe(
    asked: Recipe,
    request: RecipeRequest,
    manifest: pa.Table,
    store: str,
    out: str,
    progress: Progress = quiet,
    models: bool = False,
    anew: bool = False,
) -> Outcome:
    """Run a recipe, or go on with one that was broken off: fits whose files are there are not made again.

    Args:
        asked: the recipe.
        request: how.
        manifest: the corpus.
        store: feature store; what it lacks is extracted first.
        out: folder of the results.
        progress: told how far it is.
        models: train each variant on all of the corpus too.
        anew: delete what `out` holds first.

    Raises:
        UnknownName, UsageError: a request that does not fit the recipe.
        BadManifest: the corpus lacks an emotion that the recipe wants, or cannot be divided.
        OutputConflict: `out` holds the results of another request.
        RunFailed: the cluster broke off, or a fit failed.
    """
    protocols, variants = checked(request, asked)
    rows = chosen_rows(request, asked, manifest)
    connect()
    keep_request(asdict(request) | {"version": version_of(variants)}, rows, out, "a recipe", anew)
    began = time.monotonic()
    made = prepared(asked, variants, request, rows, store, out, progress)
    candidates = {v.name: candidate_of(v, request, {n: m.place for n, m in made.items()}) for v in variants}
    materials = materials_of(variants, candidates, rows, store, progress)
    folds = {
        (protocol, seed): {
            v.name: split(protocol, materials[v.name].data.rows, seed, request.folds) for v in variants
        }
        for protocol in protocols
        for seed in range(request.seeds)
    }
    pieces = [
        (Piece(protocol, seed, fold.name, name), fold)
        for (protocol, seed), divided in folds.items()
        for name, its in divided.items()
        for fold in its
    ]
    done = read_results([piece for piece, _ in pieces], out)
    todo = [(piece, fold) for piece, fold in pieces if piece not in done]
    inner = {v.name: request.inner_folds if v.name in asked.fused else 0 for v in variants}
    choice = _choice(asked, request, variants, candidates, materials, rows, store, out, progress)
    chosen = {
        piece: choice(piece.protocol, piece.seed, fold)
        for piece, fold in todo
        if choice and asked.variant(piece.variant).select
    }
    _fit(todo, candidates, materials, inner, chosen, out, progress)
    results = read_results([piece for piece, _ in pieces], out)
    places = save_models(variants, candidates, choice, rows, store, out, progress) if models else {}
    measured = Measured(asked, request, variants, candidates, materials, folds, results, made)
    outcome = outcome_of(measured, places, time.monotonic() - began)
    outcome.save(out)
    return outcome


def _choice(
    asked: Recipe,
    request: RecipeRequest,
    variants: Sequence[Variant],
    candidates: Mapping[str, Candidate],
    materials: Mapping[str, Material],
    rows: pa.Table,
    store: str,
    out: str,
    progress: Progress,
) -> Choice | None:
    """How columns are chosen for the variants that want some; None where none does."""
    if not any(variant.select for variant in variants):
        return None
    fused = next(v for v in asked.variants if v.select and v.family == FUSED.name)
    member = candidates.get(fused.name) or candidate_of(fused, request, {})
    known = materials.get(fused.name)
    material = known or materials_of([fused], {fused.name: member}, rows, store, progress)[fused.name]
    return Choice(member, material, fused.select, request.inner_folds, out, progress)


def _fit(
    todo: Sequence[tuple[Piece, Fold]],
    candidates: Mapping[str, Candidate],
    materials: Mapping[str, Material],
    inner: Mapping[str, int],
    chosen: Mapping[Piece, Mapping[str, Any]],
    out: str,
    progress: Progress,
) -> None:
    """Make all fits, the dearest kinds first, and write what they give."""
    kinds = {name: family(candidate.family) for name, candidate in candidates.items()}
    each = {
        name: epochs_of(kinds[name], c.settings) * fits_of(kinds[name], c.settings, inner[name])
        for name, c in candidates.items()
    }
    epochs = Epochs(sum(each[piece.variant] for piece, _ in todo), progress)
    run = _Fits(dict(candidates), dict(materials), dict(inner), dict(chosen), out, epochs.tell)
    todo = sorted(todo, key=lambda item: -each[item[0].variant])
    for _ in parallel_map(run, todo, lambda item: kinds[item[0].variant].deep, epochs.show):
        pass


@dataclass(frozen=True)
class _Fits:
    """What each task does."""

    candidates: Mapping[str, Candidate]
    materials: Mapping[str, Material]
    inner: Mapping[str, int]
    chosen: Mapping[Piece, Mapping[str, Any]]
    out: str
    tell: Callable[..., None]

    def __call__(self, item: tuple[Piece, Fold]) -> None:
        piece, fold = item
        member, data = self.candidates[piece.variant], self.materials[piece.variant].loaded()
        chosen = self.chosen.get(piece, {})
        began = time.monotonic()
        trained = learn(
            family(member.family),
            {**member.settings, **chosen},
            data,
            fold.train,
            member.normalisation,
            piece.seed,
            map,
            self.inner[piece.variant],
            self.tell,
        )
        fitted = time.monotonic()
        X, voices = data.X[fold.test], None if data.voices is None else data.voices[fold.test]
        p = trained.predict_proba(X, voices)
        ended = time.monotonic()
        predicted = fold.train[trained.predicted]
        result = Result(
            tested=data.rows["id"].take(pa.array(fold.test)).to_pylist(),
            p=p.tolist(),
            parts={name: values.tolist() for name, values in _parts(trained, X, voices, data).items()},
            predicted=data.rows["id"].take(pa.array(predicted)).to_pylist(),
            out_of_fold=trained.out_of_fold.tolist(),
            findings=dict(getattr(trained.classifier, "findings_", {})),
            fit_s=fitted - began,
            predict_s=ended - fitted,
            chosen=chosen,
            curve=list(getattr(trained.classifier, "curve", [])),
        )
        write_result(result, piece, self.out)


def _parts(trained: Trained, X: np.ndarray, voices: Any, data: Dataset) -> dict[str, np.ndarray]:
    """Probabilities by the parts of a classifier that has any: those that its `parts(X)` gives."""
    tell = getattr(trained.classifier, "parts", None)
    if tell is None:
        return {}
    said = tell(normalised(trained.normaliser, X, voices))
    return {name: placed(p, trained.classifier.classes_, len(data.labels)) for name, p in said.items()}
