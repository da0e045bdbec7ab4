"""One fit of a recipe and the file that is left of it, by which a recipe that was killed goes on.

OUT/results/PROTOCOL/SEED/FOLD/VARIANT.json
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ser_ray import storage
from ser_ray.errors import BadStore


@dataclass(frozen=True)
class Piece:
    """One variant in one fold of one seed of a protocol."""

    protocol: str
    seed: int
    fold: str
    variant: str

    def place(self, out: str) -> str:
        """Its file."""
        parts = (self.protocol, str(self.seed), self.fold, self.variant)
        return storage.join(out, "results", *map(plain_name, parts)) + ".json"


@dataclass(frozen=True)
class Result:
    """What one fit gave.

    Attributes:
        tested: ids of the test utterances.
        p: their probabilities [tested, labels].
        parts: the same by parts of the classifier, where it has any.
        predicted: ids of training utterances that were predicted out of fold.
        out_of_fold: their probabilities [predicted, labels].
        findings: what else the classifier tells of its fit.
        fit_s: seconds of the fit, calibration included.
        predict_s: seconds of the prediction of all that was tested.
        chosen: settings that were chosen on the training side.
        curve: figures of each epoch of a network.
    """

    tested: list[str]
    p: list[list[float]]
    parts: Mapping[str, list[list[float]]] = field(default_factory=dict)
    predicted: list[str] = field(default_factory=list)
    out_of_fold: list[list[float]] = field(default_factory=list)
    findings: Mapping[str, float] = field(default_factory=dict)
    fit_s: float = 0.0
    predict_s: float = 0.0
    chosen: Mapping[str, Any] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """Probabilities of the test utterances, by "" for the whole and by the names of the parts."""
        return {"": np.array(self.p), **{name: np.array(p) for name, p in self.parts.items()}}


def write_result(result: Result, piece: Piece, out: str) -> None:
    """Write the file of a piece, whole or not at all."""
    storage.write_json(piece.place(out), asdict(result))


def read_results(pieces: Sequence[Piece], out: str) -> dict[Piece, Result]:
    """Those of some pieces that are there.

    Raises:
        BadStore: a file is corrupt.
    """
    folder = storage.join(out, "results")
    there = {file.uri for file in storage.list_files(folder, (".json",))} if storage.exists(folder) else set()
    found = {}
    for piece in pieces:
        if (place := piece.place(storage.absolute(out))) in there:
            try:
                found[piece] = Result(**storage.read_json(place))
            except (TypeError, ValueError) as error:
                raise BadStore(f"{place} is no result of a fit: {error}. Delete it and go on.") from error
    return found


def plain_name(name: str) -> str:
    """A name that can be a folder's; two names are never the same one."""
    plain = re.sub(r"[^\w.=+-]+", "-", name.rsplit("/", 1)[-1]).strip(".-")
    same = plain == name
    return plain if same else f"{plain[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
