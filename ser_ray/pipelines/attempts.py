"""Work over which a worker died or hung: tried again with more care, and at last without what did it.

Ray gives the part of a worker that died to another worker, for ever. A recording that kills its decoder, or
never lets it go, shall cost its own row and not the run. So a part is first done as a whole; after a death
item by item, each announced to a ledger before it is begun; an item that a worker died over twice by itself
is left out with an error, and so is one that was read for longer than it may. A part that was lost with its
machine counts as none of this.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Self

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ser_ray.errors import RunFailed, UnreadableAudio

READ_LIMIT_S = 600.0  # to read and decode one recording
LONE_DEATHS = 2  # over an item by itself, until it is left out
OTHER_DEATHS = 4  # over a part, and none of its items, until the run is given up
TELL_S = 60.0  # until the ledger answers
WORK = "score"  # the stage of an item that is neither read nor decoded


@dataclass(frozen=True)
class Culprit:
    """What an item did to workers (`crash`, `timeout`), and in which stage."""

    kind: str
    stage: str

    def error(self, limit_s: float) -> UnreadableAudio:
        """The error of its row."""
        if self.kind == "timeout":
            return UnreadableAudio(
                self.kind,
                f"reading and decoding it takes longer than {limit_s:g} s. Convert it to WAV or FLAC, or "
                "allow more time.",
            )
        return UnreadableAudio(
            self.kind,
            f"the process that worked on it died each time, {LONE_DEATHS} times over nothing else. "
            "Decode it elsewhere and write it again; look for memory that ran out.",
        )


class Attempt:
    """A worker's attempt at one part of the work, open while it lasts.

    Args:
        part: number of the part.
        ledger: what remembers earlier attempts; None where there is none.
        limit_s: the longest that reading and decoding one item may take, all steps together.

    Attributes:
        alone: items are to be done one by one.
        culprits: what earlier attempts found out about items of the part; these are to be left out.
    """

    def __init__(self, part: int = 0, ledger: Any = None, limit_s: float = READ_LIMIT_S) -> None:
        self.limit_s = limit_s
        self.alone = False
        self.culprits: Mapping[str, Culprit] = {}
        self._part, self._ledger = part, ledger
        self._spent: dict[str, float] = defaultdict(float)
        self._step: tuple[str, str, float] | None = None  # item, stage, since when
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self._ledger:
            node = ray.get_runtime_context().get_node_id()
            known = self._ask("begin", node)
            if known is None:
                raise RunFailed(
                    f"{OTHER_DEATHS} workers died over the same part of the work, and over none of its "
                    "recordings. Look for memory that ran out (fewer CPUs a machine, or more memory)."
                )
            self.alone, self.culprits = known
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        self._ended.set()
        if self._ledger and kind is None:
            self._ledger.end.remote(self._part)

    @contextmanager
    def step(self, item: str, stage: str) -> Iterator[None]:
        """Count what happens inside as reading and decoding of `item`.

        Raises:
            UnreadableAudio: `timeout`, before it begins, where its time is used up.
        """
        if self._spent[item] > self.limit_s:
            raise Culprit("timeout", stage).error(self.limit_s)
        self.announce(item, stage)
        since = monotonic()
        self._step = (item, stage, since)
        try:
            yield
        finally:
            self._step = None
            self._spent[item] += monotonic() - since
            self.announce(item, WORK)

    def announce(self, item: str | None, stage: str = WORK) -> None:
        """What is begun now, should the worker die over it; None for what is no item's fault."""
        if self._ledger and self.alone:
            self._ask("at", item, stage)

    def _watch(self) -> None:
        """End the process where a step does not end: whatever hangs in a decoder ends in no other way."""
        while not self._ended.wait(min(1.0, self.limit_s / 4)):
            step = self._step
            if step and self._spent[step[0]] + monotonic() - step[2] > self.limit_s:
                with suppress(ray.exceptions.RayError):
                    self._ask("overdue", *step[:2])
                os._exit(1)

    def _ask(self, question: str, *arguments: Any) -> Any:
        return ray.get(getattr(self._ledger, question).remote(self._part, *arguments), timeout=TELL_S)


def open_ledger() -> Any:
    """A ledger of attempts, beside this process, since that machine's end is the run's end."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return _Ledger.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]


@dataclass
class _Part:
    node: str | None = None  # where it is being done; None: nowhere
    item: str | None = None  # the one being done by itself
    stage: str = WORK
    alone: bool = False
    deaths: Counter[str | None] = field(default_factory=Counter)
    culprits: dict[str, Culprit] = field(default_factory=dict)


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)  # type: ignore[untyped-decorator]
class _Ledger:
    def __init__(self) -> None:
        self.parts: dict[int, _Part] = {}

    def begin(self, number: int, node: str) -> tuple[bool, dict[str, Culprit]] | None:
        """Open an attempt: whether item by item, and without which; None where it is no use."""
        part = self.parts.setdefault(number, _Part())
        if part.node and part.node in {each["NodeID"] for each in ray.nodes() if each["Alive"]}:
            part.alone = True
            part.deaths[part.item] += 1
            if part.item is None and part.deaths[None] >= OTHER_DEATHS:
                return None
            if part.item is not None and part.deaths[part.item] >= LONE_DEATHS:
                part.culprits[part.item] = Culprit("crash", part.stage)
        part.node, part.item = node, None
        return part.alone, part.culprits

    def at(self, number: int, item: str | None, stage: str) -> None:
        """Note what is begun."""
        part = self.parts.setdefault(number, _Part())
        part.item, part.stage = item, stage

    def overdue(self, number: int, item: str, stage: str) -> None:
        """Note an item that took too long; its worker ends itself."""
        part = self.parts.setdefault(number, _Part())
        part.culprits[item] = Culprit("timeout", stage)
        part.node = None

    def end(self, number: int) -> None:
        """Close an attempt that ended well."""
        self.parts.pop(number, None)
