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
    """Seconds in each emotion, over all scored calls, for the legs of one name.

    `uncertain_s` are those in segments that are not certain.
    """

    leg: str
    seconds: Mapping[str, float]
    uncertain_s: float

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
class Problem:
    """A count that does not add up: the key of a phrase, `problem.KEY`, and what fills it in."""

    key: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Summary:
    """What the reports show of one run.

    Attributes:
        scores: where the scores folder is.
        run: run.json.
        counts: `listed` from run.json, the outcomes counted again from the rows.
        calls: every row.
        emotion_time: time in each emotion, one entry for each leg name.
        ranked: calls with a negative stretch, the strongest first.
        ledger: failed calls by stage and type, the largest group first.
        no_speech: calls in which nobody speaks.
        problems: one for each count that does not add up.
    """

    scores: str
    run: Run
    counts: Counts
    calls: tuple[Call, ...]
    emotion_time: tuple[LegTime, ...]
    ranked: tuple[RankedCall, ...]
    ledger: tuple[FailureGroup, ...]
    no_speech: tuple[Call, ...]
    problems: tuple[Problem, ...]

    @property
    def scored(self) -> tuple[Call, ...]:
        """Calls with a score."""
        return tuple(call for call in self.calls if call.status == "ok")


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
        calls=calls,
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
    uncertain_s: dict[str, float] = defaultdict(float)
    for call in calls:
        for leg in call.legs or ():
            total = totals[leg.leg]
            uncertain_s[leg.leg] += leg.uncertain_s
            for label, seconds in leg.seconds.items():
                total[label] = total.get(label, 0.0) + (seconds or 0.0)
    return tuple(LegTime(leg, total, uncertain_s[leg]) for leg, total in sorted(totals.items()))


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


def _problems(run: Run, calls: Sequence[Call]) -> Iterator[Problem]:
    status, counts = Counter(call.status for call in calls), run.counts
    said = {
        name: f"{getattr(counts, name):,}" for name in ("listed", "ok", "no_speech", "error", "accounted")
    }
    if counts.listed != len(calls):
        yield Problem("rows", {"listed": said["listed"], "held": f"{len(calls):,}"})
    if counts.listed != counts.accounted:
        yield Problem("sum", said)
    for name in ("ok", "no_speech", "error"):
        if getattr(counts, name) != status[name]:
            yield Problem("status", {"said": said[name], "name": name, "held": f"{status[name]:,}"})
    if unknown := sorted(status.keys() - {"ok", "no_speech", "error"}):
        rows = sum(status[name] for name in unknown)
        yield Problem("unknown", {"n": f"{rows:,}", "names": ", ".join(unknown)})
    failures = Counter(call.error_type or "unknown" for call in calls if call.status == "error")
    for kind in sorted(run.errors.keys() | failures.keys()):
        if (listed := run.errors.get(kind, 0)) != failures[kind]:
            values = {"said": f"{listed:,}", "name": kind, "held": f"{failures[kind]:,}"}
            yield Problem("failures", values)
    rows_of = Counter(call.call_id for call in calls)
    repeated = sorted(call_id for call_id, rows in rows_of.items() if rows > 1)
    if repeated:
        yield Problem("twice", {"n": f"{len(repeated):,}", "first": repeated[0]})
