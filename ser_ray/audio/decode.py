"""Recordings to samples: any format, any length, and a clear error for whatever is wrong with a file.

Content decides what a file is, never its name. libsndfile reads what it can; ffmpeg, where it is
installed, reads the rest.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ser_ray import storage
from ser_ray.audio.container import MEND, check_whole, foreign_type, read_at
from ser_ray.audio.ffmpeg import FfmpegStream
from ser_ray.audio.resample import StreamResampler
from ser_ray.audio.sndfile import NotForSndfile, SndfileStream
from ser_ray.errors import MissingInput, StorageFailed, UnreadableAudio

LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000  # Hz
MOST_CHANNELS = 8
LARGEST_SAMPLE = 8.0  # +18 dB over full scale: no recording goes there, integers stored as float do
END_SLACK_S = 0.1  # how far a labelled end may lie past the recording's: rounding, no more


@dataclass(frozen=True)
class AudioInfo:
    """What a header says.

    Attributes:
        sample_rate: Hz.
        channels: 1 to 8.
        frames: samples per channel; None where the header does not say.
    """

    sample_rate: int
    channels: int
    frames: int | None


class AudioReader:
    """One local recording, read forward, block by block, in the memory of one block.

    Samples are float32 with full scale at 1.0. A float recording that goes somewhat over it, up to
    `LARGEST_SAMPLE`, is given as it is, not clipped; one that goes further is refused.

    Args:
        path: a regular file.
        timeout_s: the longest time to wait for ffmpeg, where it is needed.

    Raises:
        UnreadableAudio: any defect that shows before decoding: `missing`, `empty`, `not_audio`,
            `unsupported`, `truncated`, `corrupt`, `no_samples`, `bad_rate`, `too_many_channels`, `timeout`.

    Example:
        ```python
        with AudioReader("call.wav") as reader:
            for block in reader.blocks(seconds=30.0):
                ...  # float32 [samples, channels]
        ```
    """

    def __init__(self, path: Path | str, timeout_s: float = 600.0) -> None:
        self.path = Path(path)
        self.frames_read = 0
        self._position = 0
        with _naming(self.path), ExitStack() as opened:
            file, size = _open_regular(self.path)
            opened.enter_context(file)
            self._stream = _open_stream(file, size, self.path, timeout_s)
            opened.callback(self._stream.close)
            self.info = AudioInfo(self._stream.rate, self._stream.channels, self._stream.frames)
            _check_info(self.info)
            self._opened = opened.pop_all()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and end the decoder."""
        self._opened.close()

    def blocks(
        self, seconds: float = 30.0, start_s: float = 0.0, end_s: float | None = None
    ) -> Iterator[np.ndarray]:
        """The recording, or the stretch from `start_s` to `end_s` of it, once.

        Args:
            seconds: length of a block; the last one is shorter.
            start_s: where to begin, s. Formats that can seek do not decode what lies before.
            end_s: where to end, s; None for the end of the recording.

        Yields:
            float32 [samples, channels], finite.

        Raises:
            UnreadableAudio: `truncated` (after the last block that could be decoded), `corrupt`,
                `not_finite`, `no_samples`, `timeout`.
        """
        rate = self.info.sample_rate
        stop = None if end_s is None else round(end_s * rate)
        size = max(1, round(seconds * rate))
        with _naming(self.path):
            self._skip_to(round(start_s * rate))
            while stop is None or self._position < stop:
                block = self._stream.read(size if stop is None else min(size, stop - self._position))
                if len(block) == 0:
                    break
                _check_samples(block, self._position / rate)
                self._position += len(block)
                self.frames_read += len(block)
                yield block
            self._check_end(stop)

    def _skip_to(self, start: int) -> None:
        if start < self._position:
            raise ValueError("a reader goes forward only; open another one")
        if self.info.frames is not None:
            start = min(start, self.info.frames)
        self._stream.skip(start - self._position)
        self._position = start

    def _check_end(self, stop: int | None) -> None:
        rate, frames = self.info.sample_rate, self.info.frames
        ended = stop is None or self._position < stop
        if ended and frames is not None and self._position < frames:
            raise UnreadableAudio(
                "truncated",
                f"the header promises {frames / rate:.2f} s, the samples end after "
                f"{self._position / rate:.2f} s. {MEND}",
            )
        if self.frames_read == 0:
            raise UnreadableAudio("no_samples", f"no samples in the stretch asked for. {MEND}")
        if stop is not None and self._position < stop - round(END_SLACK_S * rate):
            raise UnreadableAudio(
                "truncated",
                f"the recording ends after {self._position / rate:.2f} s, {stop / rate:.2f} s are asked for. "
                "Check the start and end in the manifest.",
            )


def read_audio(
    uri: str,
    rate: int | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    channel: int | None = None,
) -> tuple[np.ndarray, int]:
    """One utterance as a mono wave.

    Args:
        uri: a recording, local or remote.
        rate: Hz to resample to; None keeps the recording's.
        start_s: where the utterance begins, s; None for the start of the recording.
        end_s: where it ends, s; None for the end of the recording.
        channel: which channel, from 0; None for the mean of all.

    Returns:
        float32 [samples], and its rate in Hz.

    Raises:
        UnreadableAudio: any defect of the file (see `AudioReader`), also a stretch or a channel that the
            recording does not have (`no_samples`, `truncated`), or what its store says of this one file
            (`denied`, `storage`).
        StorageFailed: of the store as a whole.
    """
    start_s = start_s or 0.0
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise UnreadableAudio("no_samples", f"{uri}: nothing lies between {start_s} s and {end_s} s.")
    try:
        with storage.local_copy(uri) as path, AudioReader(path) as reader:
            weights = _mix(reader.info.channels, channel, uri)
            blocks = reader.blocks(start_s=start_s, end_s=end_s)
            own_rate = reader.info.sample_rate
            rate = rate or own_rate
            resampler = StreamResampler(own_rate, rate, channels=1)
            parts = [resampler.push(_mono(block, weights)[:, None]) for block in blocks]
            parts.append(resampler.push(np.zeros((0, 1), np.float32), last=True))
    except MissingInput as error:
        raise UnreadableAudio("missing", str(error)) from error
    except StorageFailed as error:
        if error.whole:
            raise
        raise UnreadableAudio(error.kind, str(error)) from error
    return np.concatenate(parts)[:, 0], rate


def _mix(channels: int, channel: int | None, uri: str) -> np.ndarray:
    if channel is None:
        return np.full(channels, 1 / channels, np.float32)
    if not 0 <= channel < channels:
        raise UnreadableAudio(
            "no_samples", f"{uri} has {channels} channels, counted from 0; channel {channel} is none of them."
        )
    return np.asarray(np.arange(channels) == channel, np.float32)


def _mono(block: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return block[:, 0] if len(weights) == 1 else np.asarray(block @ weights)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What goes wrong inside is about this file: say so."""
    try:
        yield
    except UnreadableAudio as error:
        raise UnreadableAudio(error.kind, f"{path}: {error}") from error


def _open_regular(path: Path) -> tuple[BinaryIO, int]:
    try:
        # Without O_NONBLOCK, a pipe that nobody writes to would hold us here for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableAudio("missing", "nothing is there. Check the path.") from error
    except (OSError, ValueError) as error:
        raise UnreadableAudio("missing", f"cannot be opened ({error}). Grant read access.") from error
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode) and status.st_size > 0:
        return os.fdopen(handle, "rb"), status.st_size
    os.close(handle)
    if stat.S_ISREG(status.st_mode):
        raise UnreadableAudio("empty", f"zero bytes. {MEND}")
    raise UnreadableAudio("not_audio", "a folder or a device, not a file. Give a recording.")


def _open_stream(file: BinaryIO, size: int, path: Path, timeout_s: float) -> SndfileStream | FfmpegStream:
    head, payload = read_at(file, 0, 64), check_whole(file, size)
    try:
        return SndfileStream(file, size, payload)
    except NotForSndfile as error:
        what = error.what or foreign_type(head, payload)
        if what is not None:
            return FfmpegStream(path, what, timeout_s)
        if payload is not None or head.startswith((b"caff", b"fLaC", b"ID3")):
            raise UnreadableAudio(
                "corrupt", f"the header is damaged or cut short ({error}). {MEND}"
            ) from error
        raise UnreadableAudio(
            "not_audio",
            "the content is of no audio type known here. Headerless samples need a WAV header first.",
        ) from error


def _check_info(info: AudioInfo) -> None:
    if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        raise UnreadableAudio(
            "bad_rate",
            f"the header claims {info.sample_rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} Hz can be read. "
            "Correct its header or export it again.",
        )
    if info.channels > MOST_CHANNELS:
        raise UnreadableAudio(
            "too_many_channels",
            f"{info.channels} channels, at most {MOST_CHANNELS} are read. Split it first.",
        )
    if info.frames == 0:
        raise UnreadableAudio("no_samples", f"a header and no samples. {MEND}")


def _check_samples(block: np.ndarray, at_s: float) -> None:
    peak = max(float(block.max()), -float(block.min()))
    if peak <= LARGEST_SAMPLE:
        return
    if not np.isfinite(peak):
        raise UnreadableAudio(
            "not_finite", f"NaN or infinite samples after {at_s:.2f} s. Write it again without them."
        )
    raise UnreadableAudio(
        "corrupt",
        f"the samples reach {peak:.6g} after {at_s:.2f} s, where full scale is 1.0: it looks like integers "
        "stored as float. Divide it by its full scale (32768 for 16 bits) and write it again.",
    )
