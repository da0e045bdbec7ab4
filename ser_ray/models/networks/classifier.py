"""A network as a classifier: `fit`, `predict_proba`, `classes_`, like every other family."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ser_ray.corpora.splits import grouped_folds
from ser_ray.errors import BadManifest, BadModel
from ser_ray.features.inference import device
from ser_ray.models.networks.data import Example, InMemory, by_length, gather
from ser_ray.models.networks.loop import LoopOptions, LoopState, Report, to_device, train_network
from ser_ray.models.networks.network import NetworkKind

ABOUT, WEIGHTS = "network.json", "network.safetensors"
OWN = {"held_out": 0.1, "standardise": True}  # settings beside those of the loop and of the architecture


def all_settings(kind: NetworkKind) -> dict[str, Any]:
    """Every hyperparameter of a network with its default."""
    return {**asdict(LoopOptions()), **OWN, **kind.defaults}


class NetworkClassifier:
    """A network that learns like a scikit-learn classifier.

    A slice of the training data, of speakers of its own where they are known, is held out to tell when to
    stop; the weights of the best epoch on it are kept.

    Args:
        kind: which network.
        settings: all its hyperparameters; see `all_settings`.
        seed: fixes weights, order and draws.

    Attributes:
        classes_: class numbers [classes].
        curve: figures of each epoch of the training.
    """

    def __init__(self, kind: NetworkKind, settings: Mapping[str, Any], seed: int) -> None:
        self.kind, self.settings, self.seed = kind, dict(settings), seed
        self.curve: list[dict[str, float]] = []

    def fit(
        self,
        X: Any,
        y: np.ndarray,
        groups: np.ndarray | None = None,
        report: Report | None = None,
        state: LoopState | None = None,
    ) -> NetworkClassifier:
        """Learn from examples.

        Args:
            X: vectors [rows, columns], or an object array [rows] of arrays, or of tuples of arrays where
                the network has several inputs.
            y: class numbers [rows].
            groups: speaker of each row [rows], or None.
            report: told the figures after each epoch.
            state: of an interrupted training of the same data, to go on from.
        """
        self.classes_, numbers = np.unique(y, return_inverse=True)
        examples = _examples(X)
        train, held = _hold_out(numbers, groups, self.settings["held_out"], self.seed)
        self._learn_scale([examples[row] for row in train])
        examples = [self._scaled(example) for example in examples]
        self.shapes = tuple((None, *array.shape[1:]) for array in examples[0])
        options = loop_options(self.settings)
        batches = InMemory(
            [examples[row] for row in train],
            numbers[train],
            len(self.classes_),
            options.batch,
            self.seed,
            options.balance == "sampling",
            self.kind.least_frames,
        )
        self.network = self.built().to(device())
        slice_, wanted = [examples[row] for row in held], numbers[held]

        def measure(network: nn.Module) -> tuple[float, float]:
            return score(predict(network, slice_, self.kind.least_frames), wanted)

        state = train_network(self.network, batches, measure, options, self.seed, state, report)
        self.curve = state.curve
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [rows, classes]."""
        return np.asarray(torch.softmax(torch.from_numpy(self.logits(X)), dim=1).numpy())

    def logits(self, X: Any) -> np.ndarray:
        """What the softmax makes probabilities of [rows, classes]."""
        examples = [self._scaled(example) for example in _examples(X)]
        if not examples:
            return np.zeros((0, len(self.classes_)))
        found = predict(self.network.to(device()).eval(), examples, self.kind.least_frames)
        return np.asarray(found.double().numpy())

    def built(self) -> nn.Module:
        """The network, its weights as the seed draws them."""
        torch.manual_seed(self.seed)
        return self.kind.build(self.shapes, len(self.classes_), self.settings)

    def save(self, folder: Path) -> None:
        """Write weights and description."""
        tensors = {
            f"network.{k}": v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()
        }
        for number, (mean, scale) in enumerate(self._scales):
            tensors[f"mean.{number}"], tensors[f"scale.{number}"] = map(torch.from_numpy, (mean, scale))
        save_file(tensors, folder / WEIGHTS)
        about = {
            "network": self.kind.name,
            "settings": {**self.settings, **getattr(self.network, "rebuilt_with", {})},
            "shapes": self.shapes,
            "classes": self.classes_.tolist(),
            "seed": self.seed,
            "curve": self.curve,
        }
        (folder / ABOUT).write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, kind: NetworkKind, folder: Path) -> NetworkClassifier:
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            BadModel: weights and description do not fit together.
        """
        about = json.loads((folder / ABOUT).read_text())
        tensors = load_file(folder / WEIGHTS)
        classifier = cls(kind, about["settings"], about["seed"])
        classifier.classes_ = np.array(about["classes"])
        classifier.shapes = tuple(tuple(shape) for shape in about["shapes"])
        classifier.curve = about["curve"]
        classifier.network = classifier.built()
        inside = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        try:
            classifier.network.load_state_dict(inside)
        except RuntimeError as error:
            raise BadModel(
                f"the weights in {folder} are not those of {kind.name}. Train it again."
            ) from error
        count = sum(name.startswith("mean.") for name in tensors)
        classifier._scales = [
            (tensors[f"mean.{k}"].numpy(), tensors[f"scale.{k}"].numpy()) for k in range(count)
        ]
        return classifier

    def _learn_scale(self, examples: Sequence[Example]) -> None:
        """Mean and deviation of each column of each input, over all frames of the training rows."""
        self._scales: list[tuple[np.ndarray, np.ndarray]] = []
        if not self.settings["standardise"]:
            return
        for arrays in zip(*examples, strict=True):
            frames = sum(len(array) for array in arrays)
            mean = sum(array.sum(axis=0, dtype=np.float64) for array in arrays) / frames
            spread = sum(np.square(array - mean).sum(axis=0) for array in arrays) / frames
            deviation = np.sqrt(spread)
            scale = np.where(deviation > 1e-8, deviation, 1.0)
            self._scales.append((mean.astype(np.float32), scale.astype(np.float32)))

    def _scaled(self, example: Example) -> Example:
        if not self._scales:
            return example
        return tuple(
            (array - mean) / scale for array, (mean, scale) in zip(example, self._scales, strict=True)
        )


def loop_options(settings: Mapping[str, Any]) -> LoopOptions:
    """The loop's part of a network's hyperparameters."""
    return LoopOptions(**{f.name: settings[f.name] for f in fields(LoopOptions)})


@torch.inference_mode()
def predict(
    network: nn.Module, examples: Sequence[Example], least_frames: int, batch: int = 64
) -> torch.Tensor:
    """Logits [rows, classes] of a network in evaluation, on the CPU."""
    where = next(network.parameters()).device
    rows = by_length(examples, batch)
    logits = [
        network(to_device(gather([examples[row] for row in part], least_frames), where)).float().cpu()
        for part in rows
    ]
    order = np.concatenate(rows)
    return torch.cat(logits)[torch.from_numpy(np.argsort(order))]


def score(logits: torch.Tensor, y: np.ndarray) -> tuple[float, float]:
    """UA and mean cross-entropy."""
    wanted = torch.from_numpy(y)
    loss = float(nn.functional.cross_entropy(logits, wanted))
    right = (logits.argmax(dim=1) == wanted).numpy()
    return float(np.mean([right[y == label].mean() for label in np.unique(y)])), loss


def _examples(X: Any) -> list[Example]:
    """Examples as tuples of [frames, ...]; a vector is one frame."""
    rows = [row if isinstance(row, tuple) else (row,) for row in X]
    return [tuple(array[None] if array.ndim == 1 else array for array in row) for row in rows]


def _hold_out(
    y: np.ndarray, groups: np.ndarray | None, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to stop by; all for both where a class is too small to be divided."""
    everything = np.arange(len(y))
    if not share:
        return everything, everything
    try:
        first = grouped_folds(y, groups, max(2, round(1 / share)), seed)[0]
    except BadManifest:
        return everything, everything
    return first.train, first.test
