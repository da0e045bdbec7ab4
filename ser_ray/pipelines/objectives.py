"""What a search raises: the mean UA of a family, or of a fusion, over folds that keep speakers apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from ser_ray.corpora.splits import grouped_folds
from ser_ray.evaluation import unweighted_accuracy
from ser_ray.features import Feature
from ser_ray.features.store import keys_of
from ser_ray.fusion import fit_fusion
from ser_ray.models import family
from ser_ray.models.learner import Learner, sources_within
from ser_ray.models.normaliser import Normalisation
from ser_ray.models.space import FEATURE, Settings
from ser_ray.pipelines.cluster import put
from ser_ray.pipelines.dataset import Utterances, loaded
from ser_ray.pipelines.trials import Tried

MEMBER = "member."  # what the names of a fusion's members begin with
Key = tuple[tuple[str, Any], ...]  # values of the features' parameters, by name
Loaded = dict[Any, ray.ObjectRef]  # features of utterances that are in the object store


def split_settings(settings: Mapping[str, Any]) -> tuple[Settings, Settings]:
    """A family's own settings, and the parameters of its features."""
    own = {k: v for k, v in settings.items() if not k.startswith(FEATURE)}
    return own, {k.removeprefix(FEATURE): v for k, v in settings.items() if k.startswith(FEATURE)}


@dataclass(frozen=True)
class Variants:
    """Utterances with their features, one set of them for each combination of the parameters searched.

    Attributes:
        data: what the utterances are.
        features: of each combination.
        X: the features of each, in the object store, once for all trials.
    """

    data: Utterances
    features: Mapping[Key, tuple[Feature, ...]]
    X: Mapping[Key, ray.ObjectRef]

    @classmethod
    def loaded(
        cls, data: Utterances, store: str, variants: Mapping[Key, tuple[Feature, ...]], known: Loaded
    ) -> Variants:
        """All of them, read from the store unless `known` has them, which takes in what is new."""
        keys = keys_of(data.rows)
        X = {}
        for key, chosen in variants.items():
            place = (tuple(feature.fingerprint for feature in chosen), tuple(keys))
            if place not in known:
                known[place] = put(loaded(data, store, chosen).X)
            X[key] = known[place]
        return cls(data, variants, X)

    def of(self, settings: Mapping[str, Any]) -> np.ndarray:
        """The features that settings ask for, of all utterances."""
        X: np.ndarray = ray.get(self.X[key_of(settings)])
        return X


def key_of(settings: Mapping[str, Any]) -> Key:
    """The parameters of features among settings."""
    return tuple(sorted(split_settings(settings)[1].items()))


@dataclass(frozen=True)
class FamilyObjective:
    """UA of a family on each inner fold of some rows.

    Attributes:
        family: its name.
        fixed: settings that are not searched, of the features too.
        variants: the utterances.
        rows: which of them may be seen at all.
        inner_folds: how many.
        seed: of folds and models.
        normalisation: fitted in each fold.
    """

    family: str
    fixed: Mapping[str, Any]
    variants: Variants
    rows: np.ndarray
    inner_folds: int
    seed: int
    normalisation: Normalisation | None = None

    def __call__(self, settings: Settings, shares: Sequence[float], state: Any = None) -> Iterator[Tried]:
        """Train on all folds side by side, share by share."""
        learner = self.learner(settings)
        folds = learner.folds(self.inner_folds)
        states = [None] * len(folds) if state is None else [_revived(one) for one in state]
        growths = [learner.grow(fold, shares, one) for fold, one in zip(folds, states, strict=True)]
        for stops in zip(*growths, strict=True):
            scores = [
                unweighted_accuracy(learner.y[f.test], p) for f, (p, _) in zip(folds, stops, strict=True)
            ]
            yield Tried(scores, [vars(reached) for _, reached in stops if reached is not None] or None)

    def learner(self, settings: Mapping[str, Any]) -> Learner:
        """What trains with these settings."""
        full = {**self.fixed, **settings}
        kind, data = family(self.family), self.variants.data
        return Learner(
            kind,
            kind.knowing(kind.settings(split_settings(full)[0]), data.labels),
            self.variants.of(full)[self.rows],
            data.y[self.rows],
            None if data.speakers is None else data.speakers[self.rows],
            len(data.labels),
            self.seed,
            self.normalisation,
            sources_within(data.sources, self.rows),
            None if data.voices is None else data.voices[self.rows],
        )


@dataclass(frozen=True)
class FusionObjective:
    """UA of a fusion of members, fitted and tried on folds of their out-of-fold predictions.

    Attributes:
        members: names.
        p: their out-of-fold probabilities [members, rows, labels].
        y: true labels [rows].
        groups: speaker of each row [rows], or None.
        folds: how many.
        seed: of the folds.
        fixed: settings that are not searched.
    """

    members: Sequence[str]
    p: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None
    folds: int
    seed: int
    fixed: Mapping[str, Any]

    def __call__(self, settings: Settings, shares: Sequence[float], state: Any = None) -> Iterator[Tried]:
        """Fit on each fold's training rows, and try on the others; chance where no member is left."""
        full = {**self.fixed, **settings}
        chosen = chosen_members(self.members, full)
        scores = []
        for fold in grouped_folds(self.y, self.groups, self.folds, self.seed):
            if not chosen:
                scores.append(1 / self.p.shape[2])
                continue
            fusion = fit_fusion(
                full["rule"],
                self.p[chosen][:, fold.train],
                self.y[fold.train],
                None if self.groups is None else self.groups[fold.train],
                self.seed,
                full["temperature"],
            )
            scores.append(unweighted_accuracy(self.y[fold.test], fusion(self.p[chosen][:, fold.test])))
        yield Tried(scores)


def chosen_members(members: Sequence[str], settings: Mapping[str, Any]) -> list[int]:
    """Numbers of the members that settings take in."""
    return [number for number, name in enumerate(members) if settings[MEMBER + name]]


def _revived(state: Mapping[str, Any]) -> Any:
    from ser_ray.models.networks.loop import LoopState

    return LoopState(**state)
