"""Independent pieces of work as Ray tasks, and how far those are that take long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import ray

from ser_ray.errors import RunFailed
from ser_ray.pipelines.cluster import Progress, connect, count_gpus, largest_node, own_error, put, quiet

POLL_S = 0.5
Figures = Mapping[str, float]  # of an epoch


def nobody(item: Any) -> bool:
    """No item is a network's."""
    return False


def parallel_map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    deep: Callable[[Any], bool] = nobody,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """Like `map`, each call a Ray task; what `function` holds is stored once for all.

    Args:
        function: called with each item.
        items: the work.
        deep: whether an item trains a network; its task takes a GPU where there are any, else its share of
            the CPUs of one machine, where there are more of them than items. All others take one CPU.
        waiting: called now and then until all are done.

    Raises:
        SerRayError: of the first call that failed; the others are given up.
        RunFailed: the cluster broke off.
    """
    items, shared = list(items), put(function)
    threads = max(1, min(connect() // max(len(items), 1), largest_node()))
    gpus = min(1, count_gpus())
    results = [
        _call.options(num_cpus=1 if gpus else threads, num_gpus=gpus).remote(shared, item, threads)
        if deep(item)
        else _call.remote(shared, item)
        for item in items
    ]
    pending = results
    try:
        while pending:
            done, pending = ray.wait(pending, timeout=POLL_S)
            ray.get(done)
            waiting()
    except ray.exceptions.RayTaskError as error:
        for result in pending:
            ray.cancel(result)
        raise own_error(error) from error
    except ray.exceptions.RayError as error:
        raise RunFailed(f"the run broke off: {error}. Start it again.", passing=True) from error
    yield from ray.get(results)


def sheltered(function: Callable[[Any], Any], item: Any, limit_s: float) -> Any:
    """`function(item)` in a process that may die or hang over it; None where it does."""
    connect()
    task = _sheltered.remote(function, item)
    try:
        return ray.get(task, timeout=limit_s)
    except ray.exceptions.RayTaskError as error:
        raise own_error(error) from error
    except ray.exceptions.RayError:
        ray.cancel(task, force=True)
        return None


class Epochs:
    """Counts, on the cluster, the epochs of networks that are trained side by side.

    Args:
        total: of all of them; 0 where nothing has epochs.
        progress: told the count.
        track: told the figures of each epoch of the one network that is kept.
    """

    def __init__(
        self, total: int, progress: Progress = quiet, track: Callable[[Figures], None] | None = None
    ) -> None:
        self.total, self.progress, self.track = total, progress, track
        self.shown = 0
        self.counter: Any = _Counter.remote() if total else None  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        return _teller, (self.counter,)

    def tell(self, epochs: int, figures: Figures | None = None) -> None:
        """Count some more; this is what the tasks call."""
        if self.counter:
            self.counter.add.remote(epochs, dict(figures) if figures else None)

    def show(self) -> None:
        """Tell what is new."""
        if not self.counter:
            return
        done, figures = ray.get(self.counter.news.remote())
        if min(done, self.total) > self.shown:
            self.shown = min(done, self.total)
            self.progress(self.shown, self.total, "epochs")
        if self.track:
            for row in figures:
                self.track(row)


def _teller(counter: Any) -> Epochs:
    """The counter as tasks know it: they tell, and the driver shows."""
    epochs = Epochs.__new__(Epochs)
    epochs.counter = counter
    return epochs


@ray.remote(num_cpus=0)
class _Counter:
    def __init__(self) -> None:
        self.epochs = 0
        self.figures: list[dict[str, float]] = []

    def add(self, epochs: int, figures: dict[str, float] | None) -> None:
        self.epochs += epochs
        self.figures += [figures] if figures else []

    def news(self) -> tuple[int, list[dict[str, float]]]:
        new, self.figures = self.figures, []
        return self.epochs, new


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _sheltered(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]
def _call(function: Callable[[Any], Any], item: Any, threads: int | None = None) -> Any:
    if threads:
        import torch

        torch.set_num_threads(threads)
    return function(item)
