"""Protocols: which utterances train and which test. One entry of `PROTOCOLS` each.

`random`, `random70` and `kfold` let a speaker stand on both sides; `twin_safe` too, but keeps recordings
of one sentence by one speaker together; `speaker`, `loso` and `session` (where each has its own speakers)
keep speakers apart; `official` takes the corpus's own division and `folds:FILE` any published list.

Augmented copies are never tested, and train only where the utterance that they were made from trains.
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
from ser_ray.corpora.manifest import originals, with_copies
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
    own = originals(table)
    recorded = table.take(pa.array(own))
    if protocol.startswith(LISTED):
        divided = _listed(recorded, protocol.removeprefix(LISTED))
    else:
        divided = PROTOCOLS[protocol](recorded, seed, folds)
    return [Fold(fold.name, with_copies(table, own[fold.train]), own[fold.test]) for fold in divided]


def check_protocol(protocol: str) -> None:
    """Raise UnknownName where there is no such protocol, MissingInput where its list is not there."""
    if protocol.startswith(LISTED):
        storage.require(protocol.removeprefix(LISTED), "fold list")
    elif protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, [*PROTOCOLS, f"{LISTED}FILE"])


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


def _hold_out(share: float) -> Protocol:
    """One fold that tests a share of each emotion."""

    def divide(table: pa.Table, seed: int, folds: int) -> list[Fold]:
        labels = _labels(table, 2)
        size = max(math.ceil(share * len(labels)), len(set(labels)))  # room for one of each class
        rows = np.arange(len(labels))
        train, test = train_test_split(rows, test_size=size, random_state=seed, stratify=labels)
        return [Fold("hold-out", np.sort(train), np.sort(test))]

    return divide


def _kfold(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    return grouped_folds(_labels(table, folds), None, folds, seed)


def _speaker(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    return _grouped(table, _known(table, "speaker"), "speakers", seed, folds)


def _twin_safe(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    pairs = zip(_known(table, "speaker"), _known(table, "text_id"), strict=True)
    groups = np.array([f"{speaker}|{text}" for speaker, text in pairs])
    return _grouped(table, groups, "pairs of speaker and sentence", seed, folds)


def _grouped(table: pa.Table, groups: np.ndarray, what: str, seed: int, folds: int) -> list[Fold]:
    if len(set(groups)) < folds:
        raise BadManifest(f"{folds} folds need at least {folds} {what}; there are {len(set(groups))}.")
    divider = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = divider.split(np.zeros(len(table)), _labels(table, folds), groups)
    return [Fold(f"fold-{i + 1}", train, test) for i, (train, test) in enumerate(parts) if len(test)]


def _leave_one_out(column: str) -> Protocol:
    """One fold for each value of a column, which tests its rows."""

    def divide(table: pa.Table, seed: int, folds: int) -> list[Fold]:
        values = _known(table, column)
        return _by_part({v: np.flatnonzero(values == v) for v in sorted(set(values))}, len(table))

    return divide


def _official(table: pa.Table, seed: int, folds: int) -> list[Fold]:
    parts = _known(table, "split")
    if not set(parts) & TESTED:
        return _leave_one_out("split")(table, seed, folds)
    test = np.flatnonzero(np.isin(parts, sorted(TESTED)))
    if len(test) == len(table):
        raise BadManifest("all rows belong to the test part of the corpus; nothing is left to train on.")
    return [Fold("official", np.setdiff1d(np.arange(len(table)), test), test)]


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


def _known(table: pa.Table, column: str) -> np.ndarray:
    values = np.array(table[column].to_pylist(), dtype=object)
    unknown = sum(value is None for value in values)
    if unknown:
        raise BadManifest(
            f"{unknown} of {len(values)} rows have no {column}, which this protocol divides by; give the "
            "column, or use the protocol random or kfold."
        )
    return values


TESTED = frozenset({"test", "evaluation", "eval"})  # the corpus's words for its test part

PROTOCOLS: dict[str, Protocol] = {
    "random": _hold_out(0.2),
    "random70": _hold_out(0.3),
    "kfold": _kfold,
    "twin_safe": _twin_safe,
    "speaker": _speaker,
    "loso": _leave_one_out("speaker"),
    "session": _leave_one_out("session"),
    "official": _official,
}
