"""Listening to calls: many legs in step, from recordings to segments of speech, in bounded memory.

All legs of a shard advance together, a stretch at a time: decode, detect speech in every leg at once,
cut the segments that have ended, forget the audio before the ones that have not. A call of four hours
therefore needs the memory of some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from ser_ray import storage
from ser_ray.audio.band import NARROW_RATE, is_narrow_band
from ser_ray.audio.channels import MONO, is_dual_mono, leg_names
from ser_ray.audio.decode import AudioReader
from ser_ray.audio.resample import StreamResampler
from ser_ray.audio.segments import Segmenter, SegmentRules
from ser_ray.audio.vad import LaneVad
from ser_ray.errors import MissingInput, StorageFailed, UnreadableAudio
from ser_ray.pipelines.attempts import Attempt

STRETCH_S = 16.0
BAND_SAMPLE_S = 12.0  # speech that is enough to tell a call's band
FETCHED_AT_ONCE = 8  # recordings; a bucket takes its time for each
FFMPEG_SHARE = 0.9  # of a call's time, so that ffmpeg is ended before the whole process would be


@dataclass(frozen=True)
class Spoken:
    """A segment of speech: where it is, and its wave, float32 [samples] at `rate`."""

    call: int
    leg: str
    start_s: float
    end_s: float
    wave: np.ndarray
    rate: int


@dataclass
class Stopwatch:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside as time of `name`."""
        started = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - started


class Leg:
    """One leg as it is being heard: audio not yet judged, audio that a segment may still need."""

    def __init__(self, name: str, rate: int, vad_rate: int, hop: int, rules: SegmentRules) -> None:
        self.name, self.rate = name, rate
        self.segmenter = Segmenter(hop / vad_rate, rules)
        self._resampler = StreamResampler(rate, vad_rate, 1)
        self._unjudged = np.zeros(0, np.float32)  # at the rate of the detector
        self._audio = np.zeros(0, np.float32)  # at its own rate, from sample `_offset` on
        self._offset = 0

    @property
    def unjudged(self) -> int:
        """Samples that wait for the detector."""
        return len(self._unjudged)

    def hear(self, wave: np.ndarray, last: bool) -> None:
        """Add the next samples of the leg [samples]."""
        self._audio = np.concatenate([self._audio, wave])
        judged = self._resampler.push(wave[:, None], last)[:, 0]
        self._unjudged = np.concatenate([self._unjudged, judged])

    def take(self, samples: int) -> np.ndarray:
        """The next samples for the detector, at most so many."""
        taken, self._unjudged = self._unjudged[:samples], self._unjudged[samples:]
        return taken

    def cut(self, segments: Sequence[tuple[float, float]]) -> list[np.ndarray]:
        """The waves of segments; audio that no later one can need is forgotten."""
        waves = []
        for start_s, end_s in segments:
            first, end = (round(t * self.rate) - self._offset for t in (start_s, end_s))
            waves.append(self._audio[max(first, 0) : end].copy())
        needless = min(round(self.segmenter.pending_s * self.rate) - self._offset, len(self._audio))
        if needless > 0:
            self._audio = self._audio[needless:].copy()
            self._offset += needless
        return waves


class OpenCall:
    """One call as it is being heard.

    Attributes:
        failure: what ended it before its time.
        stage: where that was: `read`, `decode` or `band`.
    """

    def __init__(
        self,
        number: int,
        uri: str,
        fetch: Callable[[], Path],
        names: Sequence[str],
        opened: ExitStack,
        rules: SegmentRules,
        attempt: Attempt,
    ) -> None:
        self.number, self.uri = number, uri
        self._attempt = attempt
        self.failure: UnreadableAudio | MissingInput | StorageFailed | None = None
        self.stage = "read"
        self.sample_rate = self.channels = 0
        self.dual_mono = False
        self.ended = False
        self.legs: list[Leg] = []
        self._speech: list[np.ndarray] = []
        self._reader: AudioReader | None = None
        with self._failing():
            with attempt.step(uri, "read"):
                path = fetch()
            self.stage = "decode"
            with attempt.step(uri, "decode"):
                self._open(path, names, opened, rules)

    @property
    def vad_rate(self) -> int:
        """The rate of the speech detector for this call, Hz."""
        return 8000 if self.sample_rate <= NARROW_RATE else 16000

    @property
    def duration_s(self) -> float:
        """Seconds decoded."""
        return self._reader.frames_read / self.sample_rate if self._reader else 0.0

    def fill(self, samples: int) -> None:
        """Decode until every leg has so many samples for the detector, or the call ends or fails."""
        if self.ended:
            return
        with self._failing(), self._attempt.step(self.uri, "decode"):
            while not self.ended and any(leg.unjudged < samples for leg in self.legs):
                block = next(self._blocks, None)
                self.ended = block is None
                for i, leg in enumerate(self.legs):
                    leg.hear(np.zeros(0, np.float32) if block is None else block[:, i], self.ended)

    def remember(self, wave: np.ndarray) -> None:
        """Keep some speech to tell the band by."""
        if sum(map(len, self._speech)) < BAND_SAMPLE_S * self.sample_rate:
            self._speech.append(wave)

    def check_band(self) -> None:
        """Fail a call that holds nothing above the telephone band."""
        speech = np.concatenate(self._speech) if self._speech else np.zeros(0, np.float32)
        if is_narrow_band(speech, self.sample_rate):
            self.stage = "band"
            self.failure = UnreadableAudio(
                "band_mismatch",
                f"telephone audio ({self.sample_rate} Hz), but the ensemble learned from wide-band audio. "
                "Train with --band telephone, or pass --allow-band-mismatch.",
            )

    def _open(self, path: Path, names: Sequence[str], opened: ExitStack, rules: SegmentRules) -> None:
        self._reader = opened.enter_context(AudioReader(path, FFMPEG_SHARE * self._attempt.limit_s))
        info = self._reader.info
        self.sample_rate, self.channels = info.sample_rate, info.channels
        self.dual_mono = is_dual_mono(path)
        wanted = [MONO] if self.dual_mono else leg_names(info.channels, names)
        hop = self.vad_rate * 32 // 1000
        self.legs = [Leg(name, info.sample_rate, self.vad_rate, hop, rules) for name in wanted]
        self._blocks = self._reader.blocks(STRETCH_S)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (UnreadableAudio, MissingInput, StorageFailed) as error:
            if getattr(error, "whole", False):  # no call's fault
                raise
            self.failure, self.ended = error, True


def listen(
    uris: Sequence[str],
    names: Sequence[str],
    rules: SegmentRules,
    wide_only: bool,
    hear: Callable[[list[Spoken]], None],
    watch: Stopwatch,
    attempt: Attempt,
) -> list[OpenCall]:
    """Hear calls to their ends, and hand on every segment of speech as soon as it is complete.

    Args:
        uris: the recordings; `Spoken.call` is the place in this list.
        names: of the legs, in the order of the channels.
        rules: of the segments.
        wide_only: fail calls of telephone band.
        hear: given the segments of each stretch.
        watch: gets the seconds of `read`, `decode` and `vad`.
        attempt: at the calls; it limits the time that each takes to read and decode.

    Returns:
        The calls, each ended or failed, in the order of `uris`.
    """
    with _fetching(uris) as fetched, ExitStack() as opened:
        with watch.stage("read"):
            calls = [
                OpenCall(i, uri, fetch, names, opened, rules, attempt)
                for i, (uri, fetch) in enumerate(zip(uris, fetched, strict=True))
            ]
        for call in calls:
            if wide_only and not call.failure and call.sample_rate <= NARROW_RATE:
                call.check_band()
        for rate in (8000, 16000):
            group = [c for c in calls if not c.failure and c.vad_rate == rate]
            _hear_group(group, rate, wide_only, hear, watch)
    for call in calls:
        if wide_only and not call.failure:
            call.check_band()
    return calls


def _hear_group(
    calls: list[OpenCall], rate: int, wide_only: bool, hear: Callable[[list[Spoken]], None], watch: Stopwatch
) -> None:
    lanes = [(call, leg) for call in calls for leg in call.legs]
    vad = LaneVad(rate, len(lanes))
    stretch = round(STRETCH_S * rate / vad.hop) * vad.hop
    while lanes:
        with watch.stage("decode"):
            for call in calls:
                call.fill(stretch)
        with watch.stage("vad"):
            parts = [leg.take(stretch) for _, leg in lanes]
            probabilities = _judge(vad, parts)
        spoken: list[Spoken] = []
        for (call, leg), part, judged in zip(lanes, parts, probabilities, strict=True):
            if call.failure:
                continue
            segments = leg.segmenter.push(judged[: -(-len(part) // vad.hop)])
            if call.ended and leg.unjudged == 0:
                segments += leg.segmenter.finish(call.duration_s)
            for (start_s, end_s), wave in zip(segments, leg.cut(segments), strict=True):
                spoken.append(Spoken(call.number, leg.name, start_s, end_s, wave, leg.rate))
                if wide_only:
                    call.remember(wave)
        hear(spoken)
        alive = [
            i for i, (c, leg) in enumerate(lanes) if not c.failure and not (c.ended and leg.unjudged == 0)
        ]
        if len(alive) < len(lanes):
            vad.keep(alive)
            lanes = [lanes[i] for i in alive]


def _judge(vad: LaneVad, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Speech probabilities of the parts, shorter ones padded with silence [lanes, hops]."""
    hops = -(-max(map(len, parts)) // vad.hop)
    stretch = np.zeros((len(parts), hops * vad.hop), np.float32)
    for lane, part in enumerate(parts):
        stretch[lane, : len(part)] = part
    return vad.push(stretch)


@contextmanager
def _fetching(uris: Sequence[str]) -> Iterator[list[Callable[[], Path]]]:
    """For each recording what waits for its local copy; they are fetched side by side, in order."""
    with ExitStack() as copies, ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        fetches = [pool.submit(copies.enter_context, storage.local_copy(uri)) for uri in uris]
        yield [fetch.result for fetch in fetches]
