"""The audit: who and what crosses a split, and how much of the emotion the speaker alone gives away."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.splits import Fold
from ser_ray.errors import SerRayError

Keys = list[Any]  # one hashable a row; None where it is not known


@dataclass(frozen=True)
class Crossing:
    """How many test utterances share something with the training side of their fold.

    Attributes:
        what: speaker, session, sentence, twin or identical.
        tested: test utterances of all folds whose own value is known.
        crossing: those of them whose value stands in training too.
        unknown: utterances without a value, on either side.
    """

    what: str
    tested: int
    crossing: int
    unknown: int

    @property
    def share(self) -> float | None:
        """Part of the tested that cross; None where it cannot be said."""
        if self.crossing:
            return self.crossing / self.tested
        return None if self.unknown or not self.tested else 0.0


@dataclass(frozen=True)
class Association:
    """What the speaker alone says of the emotion.

    Attributes:
        cramers_v: 0 (nothing) to 1 (everything), corrected for bias after Bergsma (2013).
        guessed: accuracy of guessing every speaker's most frequent emotion.
        chance: accuracy of guessing the most frequent emotion of all.
    """

    cramers_v: float
    guessed: float
    chance: float


@dataclass(frozen=True)
class Audit:
    """What crosses a split. `speaker_emotion` is None where no speaker is known."""

    protocol: str
    folds: int
    utterances: int
    by_emotion: dict[str, int]
    crossings: dict[str, Crossing]
    speaker_emotion: Association | None
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        plain = asdict(self)
        for what, crossing in self.crossings.items():
            plain["crossings"][what]["share"] = crossing.share
        return plain


def audit(table: pa.Table, folds: list[Fold], protocol: str, sounds: Sequence[str | None]) -> Audit:
    """Look for leaks in the folds of a protocol.

    A twin is the same sentence by the same speaker in the same emotion (of the same intensity, where the
    corpus says it), or identical audio.

    Args:
        table: manifest rows that `folds` divide.
        folds: from `corpora.splits.split`.
        protocol: its name, for the record.
        sounds: a hash of each row's audio, equal for identical audio; None where it is not known.
    """
    crossings = {
        "speaker": cross("speaker", _column(table, "speaker"), folds),
        "session": cross("session", _column(table, "session"), folds),
        "sentence": cross("sentence", sentences(table), folds),
        "twin": _either("twin", [twins(table), list(sounds)], folds),
        "identical": cross("identical", list(sounds), folds),
    }
    return Audit(
        protocol=protocol,
        folds=len(folds),
        utterances=len(table),
        by_emotion=dict(Counter(_column(table, "emotion"))),
        crossings=crossings,
        speaker_emotion=associate(_column(table, "speaker"), _column(table, "emotion")),
        verdict=conclude(crossings),
    )


def cross(what: str, keys: Keys, folds: list[Fold]) -> Crossing:
    """Test utterances whose key stands in training too."""
    return _either(what, [keys], folds)


def _either(what: str, kinds: list[Keys], folds: list[Fold]) -> Crossing:
    """Test utterances of which any of several keys stands in training too."""
    tested = crossing = 0
    known = np.array([any(key is not None for key in row) for row in zip(*kinds, strict=True)], dtype=bool)
    for fold in folds:
        both = np.zeros(len(fold.test), dtype=bool)
        for keys in kinds:
            trained = {keys[row] for row in fold.train} - {None}
            both |= np.array([keys[row] in trained for row in fold.test], dtype=bool)
        tested += int(known[fold.test].sum())
        crossing += int(both.sum())
    return Crossing(what, tested, crossing, int((~known).sum()))


def sentences(table: pa.Table) -> Keys:
    """Which sentence each row says: a corpus's own word for it, so corpora are kept apart."""
    pairs = zip(_column(table, "corpus"), _column(table, "text_id"), strict=True)
    return [None if text is None else (corpus, text) for corpus, text in pairs]


def twins(table: pa.Table) -> Keys:
    """Speaker, sentence, emotion and intensity of each row; None where one of the first three is missing."""
    columns = [_column(table, name) for name in ("speaker", "text_id", "emotion", "intensity")]
    return [None if None in row[:3] else row for row in zip(*columns, strict=True)]


def conclude(crossings: dict[str, Crossing]) -> str:
    """The verdict in one line; it begins with whether the split is speaker-independent."""
    speaker = crossings["speaker"].share
    if speaker is None:
        said = ["speakers not known: whether they cross the split cannot be said"]
    elif speaker:
        said = [
            f"NOT speaker-independent: {speaker:.0%} of test utterances are by speakers heard in training"
        ]
    else:
        said = ["speaker-independent"]
    twin, sentence = crossings.get("twin"), crossings.get("sentence")
    if twin and twin.share:
        said.append(f"{twin.share:.0%} have a twin in training")
    if sentence and sentence.share:
        said.append(f"{sentence.share:.0%} say a sentence heard in training")
    identical = crossings.get("identical")
    if identical and identical.crossing:
        said.append(f"{identical.crossing} sound exactly like a training utterance")
    return "; ".join(said)


def associate(speakers: Keys, emotions: Keys) -> Association | None:
    """How strongly the speaker alone predicts the emotion, over rows that have both."""
    pairs = [(s, e) for s, e in zip(speakers, emotions, strict=True) if s is not None and e is not None]
    if not pairs:
        return None
    rows, columns = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    counts = np.zeros((len(rows), len(columns)))
    for speaker, emotion in pairs:
        counts[rows.index(speaker), columns.index(emotion)] += 1
    total = counts.sum()
    return Association(
        cramers_v=_cramers_v(counts),
        guessed=float(counts.max(axis=1).sum() / total),
        chance=float(counts.sum(axis=0).max() / total),
    )


def _cramers_v(counts: np.ndarray) -> float:
    total = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / total
    phi2 = float((np.square(counts - expected) / expected).sum() / total)
    if total < 2 or min(counts.shape) < 2:
        return 0.0
    freedom = np.array(counts.shape) - 1
    unbiased = max(0.0, phi2 - freedom.prod() / (total - 1))
    effective = freedom - np.square(freedom) / (total - 1)
    return float(np.sqrt(unbiased / effective.min())) if effective.min() > 0 else 0.0


def audio_hashes(table: pa.Table) -> list[str | None]:
    """A hash of the bytes and the place of each row's audio: equal for byte-identical recordings.

    Only files that share their size with another are read. A file that cannot be had gives None.
    """
    uris: list[str] = table["uri"].to_pylist()
    places = zip(*(table[name].to_pylist() for name in ("start_s", "end_s", "channel")), strict=True)
    sizes: dict[str, int] = {}
    for folder in sorted({uri.rpartition("/")[0] for uri in uris}):
        try:
            sizes |= {file.uri: file.size for file in storage.list_files(folder, deep=False)}
        except SerRayError:
            continue
    shared = {size for size, n in Counter(sizes[u] for u in set(uris) & set(sizes)).items() if n > 1}
    alike = [uri for uri in sorted(set(uris)) if sizes.get(uri) in shared]
    with ThreadPoolExecutor(8) as pool:
        contents = dict(zip(alike, pool.map(_content, alike), strict=True))
    contents |= {uri: uri for uri in uris if uri in sizes and sizes[uri] not in shared}
    return [
        None if (content := contents.get(uri)) is None else f"{content}|{place}"
        for uri, place in zip(uris, places, strict=True)
    ]


def _content(uri: str) -> str | None:
    try:
        return hashlib.sha256(storage.read_bytes(uri)).hexdigest()
    except SerRayError:
        return None


def _column(table: pa.Table, name: str) -> Keys:
    return list(table[name].to_pylist())
