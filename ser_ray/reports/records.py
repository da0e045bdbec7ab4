"""What a scores folder holds: run.json and the rows of calls/, read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from ser_ray import storage
from ser_ray.errors import BadStore, StorageFailed

FORMAT = 1  # of run.json

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True)
class EnsembleFacts:
    """What run.json says of the ensemble that scored the calls.

    Segments less confident than `certain_from` are not certain; None where that is not known.
    """

    uri: str
    fingerprint: str
    rule: str
    labels: tuple[str, ...]
    negative: tuple[str, ...]
    band: object
    members: tuple[str, ...]
    certain_from: float | None = None


@dataclass(frozen=True)
class Counts:
    """Calls by outcome; `listed` is what the archive held when the run began."""

    listed: int
    ok: int
    no_speech: int
    error: int

    @property
    def accounted(self) -> int:
        """Calls that have an outcome."""
        return self.ok + self.no_speech + self.error


@dataclass(frozen=True)
class Figures:
    """What sums up a night: calls with a negative stretch, and means over its scored speech."""

    ranked: int
    negativity: float | None
    confidence: float | None


@dataclass(frozen=True)
class Drift:
    """How the calls differ from what the ensemble learned from: a sentence for each thing to heed."""

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """run.json: one scoring run by its own account."""

    format: int
    archive: str
    ensemble: EnsembleFacts
    counts: Counts
    errors: Mapping[str, int]
    audio_hours: float
    speech_hours: float
    wall_s: float
    times_real_time: float
    started: datetime
    finished: datetime | None
    complete: bool
    versions: Mapping[str, object]
    figures: Figures | None = None
    drift: Drift | None = None


@dataclass(frozen=True)
class Segment:
    """One classified stretch of speech on one leg; times in seconds from the start of the call."""

    leg: str
    start_s: float
    end_s: float
    emotion: str
    confidence: float
    certain: bool = True


@dataclass(frozen=True)
class Stretch:
    """A leg's strongest run of negative segments; `score` is in negative seconds."""

    leg: str
    start_s: float
    end_s: float
    emotion: str
    negativity: float
    score: float
    trend: float | None


@dataclass(frozen=True)
class Leg:
    """One side of a call, rolled up.

    `seconds` is the time in each emotion, `uncertain_s` that in segments that are not certain.
    """

    leg: str
    speech_s: float
    confidence: float | None
    negativity: float | None
    trend: float | None
    stretch_start_s: float | None
    stretch_end_s: float | None
    stretch_emotion: str | None
    stretch_negativity: float | None
    stretch_score: float
    seconds: Mapping[str, float | None]
    uncertain_s: float = 0.0

    @property
    def stretch(self) -> Stretch | None:
        """The strongest negative stretch, where the leg has one."""
        start, end, negativity = self.stretch_start_s, self.stretch_end_s, self.stretch_negativity
        if start is None or end is None or negativity is None or not self.stretch_score > 0:
            return None
        emotion = self.stretch_emotion or "negative"
        return Stretch(self.leg, start, end, emotion, negativity, self.stretch_score, self.trend)


@dataclass(frozen=True)
class Call:
    """One row of the scores, without its segments."""

    call_id: str
    uri: str
    agent: str | None
    date: str | None
    status: str
    error_stage: str | None
    error_type: str | None
    error: str | None
    duration_s: float | None
    speech_s: float | None
    sample_rate: int | None
    channels: int | None
    dual_mono: bool | None
    legs: tuple[Leg, ...] | None
    worst_leg: str | None
    worst_score: float | None
    confidence: float | None

    @property
    def negativity(self) -> float | None:
        """Mean over the speech of all legs, None without speech."""
        heard = [(leg.speech_s, leg.negativity) for leg in self.legs or () if leg.negativity is not None]
        speech_s = sum(length for length, _ in heard)
        return sum(length * share for length, share in heard) / speech_s if speech_s else None


def read_run(scores: str) -> Run:
    """The run.json of a scores folder.

    Raises:
        BadStore: there is none, or one of another format.
    """
    uri = storage.join(scores, "run.json")
    if not storage.exists(uri):
        raise BadStore(f"{scores} has no run.json, so it is not a scores folder. Give what `score -o` wrote.")
    try:
        content = storage.read_json(uri)
    except ValueError as error:
        raise BadStore(f"{uri} is not JSON ({error}). Score the archive again.") from error
    written = content.get("format") if isinstance(content, dict) else None
    if written != FORMAT:
        raise BadStore(
            f"{uri} has format {written!r}, this version reads {FORMAT}. Use the version that wrote it."
        )
    return _parse(Run, content, uri)


def read_calls(scores: str) -> tuple[Call, ...]:
    """Every row of a scores folder, without the segments.

    Raises:
        MissingInput: it has no calls.
        BadStore: the rows are not what `score` writes.
    """
    folder = storage.join(scores, "calls")
    table = _read_columns(folder, [field.name for field in fields(Call)])
    return _parse(tuple[Call, ...], table.to_pylist(), folder)


def read_segments(scores: str, call_ids: Iterable[str]) -> dict[str, tuple[Segment, ...]]:
    """The segments of some calls, by call id; one file is held in memory at a time."""
    folder = storage.join(scores, "calls")
    wanted = pa.array(list(call_ids), pa.string())
    segments: dict[str, tuple[Segment, ...]] = {}
    for file in storage.list_files(folder, (".parquet",)):
        table = _read_columns(file.uri, ["call_id", "segments"])
        rows = table.filter(pc.is_in(table["call_id"], value_set=wanted)).combine_chunks()
        of_calls = _without_probabilities(rows["segments"].combine_chunks()).to_pylist()
        for call_id, parts in zip(rows["call_id"].to_pylist(), of_calls, strict=True):
            segments[call_id] = _parse(tuple[Segment, ...], parts or (), file.uri)
    return segments


def _without_probabilities(segments: pa.ListArray) -> pa.ListArray:
    """The fields of `Segment` alone: the probability of each label is most of what a list holds."""
    parts = segments.flatten()
    names = [field.name for field in fields(Segment) if parts.type.get_field_index(field.name) >= 0]
    kept = pa.StructArray.from_arrays([parts.field(name) for name in names], names)
    lengths = pc.fill_null(pc.list_value_length(segments), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, kept)


def _read_columns(uri: str, columns: list[str]) -> pa.Table:
    try:
        return storage.read_parquet(uri, columns)
    except (StorageFailed, pa.ArrowTypeError) as error:
        cause = error.__cause__ if isinstance(error, StorageFailed) else error
        if not isinstance(cause, pa.ArrowException):
            raise
        first_line = str(cause).splitlines()[0]
        raise BadStore(f"{uri} does not hold what `score` writes: {first_line}. Score again.") from error


def _parse(kind: type[_Parsed], content: object, uri: str) -> _Parsed:
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadStore(f"{uri} is not what `score` writes: {where}: {first['msg']}. Score again.") from error
