"""What a model learned from, in a few numbers: where each column of its features lay for each label.

MODEL/profile.safetensors    means [labels, columns], deviations [columns]

A night's calls are held against it; see `pipelines.drift`. The features are those before normalisation; of
frames and images an utterance counts by its mean over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors.numpy import load_file, save

from ser_ray.errors import BadModel

FILE = "profile.safetensors"


@dataclass(frozen=True)
class Profile:
    """Statistics of the training utterances, the columns of all features side by side.

    Attributes:
        means: of the utterances of each label [labels, columns].
        deviations: of all utterances [columns].
    """

    means: np.ndarray
    deviations: np.ndarray

    def part(self, first: int, end: int) -> Self:
        """That of some of the columns."""
        return type(self)(self.means[:, first:end], self.deviations[first:end])


def learn_profile(X: np.ndarray, y: np.ndarray, labels: int) -> Profile:
    """The profile of training utterances.

    Args:
        X: joined features, not normalised; see `models.inputs`.
        y: index of the label [rows]; a label without rows gets the mean of all.
        labels: how many there are.
    """
    rows = X if X.dtype != object else np.stack([_beside(value) for value in X])
    of_all = rows.mean(axis=0, dtype=np.float64)
    means = [rows[y == k].mean(axis=0, dtype=np.float64) if (y == k).any() else of_all for k in range(labels)]
    return Profile(np.stack(means), rows.std(axis=0, dtype=np.float64))


def column_means(values: Sequence[np.ndarray]) -> np.ndarray:
    """One feature of utterances: vectors as they are, all else by its mean over time [rows, columns]."""
    return np.stack([value.mean(axis=tuple(range(value.ndim - 1))) for value in values])


def write_profile(profile: Profile, folder: Path) -> None:
    """Write it into a local folder of a model."""
    (folder / FILE).write_bytes(save({"means": profile.means, "deviations": profile.deviations}))


def read_profile(folder: Path, labels: int, columns: int) -> Profile | None:
    """The profile in a model's folder; None where the model was trained before there were any.

    Raises:
        BadModel: it is not of so many labels and columns.
        Exception: whatever a corrupt file makes its parser raise.
    """
    if not (folder / FILE).exists():
        return None
    found = load_file(folder / FILE)
    profile = Profile(found["means"], found["deviations"])
    finite = all(a.dtype == np.float64 and np.isfinite(a).all() for a in found.values())
    if not (finite and profile.means.shape == (labels, columns) and profile.deviations.shape == (columns,)):
        raise BadModel(f"{folder / FILE} is not the profile of its model.json. Train the model again.")
    return profile


def _beside(value: np.ndarray | tuple[np.ndarray, ...]) -> np.ndarray:
    """The columns of all features of one utterance [columns]."""
    return np.concatenate(
        [column_means([part])[0] for part in (value if isinstance(value, tuple) else (value,))]
    )
