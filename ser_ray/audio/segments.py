"""Speech segments from speech probabilities, as a stream: a call of hours needs the memory of seconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

import numpy as np

from ser_ray.errors import UsageError

Segment = tuple[float, float]  # start and end in seconds

SILENT, LINGERING, SPEAKING = 0, 1, 2  # below release, between release and threshold, from threshold on


@dataclass(frozen=True)
class SegmentRules:
    """When speech starts and ends, and how long a segment may be.

    Attributes:
        threshold: speech starts with the first probability not under it.
        release: a pause starts with the first probability under it.
        min_silence_s: a pause that reaches this length without a probability of `threshold` ends the speech.
        pad_s: silence kept on both sides of the speech; at most half of `min_silence_s`.
        min_s: shorter segments are dropped.
        max_s: longer speech is split.

    Raises:
        UsageError: the rules contradict each other.
    """

    threshold: float = 0.5
    release: float = 0.35
    min_silence_s: float = 0.3
    pad_s: float = 0.03
    min_s: float = 0.5
    max_s: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.release <= self.threshold <= 1:
            raise UsageError(
                f"release {self.release} and threshold {self.threshold}: give 0 <= release <= threshold <= 1."
            )
        if not 0 <= 2 * self.pad_s <= self.min_silence_s:
            raise UsageError(
                f"pad_s {self.pad_s} must be between 0 and half of min_silence_s {self.min_silence_s}."
            )
        if not 0 <= self.min_s < self.max_s / 2 - self.pad_s:
            raise UsageError(
                f"min_s {self.min_s} must be in 0 .. half of max_s {self.max_s} less pad_s {self.pad_s}."
            )


class Segmenter:
    """Speech segments of one leg, from probabilities pushed in pieces of any length.

    The hysteresis is that of Silero's `get_speech_timestamps`, but a pause of `min_silence_s` ends the
    speech also where its last probability is above `release`, so that no decision is put off for long.
    Speech longer than `max_s` is split where its probability is lowest, in the later half of the longest
    segment there could be. Segments come sorted, do not overlap, and their audio has always been heard
    when they are returned.

    Args:
        hop_s: seconds that one probability stands for.
        rules: when speech starts and ends.

    Attributes:
        speech_s: speech of the segments so far, in seconds, without padding and with the bursts that were
            too short to be a segment. Speech still going on counts when it ends.

    Raises:
        UsageError: the rules are too tight for the hop: a pause of two hops, and six hops of choice for
            a split, are needed for segments to keep to their lengths and to the leg.
    """

    def __init__(self, hop_s: float, rules: SegmentRules) -> None:
        if rules.max_s < 2 * (rules.min_s + rules.pad_s) + 6 * hop_s:
            raise UsageError(
                f"max_s {rules.max_s} is too short for hops of {hop_s} s: raise it or lower min_s."
            )
        if rules.min_silence_s < 2 * hop_s:
            raise UsageError(
                f"min_silence_s {rules.min_silence_s} is too short for hops of {hop_s} s: raise it."
            )
        self.speech_s = 0.0
        self._hop_s, self._rules = hop_s, rules
        self._frames = 0  # heard so far
        self._recent = np.empty(0, np.float32)  # the newest probabilities, as far back as a split may look
        self._speaking = False
        self._onset_s = 0.0  # where the speech going on began, or was last split
        self._start_s = 0.0  # where its segment starts
        self._pause: int | None = None  # frame where its present pause began

    @property
    def pending_s(self) -> float:
        """The earliest time, in seconds, whose audio a segment still to come may need.

        It is never more than `max_s + min_silence_s + pad_s` behind the newest probability.
        """
        if self._speaking:
            return self._start_s
        return max(0.0, self._frames * self._hop_s - self._rules.pad_s)

    def push(self, probabilities: np.ndarray) -> list[Segment]:
        """The segments that the next probabilities [frames] complete."""
        if len(probabilities) == 0:
            return []
        heard = self._frames
        self._frames += len(probabilities)
        self._recent = np.concatenate([self._recent, probabilities])
        rules = self._rules
        levels = (probabilities >= rules.release).astype(np.int8) + (probabilities >= rules.threshold)
        edges = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]
        segments: list[Segment] = []
        for first, end in pairwise(edges):
            segments += self._hear(levels[first], heard + first, heard + end)
        oldest = self._frames - len(self._recent)
        self._recent = self._recent[max(0, floor(self.pending_s / self._hop_s) - oldest) :].copy()
        return segments

    def finish(self, duration_s: float) -> list[Segment]:
        """The segment that was going on at the end of the leg, if any; it is clipped to `duration_s`."""
        if not self._speaking:
            return []
        end = self._frames if self._pause is None else self._pause
        return self._end_speech(end * self._hop_s, duration_s)

    def _hear(self, level: int, first: int, end: int) -> list[Segment]:
        """Take in the frames `first` to `end`, all of one level."""
        if level == SPEAKING:
            self._pause = None
            if not self._speaking:
                self._speaking = True
                self._onset_s = first * self._hop_s
                self._start_s = max(0.0, self._onset_s - self._rules.pad_s)
        if not self._speaking:
            return []
        if level == SILENT and self._pause is None:
            self._pause = first
        if self._pause is None:
            return self._split(first, end)
        if (end - self._pause) * self._hop_s < self._rules.min_silence_s:
            return []
        return self._end_speech(self._pause * self._hop_s, np.inf)

    def _end_speech(self, end_s: float, duration_s: float) -> list[Segment]:
        self.speech_s += max(0.0, min(end_s, duration_s) - self._onset_s)
        self._speaking, self._pause = False, None
        segment = (self._start_s, min(end_s + self._rules.pad_s, duration_s))
        return [segment] if segment[1] - segment[0] >= self._rules.min_s else []

    def _split(self, first: int, end: int) -> list[Segment]:
        """Cut the speech going on, whose frames `first` to `end` are new, until its rest is short enough.

        Each cut is decided at the first frame that makes the speech too long, however much is heard already,
        so that segments do not depend on how the probabilities were pushed.
        """
        rules, hop_s = self._rules, self._hop_s
        segments: list[Segment] = []
        while True:
            longest = floor((self._start_s + rules.max_s - rules.pad_s) / hop_s)
            known = max(longest, first) + 1  # frames known when the speech has become too long
            if known > end:
                return segments
            # the rest keeps min_s even where the recording ends within its last frame
            earliest = ceil((self._start_s + rules.max_s / 2) / hop_s - 0.5)
            latest = floor(
                min((self._start_s + rules.max_s) / hop_s - 0.5, known - 1.5 - rules.min_s / hop_s)
            )
            cut_s = (self._quietest(earliest, latest) + 0.5) * hop_s
            segments.append((self._start_s, cut_s))
            self.speech_s += cut_s - self._onset_s
            self._onset_s = self._start_s = cut_s

    def _quietest(self, earliest: int, latest: int) -> int:
        """The frame of the lowest probability from `earliest` to `latest`, the last of equals."""
        oldest = self._frames - len(self._recent)
        window = self._recent[earliest - oldest : latest + 1 - oldest]
        return latest - int(window[::-1].argmin())
