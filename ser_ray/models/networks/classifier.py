"""A network as a classifier: `fit`, `predict_proba`, `classes_`, like every other family."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ser_ray.corpora.splits import grouped_folds
from ser_ray.errors import BadManifest, BadModel
from ser_ray.features.inference import device
from ser_ray.models.networks import workers
from ser_ray.models.networks.classification import Classification, Labelled, LabelledBatches
from ser_ray.models.networks.data import InMemory, by_length, gather, in_order
from ser_ray.models.networks.loop import Held, LoopOptions, LoopState, Report, train_network
from ser_ray.models.networks.network import Example, NetworkKind, to_device
from ser_ray.models.networks.scaling import Scaling, moments

ABOUT, WEIGHTS = "network.json", "network.safetensors"
# Settings beside those of the loop and of the architecture. Of `standardise_frames`, each is standardised by
# itself; 0: all frames alike.
OWN = {"held_out": 0.1, "standardise": True, "standardise_frames": 0}


def all_settings(kind: NetworkKind) -> dict[str, Any]:
    """Every hyperparameter of a network with its default."""
    return {**asdict(LoopOptions()), **OWN, **kind.defaults}


def _alone(network: nn.Module) -> nn.Module:
    return network


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
        scaling: of the inputs.
        held_out_: rows of the training data that it did not learn from, but chose its best epoch by; may be
            none.
        streams: whether `learn` alone, from batches that are read from the store, does all that `fit` does.
    """

    streams = True

    def __init__(self, kind: NetworkKind, settings: Mapping[str, Any], seed: int) -> None:
        self.kind, self.settings, self.seed = kind, dict(settings), seed
        self.curve: list[dict[str, float]] = []
        self.scaling = Scaling()

    def fit(
        self,
        X: Any,
        y: np.ndarray,
        groups: np.ndarray | None = None,
        report: Report | None = None,
        state: LoopState | None = None,
        wrap: Callable[[nn.Module], nn.Module] = _alone,
        until: int | None = None,
    ) -> NetworkClassifier:
        """Learn from examples; where there are several workers, each is given the same.

        Args:
            X: vectors [rows, columns], or an object array [rows] of arrays, or of tuples of arrays where
                the network has several inputs.
            y: class numbers [rows].
            groups: speaker of each row [rows], or None.
            report: told the figures and the state after each epoch.
            state: of an interrupted training of the same data, to go on from.
            wrap: what makes the network one of several workers.
            until: epoch after which to pause; None: train to the end.
        """
        self.classes_, numbers = np.unique(y, return_inverse=True)
        examples = as_examples(X)
        train, stopping = hold_out(numbers, groups, self.settings["held_out"], self.seed)
        self.held_out_ = np.setdiff1d(stopping, train)
        known, first = self.known_scaling(), self.settings["standardise_frames"]
        self.scaling = moments((examples[row] for row in train), first).scaling if known is None else known
        examples = [self.scaling(example) for example in examples]
        self.shapes = tuple((None, *array.shape[1:]) for array in examples[0])
        options, least = loop_options(self.settings), self.kind.least_frames
        share = {"least_frames": least, "rank": workers.rank(), "world": workers.world()}
        learned, wanted = self._enriched([examples[row] for row in train], numbers[train])
        sampling = options.balance == "sampling"
        batches = InMemory(learned, wanted, len(self.classes_), options.batch, self.seed, sampling, **share)
        held = in_order([examples[row] for row in stopping], numbers[stopping], **share)
        return self.learn(batches, held if len(stopping) else None, report, state, wrap, until)

    def grow(
        self,
        X: Any,
        y: np.ndarray,
        counts: Sequence[int],
        groups: np.ndarray | None = None,
        state: LoopState | None = None,
    ) -> Iterator[LoopState]:
        """See `models.family.Grow`."""
        reached = state or LoopState()

        def keep(figures: dict[str, float], now: LoopState) -> None:
            nonlocal reached
            reached = now

        for count in counts:
            self.fit(X, y, groups, keep, reached, until=count)
            yield reached

    def learn(
        self,
        batches: LabelledBatches,
        held: Held[Labelled] | None,
        report: Report | None = None,
        state: LoopState | None = None,
        wrap: Callable[[nn.Module], nn.Module] = _alone,
        until: int | None = None,
    ) -> NetworkClassifier:
        """Learn from batches that are scaled already; see `fit` and `train_network`."""
        network, options = self.built().to(device()), loop_options(self.settings)
        objective = Classification(options, batches.class_counts, device())
        given = (objective, batches, held, options, self.seed, state, report, network, until)
        state = train_network(wrap(network), *given)
        self.network, self.curve = network, state.curve
        return self

    def known_scaling(self) -> Scaling | None:
        """The standardisation, where it is settled before any data are seen; None: they decide.

        Weights that come from another model go on reading what they read there.
        """
        source = self.kind.source(self.settings)
        if source is not None:
            assert isinstance(source.classifier, NetworkClassifier)
            return source.classifier.scaling
        return None if self.settings["standardise"] else Scaling()

    def _enriched(self, examples: list[Example], y: np.ndarray) -> tuple[list[Example], np.ndarray]:
        """What is learned from, of the scaled training examples and the numbers of their classes [rows]."""
        return examples, y

    def restore(self, state: LoopState) -> None:
        """Take the best weights and the curve of a training that ended elsewhere."""
        self.network, self.curve = self.built(), state.curve
        self.network.load_state_dict(state.best)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [rows, classes]."""
        return np.asarray(torch.softmax(torch.from_numpy(self.logits(X)), dim=1).numpy())

    def logits(self, X: Any) -> np.ndarray:
        """What the softmax makes probabilities of [rows, classes]."""
        examples = [self.scaling(example) for example in as_examples(X)]
        if not examples:
            return np.zeros((0, len(self.classes_)))
        found = predict(self.network.to(device()).eval(), examples, self.kind.least_frames)
        return np.asarray(found.double().numpy())

    def built(self) -> nn.Module:
        """The network, its weights as the seed draws them; channels last, as convolutions over pictures are
        fastest."""
        torch.manual_seed(self.seed)
        network = self.kind.build(self.shapes, len(self.classes_), self.settings)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: weights in place of the network, since not every network is pickled."""
        state = self.__dict__.copy()
        network = state.pop("network", None)
        if network is not None:
            state |= {"settings": self._settings_again(), "weights": network.state_dict()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = state.pop("weights", None)
        self.__dict__.update(state)
        if weights is not None:
            self.network = self.built()
            self.network.load_state_dict(weights)
            self.network.eval()

    def _settings_again(self) -> dict[str, Any]:
        """Settings under which the same network is built again without anything from outside."""
        return {**self.settings, **getattr(self.network, "rebuilt_with", {})}

    def save(self, folder: Path) -> None:
        """Write weights and description."""
        tensors = {
            f"network.{k}": v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()
        }
        for number, pair in enumerate(zip(self.scaling.means, self.scaling.deviations, strict=True)):
            tensors[f"mean.{number}"], tensors[f"scale.{number}"] = map(torch.tensor, pair)
        save_file(tensors, folder / WEIGHTS)
        about = {
            "network": self.kind.name,
            "settings": self._settings_again(),
            "shapes": self.shapes,
            "classes": self.classes_.tolist(),
            "seed": self.seed,
            "curve": self.curve,
        }
        (folder / ABOUT).write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, kind: NetworkKind, folder: Path) -> Self:
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
        means, deviations = (
            tuple(tensors[f"{part}.{k}"].numpy() for k in range(count)) for part in ("mean", "scale")
        )
        classifier.scaling = Scaling(means, deviations)
        return classifier


def loop_options(settings: Mapping[str, Any]) -> LoopOptions:
    """The loop's part of a network's hyperparameters."""
    return LoopOptions(**{f.name: settings[f.name] for f in fields(LoopOptions)})


@torch.inference_mode()
def predict(network: nn.Module, examples: Sequence[Example], least_frames: int) -> torch.Tensor:
    """Logits [rows, classes] of a network in evaluation, on the CPU."""
    where = next(network.parameters()).device
    rows = by_length(examples)
    logits = [
        network(to_device(gather([examples[row] for row in part], least_frames), where)).float().cpu()
        for part in rows
    ]
    order = np.concatenate(rows)
    return torch.cat(logits)[torch.from_numpy(np.argsort(order))]


def as_examples(X: Any) -> list[Example]:
    """Examples as tuples of [frames, ...]; a vector is one frame."""
    rows = [row if isinstance(row, tuple) else (row,) for row in X]
    return [tuple(array[None] if array.ndim == 1 else array for array in row) for row in rows]


def hold_out(
    y: np.ndarray, groups: np.ndarray | None, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to stop by; all for both where a class is too small to be divided.

    A share of 0 holds nothing out: every epoch is trained then, and the last one kept.
    """
    everything = np.arange(len(y))
    if not share:
        return everything, everything[:0]
    try:
        first = grouped_folds(y, groups, max(2, round(1 / share)), seed)[0]
    except BadManifest:
        return everything, everything
    return first.train, first.test
