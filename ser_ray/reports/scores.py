"""The summary of a scores folder: totals, ranking and ledger, ready for a page or a terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ser_ray import storage
from ser_ray.errors import BadStore
from ser_ray.reports.records import Call, Counts, EnsembleFacts, Run, Stretch, read_calls, read_run


@dataclass(frozen=True)
class RankedCall:
    """A call that needs a person, and the stretch that says why."""

    call: Call
    worst: Stretch


@dataclass(frozen=True)
class LegTime:
    """Seconds in each emotion, over all scored calls, for the legs of one name."""

    leg: str
    seconds: Mapping[str, float]

    @property
    def total_s(self) -> float:
        """Seconds in all emotions together."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class FailureGroup:
    """Calls that failed at the same stage for the same reason."""

    stage: str
    type: str
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Summary:
    """What the reports show of one run.

    Attributes:
        scores: where the scores folder is.
        run: run.json.
        counts: `listed` from run.json, the outcomes counted again from the rows.
        emotion_time: time in each emotion, one entry for each leg name.
        ranked: calls with a negative stretch, the strongest first.
        ledger: failed calls by stage and type, the largest group first.
        no_speech: calls in which nobody speaks.
        problems: one sentence for each count that does not add up.
    """

    scores: str
    run: Run
    counts: Counts
    emotion_time: tuple[LegTime, ...]
    ranked: tuple[RankedCall, ...]
    ledger: tuple[FailureGroup, ...]
    no_speech: tuple[Call, ...]
    problems: tuple[str, ...]


def summarise(scores: str) -> Summary:
    """The summary of the scores folder at `scores`.

    Raises:
        MissingInput: the folder, its run.json or its calls are not there.
        BadStore: it is not a scores folder, or one of another format.
    """
    scores = storage.require(scores, "scores folder")
    run = read_run(scores)
    calls = read_calls(scores)
    status = Counter(call.status for call in calls)
    return Summary(
        scores=scores,
        run=run,
        counts=Counts(run.counts.listed, status["ok"], status["no_speech"], status["error"]),
        emotion_time=_emotion_time(calls, run.ensemble),
        ranked=_ranked(calls),
        ledger=_ledger(calls),
        no_speech=tuple(sorted((c for c in calls if c.status == "no_speech"), key=lambda c: c.call_id)),
        problems=tuple(_problems(run, calls)),
    )


def _ranked(calls: Iterable[Call]) -> tuple[RankedCall, ...]:
    worrying = [call for call in calls if call.status == "ok" and (call.worst_score or 0) > 0]
    worrying.sort(key=lambda call: (-(call.worst_score or 0), call.call_id))
    return tuple(RankedCall(call, _worst_stretch(call)) for call in worrying)


def _worst_stretch(call: Call) -> Stretch:
    for leg in call.legs or ():
        if leg.leg == call.worst_leg and leg.stretch is not None:
            return leg.stretch
    raise BadStore(f"call {call.call_id!r}: its worst leg {call.worst_leg!r} has no stretch. Score again.")


def _emotion_time(calls: Iterable[Call], ensemble: EnsembleFacts) -> tuple[LegTime, ...]:
    """Seconds by leg and emotion; the negative emotions come first."""
    known = tuple(dict.fromkeys((*ensemble.negative, *ensemble.labels)))
    totals: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(known, 0.0))
    for call in calls:
        for leg in call.legs or ():
            total = totals[leg.leg]
            for label, seconds in leg.seconds.items():
                total[label] = total.get(label, 0.0) + (seconds or 0.0)
    return tuple(LegTime(leg, total) for leg, total in sorted(totals.items()))


def _ledger(calls: Iterable[Call]) -> tuple[FailureGroup, ...]:
    groups: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        if call.status == "error":
            groups[call.error_stage or "unknown", call.error_type or "unknown"].append(call)
    largest_first = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        FailureGroup(stage, kind, tuple(sorted(failed, key=lambda call: call.call_id)))
        for (stage, kind), failed in largest_first
    )


def _problems(run: Run, calls: Sequence[Call]) -> Iterator[str]:
    status = Counter(call.status for call in calls)
    failed = [call for call in calls if call.status == "error"]
    if run.counts.listed != len(calls):
        yield f"{run.counts.listed:,} calls were listed, but {len(calls):,} have a row."
    if run.counts.listed != run.counts.accounted:
        yield (
            f"run.json does not add up: {run.counts.listed:,} listed, but {run.counts.ok:,} ok + "
            f"{run.counts.no_speech:,} no speech + {run.counts.error:,} failed = {run.counts.accounted:,}."
        )
    for name in ("ok", "no_speech", "error"):
        if (said := getattr(run.counts, name)) != status[name]:
            yield f"run.json counts {said:,} calls as {name}, the rows hold {status[name]:,}."
    if unknown := sorted(status.keys() - {"ok", "no_speech", "error"}):
        yield f"{sum(status[name] for name in unknown):,} rows have an unknown status: {', '.join(unknown)}."
    said_failures, failures = Counter(run.errors), Counter(call.error_type or "unknown" for call in failed)
    for kind in sorted(said_failures.keys() | failures.keys()):
        if (said := said_failures[kind]) != (held := failures[kind]):
            yield f"run.json counts {said:,} failures of type {kind}, the rows hold {held:,}."
    rows_of = Counter(call.call_id for call in calls)
    repeated = sorted(call_id for call_id, rows in rows_of.items() if rows > 1)
    if repeated:
        yield f"{len(repeated):,} call ids have more than one row, the first is {repeated[0]}."
