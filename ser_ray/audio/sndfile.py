"""Samples through libsndfile: WAV, FLAC, Ogg, MP3, AIFF, AU, CAF, SPHERE."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
import soundfile

from ser_ray.audio.container import MEND, Payload
from ser_ray.audio.mpeg import scan_mpeg
from ser_ray.errors import UnreadableAudio

# libsndfile also takes any file for MATLAB data, sampler dumps and the like if its first bytes fit.
FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "NIST"})
UNKNOWN_FRAMES = 2**62  # libsndfile gives its largest number where a header does not say


class NotForSndfile(Exception):
    """libsndfile does not read this file, or not all of it; `what` names its type where that is known."""

    def __init__(self, reason: str, what: str | None = None) -> None:
        super().__init__(reason)
        self.what = what


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """soundfile seeks to where it already is after each read, which starts a compressed stream anew."""

    def seekable(self) -> bool:
        return False

    def seeks_exactly(self) -> bool:
        """Seeking an MP3 of variable rate lands beside the place."""
        return self.format != "MP3" and bool(super().seekable())


class SndfileStream:
    """One file's samples, read forward.

    Args:
        file: a regular file, open for reading; it stays open until its owner closes it.
        size: its bytes.
        payload: where its samples lie, as `container.check_whole` found.

    Raises:
        NotForSndfile: libsndfile refuses the file, or would end before the file does.
        UnreadableAudio: an MP3 that is `truncated` or `corrupt`.
    """

    def __init__(self, file: BinaryIO, size: int, payload: Payload | None) -> None:
        self._file, self._size = file, size
        self._sound = _open(file)
        if payload is not None and payload.promised is None and self._sound.frames == 0:
            self._sound.close()
            self._sound = _open(file, _OpenEnded(file, payload.offset - 4))
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        known = self._sound.frames < UNKNOWN_FRAMES
        self.frames: int | None = self._sound.frames if known else None
        if self._sound.format == "MP3":
            self.frames = _mpeg_frames(file, self._sound.frames)
        self._position = 0

    def read(self, frames: int) -> np.ndarray:
        """The next float32 [samples, channels], at most `frames` of them; none at the end.

        Raises:
            UnreadableAudio: `corrupt` or `truncated`, where the decoder stumbles.
        """
        if self.frames is not None:
            frames = max(0, min(frames, self.frames - self._position))
        space = np.empty((frames, self.channels), np.float32)
        try:
            block: np.ndarray = self._sound.read(out=space)
        except soundfile.SoundFileError as error:
            at_end = os.lseek(self._file.fileno(), 0, os.SEEK_CUR) >= self._size
            where = f"somewhere after {self._position / self.rate:.2f} s"
            raise UnreadableAudio(
                "truncated" if at_end else "corrupt",
                f"the {self._sound.format} stream {'ends early' if at_end else 'is damaged'} {where}. {MEND}",
            ) from error
        self._position += len(block)
        return block

    def skip(self, frames: int) -> None:
        """Pass over up to `frames` samples, by seeking where that is exact."""
        if not self._sound.seeks_exactly() or self.frames is None:
            while frames > 0 and (passed := len(self.read(min(frames, self.rate)))):
                frames -= passed
            return
        target = min(self._position + frames, self.frames)
        try:
            self._position = self._sound.seek(target)
        except soundfile.SoundFileError as error:
            raise UnreadableAudio(
                "corrupt",
                f"the {self._sound.format} stream cannot be read at {target / self.rate:.2f} s. {MEND}",
            ) from error

    def close(self) -> None:
        """Let libsndfile go."""
        self._sound.close()


class _OpenEnded:
    """A WAV with a data size of zero, as pipes leave it, shown with the size that libsndfile reads past."""

    def __init__(self, file: BinaryIO, size_field: int) -> None:
        self._file, self._size_field = file, size_field
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        start = self._file.tell()
        data = bytearray(self._file.read(count))
        for at in range(self._size_field - start, self._size_field - start + 4):
            if 0 <= at < len(data):
                data[at] = 0xFF
        return bytes(data)


def _open(file: BinaryIO, content: _OpenEnded | None = None) -> _Sequential:
    file.seek(0)
    try:
        sound = _Sequential(file.fileno() if content is None else content, closefd=False)
    except soundfile.LibsndfileError as error:
        raise NotForSndfile(error.error_string) from error  # its text would begin with a descriptor's number
    if sound.format not in FORMATS:
        sound.close()
        raise NotForSndfile(f"taken for {sound.format}")
    return sound


def _mpeg_frames(file: BinaryIO, promised: int) -> int:
    scan = scan_mpeg(file)
    if scan is None:
        raise NotForSndfile("free bit rate", "MP3 of free bit rate")
    priming = 4 * scan.frame  # encoder delay and padding that a tagged file leaves out
    if promised < scan.samples - (priming if scan.tagged is not None else 0):
        raise NotForSndfile("longer than its header says", "MP3 of variable bit rate without a tag")
    return promised if scan.tagged is not None else scan.samples
