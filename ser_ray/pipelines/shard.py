"""The scoring worker: one shard of calls in, one file of rows out."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from socket import gethostname
from typing import Any

import numpy as np
import pyarrow as pa

from ser_ray import storage
from ser_ray.audio.band import in_band
from ser_ray.audio.segments import SegmentRules
from ser_ray.errors import MissingInput, RunFailed
from ser_ray.features import Feature
from ser_ray.fusion import Ensemble
from ser_ray.fusion.smoothing import NONE, smooth
from ser_ray.models.inputs import stacked
from ser_ray.pipelines.attempts import Attempt
from ser_ray.pipelines.calls import OpenCall, Spoken, Stopwatch, listen
from ser_ray.pipelines.drift import Tally, sound_of
from ser_ray.pipelines.members import GpuPool, load_unchanged
from ser_ray.pipelines.metrics import account
from ser_ray.pipelines.scores import Segment, roll_up, schema, segment_rows

METADATA = b"ser_ray"  # key of a shard file's metadata: seconds by stage, memory, drift, when and by whom


@dataclass(frozen=True)
class ScoreOptions:
    """What decides how a call is heard.

    Attributes:
        legs: names of the legs, in the order of the channels.
        rules: of the segments.
        allow_band_mismatch: score telephone audio with a wide-band ensemble all the same.
        smooth: how the segments of a leg are smoothed, `none` or one of `fusion.smoothing.SMOOTHINGS`.
        certain_from: the confidence from which a segment is certain; None: the ensemble's own.
    """

    legs: tuple[str, ...] = ("agent", "customer")
    rules: SegmentRules = field(default_factory=SegmentRules)
    allow_band_mismatch: bool = False
    smooth: str = NONE
    certain_from: float | None = None

    def threshold(self, ensemble: Ensemble) -> float | None:
        """The confidence from which a segment is certain; None: all are."""
        return ensemble.certain_from if self.certain_from is None else self.certain_from


class ShardScorer:
    """The worker: one shard of calls in, one file of rows out.

    Args:
        ensemble: its directory.
        fingerprint: what it must have.
        out: scores folder.
        options: how calls are heard.
        pool: GPU actors for the deep members and accelerated features; None computes all here.
    """

    def __init__(
        self,
        ensemble: str,
        fingerprint: str,
        out: str,
        options: ScoreOptions,
        pool: GpuPool | None = None,
    ) -> None:
        loaded = load_unchanged(ensemble, fingerprint)
        self.ensemble = pool.ensemble(loaded) if pool else loaded
        self.batch = pool.batch if pool else Feature.batch
        self.out, self.options = out, options
        self.schema = schema(self.ensemble.labels)
        self.worker = f"{gethostname()}:{os.getpid()}"
        self.tally = Tally()  # of the shard at work

    def __call__(self, batch: pa.Table, attempt: Attempt) -> dict[str, Any]:
        """Score the one shard of `batch` and say what was done."""
        began, shard = time.time(), batch.to_pylist()[0]
        watch, processor, self.tally = Stopwatch(), time.process_time(), Tally()
        rows = self.rows(shard["calls"], watch, attempt)
        attempt.announce(None)
        with watch.stage("table"):
            table = pa.Table.from_pylist(rows, schema=self.schema)
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        about = {"seconds": watch.seconds, "peak_mib": peak_kib // 1024, "worker": self.worker}
        about |= {"began": began, "ended": time.time(), "cpu_s": time.process_time() - processor}
        about["drift"] = self.tally.to_dict()
        table = table.replace_schema_metadata({METADATA: json.dumps(about)})
        storage.write_parquet(storage.join(self.out, "calls", f"{shard['shard']}.parquet"), table)
        return account(rows, watch.seconds)

    def rows(
        self, calls: Sequence[dict[str, str]], watch: Stopwatch, attempt: Attempt
    ) -> list[dict[str, Any]]:
        """Rows of the calls of a shard, as far apart as its earlier attempts ask for."""
        rows: dict[str, dict[str, Any]] = {}
        for call in calls:
            if culprit := attempt.culprits.get(call["uri"]):
                error = culprit.error(attempt.limit_s)
                rows[call["call_id"]] = _failed_row(call, culprit.stage, culprit.kind, str(error), None)
        left = [call for call in calls if call["call_id"] not in rows]
        for group in [[call] for call in left] if attempt.alone else [left] if left else []:
            attempt.announce(group[0]["uri"])
            rows |= {row["call_id"]: row for row in self.score(group, watch, attempt)}
        return [rows[call["call_id"]] for call in calls]

    def score(
        self, calls: Sequence[dict[str, str]], watch: Stopwatch, attempt: Attempt | None = None
    ) -> list[dict[str, Any]]:
        """Rows of some calls, given with `call_id` and `uri`, and `agent` and `date` where known.

        Should one of them meet an error that nobody foresaw, all are scored again one by one, and that
        one's row names it.
        """
        attempt = attempt or Attempt()
        try:
            return self._together(calls, watch, attempt)
        except Exception as error:
            if isinstance(error, RunFailed) or getattr(error, "whole", False):  # no call's fault
                raise
            if len(calls) > 1:
                return [row for call in calls for row in self.score([call], watch, attempt)]
            return [_failed_row(calls[0], "score", type(error).__name__, str(error), None)]

    def _together(
        self, calls: Sequence[dict[str, str]], watch: Stopwatch, attempt: Attempt
    ) -> list[dict[str, Any]]:
        places: list[tuple[int, str, float, float]] = []
        values: dict[str, list[np.ndarray]] = {f.fingerprint: [] for f in self.ensemble.features}
        sound: list[tuple[float, float, float]] = []

        def hear(spoken: list[Spoken]) -> None:
            with watch.stage("features"):
                for feature in self.ensemble.features if spoken else ():
                    waves = [self._fit(s, feature) for s in spoken]
                    values[feature.fingerprint] += self.batch(feature, waves)
            places.extend((s.call, s.leg, s.start_s, s.end_s) for s in spoken)
            with watch.stage("drift"):
                sound.extend(sound_of(s.wave, s.rate) for s in spoken)

        wide_only = self.ensemble.band == "wide" and not self.options.allow_band_mismatch
        uris = [call["uri"] for call in calls]
        heard = listen(uris, self.options.legs, self.options.rules, wide_only, hear, watch, attempt)
        with watch.stage("members"):
            legs = [(number, leg) for number, leg, _, _ in places]
            p = self._probabilities(values, legs) if places else np.zeros((0, len(self.ensemble.labels)))
        start_s, end_s = np.array([place[2:] for place in places]).reshape(-1, 2).T
        smoothed = smooth(self.options.smooth, p, legs, start_s, end_s)
        segments: list[list[Segment]] = [[] for _ in calls]
        for (number, leg, start, end), row in zip(places, smoothed, strict=True):
            segments[number].append(Segment(leg, start, end, row))
        rows = [self._row(c, h, s) for c, h, s in zip(calls, heard, segments, strict=True)]
        with watch.stage("drift"):  # last: calls that are scored again after an error must not count twice
            kept = np.array([heard[number].failure is None for number, _ in legs], bool)
            self.tally.add(values, p, sound, kept)
        return rows

    def _fit(self, spoken: Spoken, feature: Feature) -> np.ndarray:
        mismatch = feature.band == "wide" and self.options.allow_band_mismatch
        return in_band(spoken.wave, spoken.rate, feature.rate, feature.band, stretch_band=mismatch)

    def _probabilities(self, values: dict[str, list[np.ndarray]], legs: list[tuple[int, str]]) -> np.ndarray:
        """Probabilities of each segment; a leg counts as a speaker where a member normalises them."""
        return self.ensemble.predict_proba({key: stacked(rows) for key, rows in values.items()}, legs)

    def _row(self, call: dict[str, str], heard: OpenCall, segments: list[Segment]) -> dict[str, Any]:
        if heard.failure:
            error = heard.failure
            kind = "missing" if isinstance(error, MissingInput) else error.kind
            return _failed_row(call, heard.stage, kind, str(error), heard)
        labels, certain_from = self.ensemble.labels, self.options.threshold(self.ensemble)
        segments = sorted(segments, key=lambda s: (s.start_s, s.leg))
        names = [leg.name for leg in heard.legs]
        return {
            **_about(call, heard),
            "status": "ok" if segments else "no_speech",
            **dict.fromkeys(("error_stage", "error_type", "error"), ""),
            "speech_s": sum(leg.segmenter.speech_s for leg in heard.legs),
            "segments": segment_rows(segments, labels, self.ensemble.groups, certain_from),
            **roll_up(names, segments, heard.duration_s, labels, self.ensemble.negative, certain_from),
        }


def _about(call: dict[str, str], heard: OpenCall | None) -> dict[str, Any]:
    return {
        "call_id": call["call_id"],
        "uri": call["uri"],
        "agent": call.get("agent"),
        "date": call.get("date"),
        "duration_s": heard.duration_s if heard else 0.0,
        "sample_rate": heard.sample_rate if heard else 0,
        "channels": heard.channels if heard else 0,
        "dual_mono": heard.dual_mono if heard else False,
    }


def _failed_row(
    call: dict[str, str], stage: str, kind: str, message: str, heard: OpenCall | None
) -> dict[str, Any]:
    return {
        **_about(call, heard),
        "status": "error",
        "error_stage": stage,
        "error_type": kind,
        "error": message[:500],
        "speech_s": 0.0,
        "segments": [],
        **roll_up([], [], 0.0, [], []),
    }
