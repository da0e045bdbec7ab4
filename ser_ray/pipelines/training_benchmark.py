"""Speed of training: a plain PyTorch loop with everything in memory beside our loop, alone and by workers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from ser_ray.errors import UsageError
from ser_ray.features.inference import device
from ser_ray.models import family
from ser_ray.models.networks.classifier import NetworkClassifier, as_examples
from ser_ray.models.networks.data import gather
from ser_ray.models.networks.network import Example, to_device
from ser_ray.pipelines.cluster import connect
from ser_ray.pipelines.dataset import Dataset, chosen_features, load_dataset
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.train import train


def benchmark_train(
    manifest: pa.Table, store: str, name: str, epochs: int, repeats: int, workers: int
) -> dict[str, Any]:
    """Utterances a second in training, whole epochs, the beginning left out.

    Args:
        manifest: utterances to learn from.
        store: their features.
        name: a network of the registry.
        epochs: of each run, at least 2.
        repeats: of all, in turn.
        workers: of Ray Train.

    Returns:
        Utterances a second of the plain loop, of our loop in this process, and of `workers` workers with the
        data in memory and streamed from the store; and the ratio of each to the plain loop.
    """
    connect()
    data = load_dataset(manifest, store, chosen_features(name))
    settings = {"epochs": epochs, "patience": epochs, "held_out": 0.0}
    runs: dict[str, list[float]] = {"plain": [], "ours": [], "workers": [], "streamed": []}
    for _ in range(repeats):
        runs["plain"].append(_plain(name, settings, data))
        runs["ours"].append(_ours(name, settings, data))
        for kind, stream in (("workers", False), ("streamed", True)):
            runs[kind].append(
                _by_workers(name, {"epochs": epochs, "patience": epochs}, manifest, store, workers, stream)
            )
    speed = {kind: median(found) for kind, found in runs.items()}
    return {
        "network": name,
        "utterances": len(data.y),
        "epochs": epochs,
        "repeats": repeats,
        "workers_count": workers,
        "device": str(device()),
        "threads": torch.get_num_threads(),
        **{f"{kind}_utterances_per_s": value for kind, value in speed.items()},
        **{f"{kind}_to_plain": speed[kind] / speed["plain"] for kind in ("ours", "workers", "streamed")},
    }


def _rate(times: Sequence[float], rows: int) -> float:
    """Utterances a second between the ends of the first and the last epoch."""
    return rows * (len(times) - 1) / (times[-1] - times[0])


def _plain(name: str, settings: dict[str, Any], data: Dataset) -> float:
    """The loop that anybody would write: shuffle, cut into batches, pad, step."""
    classifier = _classifier(name, settings)
    examples: list[Example] = as_examples(data.X)
    classifier.classes_ = np.arange(len(data.labels))
    classifier.shapes = tuple((None, *array.shape[1:]) for array in examples[0])
    network, where = classifier.built().to(device()).train(), device()
    optimiser, loss = torch.optim.AdamW(network.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    y, batch, times = torch.from_numpy(data.y), classifier.settings["batch"], []
    for epoch in range(settings["epochs"]):
        order = np.random.default_rng(epoch).permutation(len(y))
        for rows in np.array_split(order, round(len(y) / batch)):
            inputs = to_device(gather([examples[row] for row in rows], classifier.kind.least_frames), where)
            optimiser.zero_grad()
            loss(network(inputs), y[rows].to(where)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
        times.append(time.perf_counter())
    return _rate(times, len(y))


def _ours(name: str, settings: dict[str, Any], data: Dataset) -> float:
    times: list[float] = []
    _classifier(name, settings).fit(
        data.X, data.y, None, lambda figures, state: times.append(time.perf_counter())
    )
    return _rate(times, len(data.y))


def _by_workers(
    name: str, settings: dict[str, Any], manifest: pa.Table, store: str, workers: int, stream: bool
) -> float:
    """With the checkpoint and the held-out slice that a real run has."""
    times: dict[int, float] = {}

    def show(done: int, total: int, counted: str) -> None:
        if counted == "epochs":
            times.setdefault(done, time.perf_counter())

    with tempfile.TemporaryDirectory() as place:
        together = Workers(workers, place, stream=stream)
        model, _ = train(name, manifest, store, settings=settings, progress=show, workers=together)
    first, last = min(times), max(times)
    learned = len(manifest) - len(model.out_of_fold.ids)
    return learned * (last - first) / (times[last] - times[first])


def _classifier(name: str, settings: dict[str, Any]) -> NetworkClassifier:
    kind = family(name)
    classifier = kind.build(kind.settings(settings), 0)
    if not isinstance(classifier, NetworkClassifier):
        raise UsageError(f"{name} is not one network. Give one, such as cnn1d.")
    return classifier
