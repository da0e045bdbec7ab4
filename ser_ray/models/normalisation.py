"""The normalisations by name, and how a fitted one is kept with its model.

    cmvn(scope=corpus)       every column less the training mean, over the training deviation
    cmvn(scope=speaker)      each speaker's by their own mean and deviation
    cmvn(scope=utterance)    each frame sequence's by its own
    equalise(scope=speaker)  each speaker's distribution mapped onto that of the training data
    equalise(scope=utterance)  each frame sequence's
    none

MODEL/model.json has every parameter, /normalisation.safetensors the statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import load_file, save
from scipy.stats import rankdata

from ser_ray.errors import BadModel, UsageError
from ser_ray.models.normaliser import Normalisation, Normaliser, Rows, sequences
from ser_ray.parameters import build, parameter

NONE = "none"
FILE = "normalisation.safetensors"
QUANTILES = 512
_RESOLUTION = float(np.finfo(np.float32).eps)  # of a value: a smaller deviation is rounding


@dataclass(frozen=True, kw_only=True)
class Cmvn(Normalisation):
    """Mean and variance of each column brought to 0 and 1 (Viikki and Laurila, 1998).

    A speaker's mean and variance are those of their own utterances and of `prior` of the corpus together.
    A column that does not vary within an utterance or a speaker is divided by the corpus's deviation, and
    one that did not vary in training by 1.
    """

    name: ClassVar[str] = "cmvn"

    def _learn(self, X: Rows) -> dict[str, np.ndarray]:
        parts = sequences(X)  # one by one, so that all frames never lie in memory twice
        frames = sum(len(part) for part in parts)
        mean = np.sum([np.sum(part, axis=0, dtype=np.float64) for part in parts], axis=0) / frames
        variance = np.sum([np.square(part - mean).sum(axis=0) for part in parts], axis=0) / frames
        return {"mean": mean, "variance": np.where(_constant(mean, variance), 0.0, variance)}

    def _valid(self, statistics: Mapping[str, np.ndarray], columns: int) -> bool:
        return (
            statistics.keys() == {"mean", "variance"}
            and all(values.shape == (columns,) for values in statistics.values())
            and bool((statistics["variance"] >= 0).all())
        )

    def _apply(self, statistics: Mapping[str, np.ndarray], frames: np.ndarray, own: float) -> np.ndarray:
        mean, variance = statistics["mean"], statistics["variance"]
        if own:
            own_mean, own_variance = frames.mean(axis=0), frames.var(axis=0)
            between = own * (1 - own) * np.square(own_mean - mean)
            mixed = own * own_variance + (1 - own) * variance + between
            mean = own * own_mean + (1 - own) * mean
            variance = np.where((variance == 0) | _constant(mean, mixed), variance, mixed)
        return np.asarray((frames - mean) / np.sqrt(np.where(variance == 0, 1.0, variance)))


@dataclass(frozen=True, kw_only=True)
class Equalise(Normalisation):
    """Histogram equalisation (de la Torre et al., 2005): ranks mapped onto the training distribution.

    The training distribution of a column is kept as 512 quantiles of all training frames, at
    (i - 0.5) / 512. A value becomes the quantile of its rank among its group's own, ties getting their
    average rank; nothing lies beyond the outer quantiles. A speaker's rank is mixed with the one that the
    value has in the corpus, as if `prior` of the corpus's utterances stood beside the speaker's.
    """

    name: ClassVar[str] = "equalise"

    scope: str = parameter("speaker", choices=("speaker", "utterance"))

    def _learn(self, X: Rows) -> dict[str, np.ndarray]:
        parts = sequences(X)
        reference = np.empty((QUANTILES, parts[0].shape[1]))
        for k in range(reference.shape[1]):  # one by one, so that all frames never lie in memory twice
            values = np.concatenate([part[:, k] for part in parts])
            reference[:, k] = np.quantile(values.astype(np.float64), _midpoints(QUANTILES), method="hazen")
        return {"reference": reference, "levels": _levels(reference)}

    def _valid(self, statistics: Mapping[str, np.ndarray], columns: int) -> bool:
        return (
            statistics.keys() == {"reference", "levels"}
            and statistics["reference"].shape == (QUANTILES, columns)
            and bool((np.diff(statistics["reference"], axis=0) >= 0).all())
            and np.array_equal(statistics["levels"], _levels(statistics["reference"]))
        )

    def _apply(self, statistics: Mapping[str, np.ndarray], frames: np.ndarray, own: float) -> np.ndarray:
        reference, known = statistics["reference"], statistics["levels"]
        levels, at, result = own * _levels(frames), _midpoints(QUANTILES), np.empty_like(frames)
        for k in range(frames.shape[1]):
            level = levels[:, k]
            if own < 1:
                level = level + (1 - own) * np.interp(frames[:, k], reference[:, k], known[:, k])
            result[:, k] = np.interp(level, at, reference[:, k])
        return result


NORMALISATIONS: dict[str, type[Normalisation]] = {kind.name: kind for kind in (Cmvn, Equalise)}


def get(spec: str) -> Normalisation | None:
    """The normalisation that a specification names; None for `none`.

    Raises:
        UnknownName: nothing has that name.
        UsageError: the text is malformed, or a parameter is unknown, of the wrong type or out of range.

    Examples:
        >>> get("cmvn(scope=speaker, prior=8)").spec
        'cmvn(scope=speaker,prior=8.0)'
    """
    return None if spec.strip() == NONE else build(spec, Normalisation.kind, NORMALISATIONS)


def spec_of(normalisation: Normalisation | None) -> str:
    """The text from which `get` makes it again."""
    return normalisation.spec if normalisation else NONE


def write_normaliser(normaliser: Normaliser, folder: Path) -> dict[str, Any]:
    """Write the statistics into a local folder, and return every parameter, for its JSON."""
    content = save({name: np.ascontiguousarray(values) for name, values in normaliser.statistics.items()})
    (folder / FILE).write_bytes(content)  # not save_file, whose errors are not OSError
    return normaliser.specification.to_dict()


def read_normaliser(description: Mapping[str, Any] | None, folder: Path, columns: int) -> Normaliser | None:
    """The normaliser of a model directory; no code in it is executed.

    Args:
        description: what `write_normaliser` returned; None: the model has none.
        folder: where the statistics are.
        columns: of the model's features.

    Raises:
        BadModel: description and statistics do not belong together.
        Exception: whatever a corrupt description or file makes its parser raise.
    """
    if description is None:
        if (folder / FILE).exists():
            raise BadModel(
                f"{folder} holds a normalisation that its model.json lacks. Train the model again."
            )
        return None
    parameters = dict(description)
    try:
        chosen = NORMALISATIONS[parameters.pop("name")](**parameters)
    except UsageError as error:
        raise BadModel(f"the model.json in {folder} is corrupt: {error} Train the model again.") from error
    statistics = load_file(folder / FILE)
    if not chosen.valid(statistics, columns):
        raise BadModel(f"{folder / FILE} is not the normalisation of its model.json. Train the model again.")
    return Normaliser(chosen, statistics)


def _constant(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.asarray(variance <= np.square(_RESOLUTION * mean))


def _midpoints(n: int) -> np.ndarray:
    return (np.arange(n) + 0.5) / n


def _levels(values: np.ndarray) -> np.ndarray:
    """Share of the values below each one [n, columns], half of it itself counted in, ties alike."""
    return np.asarray((rankdata(values, axis=0) - 0.5) / len(values))
