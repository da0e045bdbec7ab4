"""Which pitch statistics serve the fused recogniser of system 9: sequential forward selection on the cluster.

Each candidate is worth the UA of cepstrum and candidate fused, on utterances of the training rows that the
mixtures of an inner fold did not learn from. The cepstrum's scores are the same for all candidates, and are
computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ser_ray.corpora.splits import Fold
from ser_ray.models.gmm_fusion import (
    FAMILY,
    GRID,
    best_weight,
    given_weight,
    held_out_scores,
    mixture_options,
    sources_of,
)
from ser_ray.models.learner import Learner, sources_within
from ser_ray.models.mixtures import MixtureOptions
from ser_ray.models.selection import Step, forward_selection
from ser_ray.models.training import INNER_FOLDS, Mapper
from ser_ray.pipelines.cluster import Progress, quiet
from ser_ray.pipelines.dataset import Dataset
from ser_ray.pipelines.parallel import parallel_map

WANTED = 15  # of 56, as in the paper
TOGETHER = 4  # candidates a task, which takes about half a second


def select_columns(
    data: Dataset,
    rows: np.ndarray,
    settings: Mapping[str, Any] | None = None,
    wanted: int = WANTED,
    inner_folds: int = INNER_FOLDS,
    seed: int = 0,
    progress: Progress = quiet,
    mapper: Mapper = parallel_map,
) -> list[Step]:
    """Choose pitch statistics one after the other.

    Args:
        data: utterances with the features of `gmm_fusion`.
        rows: the training rows, which alone are looked at.
        settings: of `gmm_fusion` in place of the defaults; `columns` says nothing here. With `weight=auto`
            a candidate is worth its UA with the weight that serves it best.
        wanted: how many columns are chosen.
        inner_folds: of the training rows, speakers apart where known.
        seed: of folds and mixtures.
        progress: told how many candidates of all have been tried.
        mapper: like `map`; the parallel one makes a Ray task of a few candidates.

    Returns:
        One step for each column chosen, with the UA of all so far; `models.selection.columns_text` of the
        last one's columns is the setting `columns`.

    Raises:
        UsageError: a setting that will not do, or more columns wanted than there are.
        BadManifest: a class has a single row.
    """
    full = {**FAMILY.settings(settings or {}), "columns": ""}
    weight = given_weight(full["weight"])
    framewise, vectorwise = mixture_options(full, seed)
    cepstra, statistics = sources_of(data.X[rows])
    numbers = np.unique(data.y[rows], return_inverse=True)[1]
    divided = _divided(data, rows, full, inner_folds, seed)
    heard = sum(mapper(_HeldOut(cepstra, numbers, framewise), divided.folds))
    weights = GRID if weight is None else np.array([weight])
    worth = _Worth(_HeldOut(statistics, numbers, vectorwise), divided, np.asarray(heard), weights)
    number, done = statistics.shape[1], 0

    def score(offered: Sequence[tuple[int, ...]]) -> list[float]:
        nonlocal done
        parts = [offered[first : first + TOGETHER] for first in range(0, len(offered), TOGETHER)]
        found = [ua for part in mapper(worth, parts) for ua in part]
        done += len(offered)
        progress(done, sum(range(number - wanted + 1, number + 1)), "candidates")
        return found

    return forward_selection(number, wanted, score)


class _Divided(NamedTuple):
    """Inner folds of training rows, and those of them that are no copies, each of which one fold tests."""

    folds: list[Fold]
    own: np.ndarray


@dataclass(frozen=True)
class _HeldOut:
    """What mixtures over one source say of rows that they did not learn from; see `held_out_scores`."""

    X: np.ndarray
    numbers: np.ndarray
    options: MixtureOptions

    def __call__(self, *folds: Fold) -> np.ndarray:
        return held_out_scores(self.X, self.numbers, folds, self.options)


@dataclass(frozen=True)
class _Worth:
    """The UA of each of some sets of pitch statistics, fused with the cepstrum's scores `heard`."""

    statistics: _HeldOut
    divided: _Divided
    heard: np.ndarray
    weights: np.ndarray

    def __call__(self, offered: Sequence[tuple[int, ...]]) -> list[float]:
        folds, own = self.divided
        found = []
        for columns in offered:
            options = replace(self.statistics.options, columns=columns)
            pitch = replace(self.statistics, options=options)(*folds)
            numbers = self.statistics.numbers[own]
            found.append(best_weight(self.heard[own], pitch[own], numbers, self.weights)[1])
        return found


def _divided(
    data: Dataset, rows: np.ndarray, settings: Mapping[str, Any], inner_folds: int, seed: int
) -> _Divided:
    speakers, sources = data.speakers, sources_within(data.sources, rows)
    groups = None if speakers is None else speakers[rows]
    learner = Learner(
        FAMILY, settings, data.X[rows], data.y[rows], groups, len(data.labels), seed, sources=sources
    )
    return _Divided(learner.folds(inner_folds), learner.own)
