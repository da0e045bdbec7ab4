"""Protocols: which utterances train and which test. One entry of `PROTOCOLS` each.

`random` and `kfold` let a speaker stand on both sides; `speaker` and `loso` never do; `folds:FILE`
takes any published list.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split

from ser_ray import storage
from ser_ray.corpora.table import read_table
from ser_ray.errors import BadManifest, UnknownName, UsageError


@dataclass(frozen=True)
class Fold:
    """One division of a manifest: its name, and the row numbers `train` and `test`."""

    name: str
    train: np.ndarray
    test: np.ndarray


LISTED = "folds:"  # before the URI of a fold list
Protocol = Callable[[pa.Table, int, int], list[Fold]]


def split(protocol: str, table: pa.Table, seed: int = 0, folds: int = 5) -> list[Fold]:
    """The folds of `protocol` over labelled manifest rows.

    Args:
        protocol: a name of `PROTOCOLS`, or `folds:FILE` with a table of `fold` and `id` or `speaker`.
        table: manifest rows, each with an emotion.
        seed: for the protocols that draw.
        folds: for the protocols that divide into a number of parts.

    Raises:
        UnknownName: no such protocol.
        UsageError: fewer than two folds; a fold list that lacks a column, a row, or contradicts itself.
        BadManifest: the rows cannot be divided so (no speakers, too few of a class).
    """
    if folds < 2:
        raise UsageError(f"{folds} folds will not do: one part is tested, the others train.")
    check_protocol(protocol)
    if protocol.startswith(LISTED):
        return _listed(table, protocol.removeprefix(LISTED))
    return PROTOCOLS[protocol](table, seed, folds)


def check_protocol(protocol: str) -> None:
    """Raise UnknownName where there is no such protocol, MissingInput where its list is not there."""
    if protocol.startswith(LISTED):
        storage.require(protocol.removeprefix(LISTED), "fold list")
    elif protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, [*PROTOCOLS, f"{LISTED}FILE"])


def speaker_independent(table: pa.Table, folds: list[Fold]) -> bool | None:
    """Whether no speaker stands on both sides of any fold; None where speakers are not all known."""
    speakers = np.array(table["speaker"].to_pylist(), dtype=object)
    if any(s is None for s in speakers):
        return None
    return not any(set(speakers[f.train]) & set(speakers[f.test]) for f in folds)


def grouped_folds(labels: np.ndarray, groups: np.ndarray | None, folds: int, seed: int) -> list[Fold]:
    """Folds for the inside of a training set: groups stay together where there are enough of them.

    Args:
        labels: class of each row [rows].
        groups: speaker of each row [rows], or None.
        folds: wanted number; fewer where a class or the groups do not suffice, never under 2.
        seed: of the draw.

    Raises:
        BadManifest: a class has a single row, or leaving out a group leaves a single class.
    """
    rarest = int(np.unique(labels, return_counts=True)[1].min())
    if rarest < 2:
        raise BadManifest("an emotion has a single utterance; give at least two of each, or leave it out.")
    rows, folds = np.zeros(len(labels)), min(folds, rarest)
    n_groups = 0 if groups is None else len(set(groups))
    if n_groups >= 3:
        divider = StratifiedGroupKFold(min(folds, n_groups), shuffle=True, random_state=seed)
        parts = divider.split(rows, labels, groups)
    else:
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels)
    found = [Fold(f"fold-{i + 1}", train, test) for i, (train, test) in enumerate(parts) if len(test)]
    if any(len(set(labels[fold.train])) < 2 for fold in found):
        raise BadManifest(
            "without some of the speakers only one emotion is left to learn from; give speakers who have "
            "several emotions each, or leave the column speaker out."
        )
    return found


def _random(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    labels = _labels(table, 2)
    size = max(math.ceil(0.2 * len(labels)), len(set(labels)))  # room for one of each class
    train, test = train_test_split(np.arange(len(labels)), test_size=size, random_state=seed, stratify=labels)
    return [Fold("random", np.sort(train), np.sort(test))]


def _kfold(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    return grouped_folds(_labels(table, folds), None, folds, seed)


def _speaker(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    speakers = _speakers(table)
    if len(set(speakers)) < folds:
        raise BadManifest(f"{folds} folds need at least {folds} speakers; there are {len(set(speakers))}.")
    divider = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = divider.split(np.zeros(len(table)), _labels(table, folds), speakers)
    return [Fold(f"fold-{i + 1}", train, test) for i, (train, test) in enumerate(parts) if len(test)]


def _loso(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    speakers = _speakers(table)
    return _by_part({s: np.flatnonzero(speakers == s) for s in sorted(set(speakers))}, len(table))


def _listed(table: pa.Table, file: str) -> list[Fold]:
    listed = read_table(storage.require(file, "fold list"))
    key = next((k for k in ("id", "speaker") if k in listed.column_names), None)
    if key is None or "fold" not in listed.column_names:
        raise UsageError(f"{file} needs the columns fold and id (or speaker); it has {listed.column_names}.")
    pairs = {
        (str(value), str(fold))
        for value, fold in zip(listed[key].to_pylist(), listed["fold"].to_pylist(), strict=True)
        if value is not None and fold is not None
    }
    fold_of = dict(pairs)
    if len(fold_of) < len(pairs):
        torn = Counter(value for value, _ in pairs).most_common(1)[0][0]
        raise UsageError(f"{file} puts the {key} {torn!r} into several folds.")
    values = table[key].to_pylist()
    lost = [v for v in values if v not in fold_of]
    if lost:
        raise UsageError(f"{file} has no fold for {len(lost)} rows, such as {key} {lost[0]!r}.")
    parts = np.array([fold_of[v] for v in values])
    return _by_part({p: np.flatnonzero(parts == p) for p in sorted(set(parts))}, len(table))


def _by_part(parts: dict[str, np.ndarray], rows: int) -> list[Fold]:
    if len(parts) < 2:
        raise BadManifest("all rows fall into one part; a test needs at least two.")
    return [Fold(name, np.setdiff1d(np.arange(rows), test), test) for name, test in parts.items()]


def _labels(table: pa.Table, at_least: int) -> np.ndarray:
    labels = np.array(table["emotion"].to_pylist())
    rarest, count = Counter(labels.tolist()).most_common()[-1]
    if count < at_least:
        raise BadManifest(
            f"{rarest!r} has {count} utterances; this protocol needs {at_least} of each emotion."
        )
    return labels


def _speakers(table: pa.Table) -> np.ndarray:
    speakers = np.array(table["speaker"].to_pylist(), dtype=object)
    if any(s is None for s in speakers):
        raise BadManifest("some rows have no speaker; give the column, or use the protocol random or kfold.")
    return speakers


PROTOCOLS: dict[str, Protocol] = {"random": _random, "kfold": _kfold, "speaker": _speaker, "loso": _loso}
