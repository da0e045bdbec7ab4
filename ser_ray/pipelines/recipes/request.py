"""What is asked of a recipe, and what its variants are then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ser_ray import features
from ser_ray.corpora.manifest import labelled, originals
from ser_ray.corpora.splits import check_protocol
from ser_ray.errors import BadManifest, UnknownName, UsageError
from ser_ray.features import Feature
from ser_ray.models import family
from ser_ray.models import normalisation as normalisations
from ser_ray.models.family import like
from ser_ray.models.model import check_features, check_source
from ser_ray.models.pretraining.pretrainer import pretrain_options
from ser_ray.models.space import FEATURE
from ser_ray.pipelines.candidates import Candidate
from ser_ray.pipelines.dataset import chosen_features
from ser_ray.recipes import RECIPES, Preparation, Recipe, Variant

EVERY = "all"  # emotions of the corpus, whatever the paper used


@dataclass(frozen=True)
class RecipeRequest:
    """What is asked of a recipe.

    Attributes:
        recipe: its name.
        protocols: in place of its own.
        folds: for protocols that divide into a number of parts.
        seeds: of folds and models: 0, 1, and so on, so many.
        variants: only these; all of them where none is named.
        settings: hyperparameters in place of the variants' own: `NAME` for all that have it, or
            `VARIANT.NAME` for one; parameters of features as `feature.NAME`, of what is learned before as
            `PREPARATION.NAME`.
        emotions: only these; `all` of the corpus; none: those that the paper used.
        inner_folds: of the variants that are fused, to calibrate and fuse by.
        sounds: manifest of sound events, for recipes that learn from them first; synthetic ones without.
        speech: manifest of speech without labels, likewise; the corpus itself without.
        checkpoint: of wav2vec, in place of one that is pre-trained on `speech`.
        encoder: of transformers, for variants that have one.
    """

    recipe: str
    protocols: Sequence[str] = ()
    folds: int = 5
    seeds: int = 1
    variants: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    emotions: Sequence[str] = ()
    inner_folds: int = 2
    sounds: str | None = None
    speech: str | None = None
    checkpoint: str | None = None
    encoder: str | None = None


def checked(request: RecipeRequest, asked: Recipe) -> tuple[tuple[str, ...], tuple[Variant, ...]]:
    """The protocols and the variants that a request is about.

    Raises:
        UnknownName: a protocol or a variant that does not exist.
        UsageError: a setting that no variant has; fewer inner folds than the fusion needs.
    """
    protocols = tuple(request.protocols) or asked.protocols
    for protocol in protocols:
        check_protocol(protocol)
    known = {variant.name: variant for variant in asked.variants}
    for name in request.variants:
        if name not in known:
            raise UnknownName("variant", name, known)
    chosen = tuple(known[name] for name in request.variants or known)
    for preparation in asked.preparations:
        if preparation.makes == "given" and getattr(request, preparation.source) is None:
            lacking = [variant.name for variant in chosen if preparation.serves(variant)]
            if lacking and request.variants:
                raise UsageError(f"{lacking[0]} wants {preparation.what}: name it by --{preparation.source}.")
            chosen = tuple(variant for variant in chosen if variant.name not in lacking)
    before = {each.name: own_settings(each.name, request.settings) for each in asked.preparations}
    for preparation in asked.preparations:
        _check_preparation(preparation, before[preparation.name])
    for name in request.settings:
        if name.partition(".")[0] not in before and not any(
            name in _given(variant, request.settings, names=True) for variant in asked.variants
        ):
            raise UsageError(
                f"no variant of {asked.name} has a setting {name!r}; see ser-ray train --list. "
                f"Variants: {', '.join(known)}."
            )
    for variant in chosen:
        given = _given(variant, request.settings)
        family(variant.family).settings({n: v for n, v in given.items() if not n.startswith(FEATURE)})
    if asked.fused and request.inner_folds < 1:
        raise UsageError(f"{asked.name} fuses by inner folds: ask for 1 or more.")
    return protocols, chosen


def own_settings(owner: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of settings named `OWNER.NAME` those of one owner, by NAME."""
    start = f"{owner}."
    return {name.removeprefix(start): value for name, value in settings.items() if name.startswith(start)}


def _check_preparation(preparation: Preparation, given: Mapping[str, Any]) -> None:
    if preparation.makes == "model":
        family(preparation.family).settings(given)
    elif preparation.makes == "checkpoint":
        pretrain_options({**preparation.settings, **given})
    elif given:
        raise UsageError(f"{preparation.name} is given, and has no setting {next(iter(given))!r}.")


def chosen_rows(request: RecipeRequest, asked: Recipe, manifest: pa.Table) -> pa.Table:
    """The recordings that a recipe is run on: labelled, no copies, of the emotions that are wanted.

    Raises:
        BadManifest: of the wanted emotions fewer than two are there.
    """
    rows = labelled(manifest.take(pa.array(originals(manifest))), "a recipe")
    wanted = tuple(request.emotions)
    if not wanted:
        corpora = set(rows["corpus"].to_pylist())
        wanted = asked.emotions.get(next(iter(corpora)) or "", ()) if len(corpora) == 1 else ()
    if not wanted or wanted == (EVERY,):
        return rows
    there = set(rows["emotion"].to_pylist())
    if lacking := sorted(set(wanted) - there):
        raise BadManifest(
            f"the corpus has no {', '.join(lacking)}; {asked.name} wants {', '.join(wanted)}. Name others by "
            f"--emotions, or take all: --emotions {EVERY}."
        )
    return rows.filter(pc.is_in(rows["emotion"], value_set=pa.array(wanted)))


def candidate_of(variant: Variant, request: RecipeRequest, made: Mapping[str, str]) -> Candidate:
    """What is trained for a variant.

    Args:
        variant: which.
        request: with settings that count more than the variant's own.
        made: what the preparations of the recipe made, by their names.
    """
    own = {name: _filled(value, made) for name, value in variant.settings.items()}
    chosen = chosen_features(variant.family, [_filled(spec, made) for spec in variant.features])
    given = _given(variant, request.settings)
    of_features = {n.removeprefix(FEATURE): given.pop(n) for n in list(given) if n.startswith(FEATURE)}
    kind, normalisation = family(variant.family), normalisations.get(variant.normalise)
    settings = kind.settings({**own, **given})
    chosen = check_features(kind.name, tuple(_changed(feature, of_features) for feature in chosen))
    check_source(kind, settings, chosen, normalisation)
    return Candidate(kind.name, settings, chosen, normalisation)


def version_of(variants: Sequence[Variant]) -> str:
    """Other for variants that are declared otherwise, or whose features have changed since."""
    told = [
        [asdict(v), {**family(v.family).defaults}, [f.fingerprint for f in map(features.get, _specs(v))]]
        for v in variants
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _specs(variant: Variant) -> list[str]:
    """The features of a variant, those left out that need what is not made yet."""
    return [spec for spec in variant.features or family(variant.family).features if "{" not in spec]


def _changed(feature: Feature, parameters: Mapping[str, Any]) -> Feature:
    """A feature with other parameters, those that it has."""
    own = {n: like(getattr(feature, n), v, FEATURE + n) for n, v in parameters.items() if hasattr(feature, n)}
    return feature.changed(**own) if own else feature


def _given(variant: Variant, settings: Mapping[str, Any], names: bool = False) -> dict[str, Any]:
    """Of the given settings those for a variant; with `names` by the names under which they were given."""
    known = {*family(variant.family).defaults}
    known |= {FEATURE + f.name for spec in _specs(variant) for f in fields(features.get(spec))}
    mine = {name: name for name in settings if name in known}
    mine |= {name: f"{variant.name}.{name}" for name in own_settings(variant.name, settings) if name in known}
    return {given if names else name: settings[given] for name, given in mine.items()}


def _filled(value: Any, made: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    for name, place in made.items():
        value = value.replace("{" + name + "}", place)
    return value


def recipe_names() -> Mapping[str, str]:
    """What `ser-ray recipe --list` tells: names, and what each is and needs."""
    return {
        f"{name}({', '.join(variant.name for variant in each.variants)})": f"{each.title}. {each.source}"
        + (f". Needs {each.needs}" if each.needs else "")
        for name, each in RECIPES.items()
    }
