"""Diagonal Gaussian mixtures, one for each class: how they are learned, and how likely they find utterances.

Learned by scikit-learn's expectation maximisation, then kept as plain arrays: all components of all classes
share one matrix, so that scoring is one product over the frames of all utterances. Every column is brought
to mean 0 and variance 1 first, so that one floor of the variance suits all.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ser_ray.errors import UsageError
from ser_ray.models.normaliser import are_vectors

FEWEST = 8  # frames a component; a class with fewer frames than that has fewer components
BEGIN_WITH = 4000  # frames of a class that k-means and the first steps work on
STEPS = 30  # of expectation maximisation at most, with these frames and then with all
TOGETHER = 16384  # frames whose exponents lie in memory at once


@dataclass(frozen=True)
class MixtureOptions:
    """How mixtures are learned.

    Attributes:
        components: of each class's mixture.
        floor: added to every variance, as a share of the column's.
        frames: of each class that are learned from at most, drawn by the seed.
        seed: of the draw, and of where the components begin.
        columns: numbers of the feature's columns that are read; none: all.

    Raises:
        UsageError: there is nothing to be learned so.
    """

    components: int = 32
    floor: float = 1e-3
    frames: int = 10_000
    seed: int = 0
    columns: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.components < 1 or self.frames < 1 or self.floor <= 0:
            given = f"{self.components} components, {self.frames} frames and the floor {self.floor:g}"
            raise UsageError(f"{given} will not do for a mixture. Set all of them above 0.")


@dataclass(frozen=True)
class Mixtures:
    """A mixture for each class.

    Attributes:
        mean: of each column of the features [width].
        scale: deviation of each, 1 where it is 0 [width].
        columns: those of them that are read, ascending [columns].
        weights: [classes, components]; 0 where a class has fewer components.
        means: of the standardised columns [classes, components, columns].
        precisions: their inverse variances [classes, components, columns].
        spread: deviation of the training utterances' scores from class to class [1].
    """

    mean: np.ndarray
    scale: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    precisions: np.ndarray
    spread: np.ndarray

    def log_likelihood(self, frames: np.ndarray) -> np.ndarray:
        """Natural logarithm of each class's density [frames, classes] at frames [frames, width]."""
        Z = self._standardised(frames)
        with np.errstate(divide="ignore"):  # of components that a class does not have
            constant = np.log(self.weights) + 0.5 * np.log(self.precisions / (2 * np.pi)).sum(axis=-1)
        constant = constant - 0.5 * (self.means**2 * self.precisions).sum(axis=-1)
        square = -0.5 * self.precisions.reshape(-1, len(self.columns)).T
        linear = (self.means * self.precisions).reshape(-1, len(self.columns)).T
        found = np.empty((len(Z), len(self.weights)))
        for first in range(0, len(Z), TOGETHER):
            part = Z[first : first + TOGETHER]
            exponent = part**2 @ square + part @ linear + constant.ravel()
            found[first : first + TOGETHER] = _log_sum(exponent.reshape(len(part), *self.weights.shape))
        return found

    def utterance_scores(self, X: np.ndarray) -> np.ndarray:
        """Mean log likelihood of the frames of each utterance [rows, classes].

        Args:
            X: an object array [rows] of frame sequences [frames, width]; or vectors [rows, width], each of
                which is one frame.
        """
        if not len(X):
            return np.zeros((0, len(self.weights)))
        frames, lengths = flattened(X)
        starts = np.cumsum(lengths) - lengths
        sums = np.add.reduceat(self.log_likelihood(frames), starts, axis=0)
        return np.asarray(sums / lengths[:, None])

    def scores(self, X: np.ndarray) -> np.ndarray:
        """`utterance_scores` over their spread, so that scores of unlike features are of one size."""
        return np.asarray(self.utterance_scores(X) / self.spread)

    def tensors(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {name: np.ascontiguousarray(array) for name, array in vars(self).items()}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], classes: int) -> Self:
        """What gave these `tensors`.

        Raises:
            ValueError: they are no mixtures of so many classes.
        """
        names = cls.__dataclass_fields__.keys()
        if tensors.keys() != names or not cls(**tensors)._valid(classes):
            raise ValueError(f"the arrays are not those of Gaussian mixtures of {classes} classes")
        return cls(**tensors)

    def _valid(self, classes: int) -> bool:
        if self.columns.ndim != 1 or self.weights.ndim != 2 or self.columns.dtype != np.int64:
            return False
        width, shape = self.mean.shape, (*self.weights.shape, len(self.columns))
        others = (self.mean, self.scale, self.weights, self.means, self.precisions, self.spread)
        return bool(
            len(width) == 1
            and self.scale.shape == width
            and self.means.shape == self.precisions.shape == shape
            and self.spread.shape == (1,)
            and len(self.weights) == classes
            and all(a.dtype == np.float64 and a.size and np.isfinite(a).all() for a in others)
            and all((a > 0).all() for a in (self.scale, self.precisions, self.spread))
            and (self.weights >= 0).all()
            and np.allclose(self.weights.sum(axis=1), 1.0)
            and self.columns[0] >= 0
            and self.columns[-1] < len(self.mean)
            and (np.diff(self.columns) > 0).all()
        )

    def _standardised(self, frames: np.ndarray) -> np.ndarray:
        chosen = self.columns
        if frames.ndim != 2 or frames.shape[1] != len(self.mean):
            raise UsageError(f"the mixtures know {len(self.mean)} columns; these are {frames.shape[1:]}.")
        return np.asarray((frames[:, chosen] - self.mean[chosen]) / self.scale[chosen])


def fit_mixtures(X: np.ndarray, y: np.ndarray, options: MixtureOptions) -> Mixtures:
    """Learn a mixture of each class.

    Args:
        X: an object array [rows] of frame sequences [frames, width], or vectors [rows, width].
        y: class of each row, all of 0, 1, ... [rows].
        options: how.

    Raises:
        UsageError: X is of neither kind, or has no such column.
    """
    rng = np.random.default_rng(options.seed)
    drawn = [_drawn(X[y == k], options.frames, rng) for k in range(int(y.max()) + 1)]
    frames = np.concatenate(drawn)
    chosen = np.array(sorted(options.columns) or range(frames.shape[1]), dtype=np.int64)
    if chosen[-1] >= frames.shape[1]:
        raise UsageError(f"there is no column {chosen[-1]}: the feature has {frames.shape[1]}, from 0 on.")
    mean, deviation = frames.mean(axis=0, dtype=np.float64), frames.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)  # less is rounding
    machines = [_fitted((part[:, chosen] - mean[chosen]) / scale[chosen], options, rng) for part in drawn]
    weights, means, precisions = _side_by_side(machines)
    unscaled = Mixtures(mean, scale, chosen, weights, means, precisions, spread=np.ones(1))
    found = unscaled.utterance_scores(X)
    spread = float((found - found.mean(axis=1, keepdims=True)).std())
    return replace(unscaled, spread=np.array([spread or 1.0]))


def flattened(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames of all utterances one after the other [frames, width], and how many each has [rows].

    Raises:
        UsageError: X is neither an object array of frame sequences nor vectors [rows, width].
    """
    if are_vectors(X):
        return X, np.ones(len(X), dtype=np.int64)
    if any(not isinstance(sequence, np.ndarray) or sequence.ndim != 2 for sequence in X):
        raise UsageError("Gaussian mixtures read vectors, or the frames of one feature. Leave others out.")
    return np.concatenate(list(X)), np.array([len(sequence) for sequence in X])


def _drawn(X: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many frames of some utterances, in their order."""
    frames, _ = flattened(X)
    if len(frames) <= most:
        return frames
    return frames[np.sort(rng.choice(len(frames), most, replace=False))]


def _fitted(Z: np.ndarray, options: MixtureOptions, rng: np.random.Generator) -> GaussianMixture:
    """The mixture of frames [frames, columns]; few of them are fitted first, which is quicker."""
    Z = np.repeat(Z, 2, axis=0) if len(Z) == 1 else Z  # scikit-learn wants two
    mixture = GaussianMixture(
        min(options.components, max(1, len(Z) // FEWEST)),
        covariance_type="diag",
        reg_covar=options.floor,
        max_iter=STEPS,
        warm_start=True,
        random_state=options.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of steps used up, and of frames all alike
        if len(Z) > BEGIN_WITH:
            mixture.fit(Z[rng.choice(len(Z), BEGIN_WITH, replace=False)].astype(np.float32))
        return mixture.fit(Z.astype(np.float32))  # as exact as needed, and twice as quick


def _side_by_side(machines: Sequence[GaussianMixture]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and precisions of several mixtures, those with fewer components filled up."""
    shape = (len(machines), max(len(m.weights_) for m in machines))
    weights, columns = np.zeros(shape), machines[0].means_.shape[1]
    means, precisions = np.zeros((*shape, columns)), np.ones((*shape, columns))
    for k, machine in enumerate(machines):
        own = slice(len(machine.weights_))
        weights[k, own] = machine.weights_
        means[k, own], precisions[k, own] = machine.means_, 1.0 / machine.covariances_
    return weights / weights.sum(axis=1, keepdims=True), means, precisions


def _log_sum(exponents: np.ndarray) -> np.ndarray:
    """Logarithm of the sum of exponentials over the last axis."""
    most = exponents.max(axis=-1)
    return np.asarray(most + np.log(np.exp(exponents - most[..., None]).sum(axis=-1)))
