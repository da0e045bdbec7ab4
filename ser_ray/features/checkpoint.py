"""Features that a trained network computes, and how its weights are told from others."""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from ser_ray import errors, storage
from ser_ray.features.feature import Feature
from ser_ray.features.inference import RATE
from ser_ray.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class NetworkFeature(Feature):
    """Base of the features that a trained network computes from 16 kHz waves.

    The network is no part of the feature: each process loads it once, when it is first needed. The
    fingerprint holds a hash of the weights in place of their path, so that a folder may move, and two
    checkpoints that were at one path are not confused.

    For the band `telephone` the rate stays at 16 kHz: the network gets what is left of 300-3400 Hz.

    Attributes:
        checkpoint: Where the weights are.
    """

    accelerated: ClassVar[bool] = True
    example: ClassVar[str]  # a checkpoint, for messages

    checkpoint: str = parameter("")
    rate: int = parameter(RATE, low=RATE, high=RATE)

    def _check(self) -> None:
        if not self.checkpoint:
            raise errors.UsageError(
                f"feature {self.name} needs the weights of a network. "
                f"Name them: {self.name}(checkpoint={self.example})."
            )

    @property
    @abstractmethod
    def weights(self) -> str:
        """What tells the network from every other, wherever it lies."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal hash of the name, every parameter, the weights and the version of the code."""
        content = self.to_dict() | {"checkpoint": self.weights, "version": self.version}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _settle(self, place: str, **others: str) -> None:
        """Replace the checkpoint by its full name, so that a worker elsewhere means the same one."""
        if set(place) & set("(),\n"):
            raise self._refusal("checkpoint", place, "brackets and commas are not allowed")
        for key, value in {"checkpoint": place, **others}.items():
            object.__setattr__(self, key, value)


def digest(uri: str) -> str:
    """SHA-256 of a file; a local one is hashed again when its size or time changes."""
    if not storage.is_local(uri):
        return _sha256(uri, 0, 0)
    status = storage.local_path(uri).stat()
    return _sha256(uri, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(uri: str, size: int, modified: int) -> str:
    if not storage.is_local(uri):
        return hashlib.sha256(storage.read_bytes(uri)).hexdigest()
    with storage.local_path(uri).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unreadable(place: str, error: Exception) -> errors.BadModel:
    """What to say of weights that a loader refused, which allows tensors and plain data alone."""
    forbidden = re.search(r"(?:GLOBAL|function) ([\w.]+)", str(error))
    if forbidden:
        return errors.BadModel(
            f"{place} asks for {forbidden[1]}, which weights have no need of; nothing of it was run. "
            "Take the checkpoint from where it was published, or save its tensors alone."
        )
    first = f"{type(error).__name__}: {error}".split(". ")[0].splitlines()[0].rstrip(".: ")
    return errors.BadModel(
        f"{place} cannot be read as a checkpoint ({first}). It is cut short or damaged: copy it again."
    )
