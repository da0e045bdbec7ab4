"""Samples through ffmpeg, a child process: whatever libsndfile does not read."""

from __future__ import annotations

import os
import re
import select
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from ser_ray.audio.container import MEND
from ser_ray.errors import UnreadableAudio

_SIGNS_OF_A_CUT = ("prematurely", "partial file", "moov atom not found", "corrupt input packet", "truncat")
_PIECE = 1 << 20  # bytes
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")  # of a decoder in memory; another one in every run
_AU_FLOAT32 = 6


class FfmpegStream:
    """One file's first sound track, read forward as ffmpeg decodes it.

    ffmpeg reads local files only, so that no playlist inside a file can make it open an address, and
    writes a stream in the AU format, whose header carries rate and channels. What it logs as an error
    is an error here too: it would go on over the gap.

    Args:
        path: the file.
        what: its type, for messages.
        timeout_s: the longest time to wait for ffmpeg, over all reads together.

    Raises:
        UnreadableAudio: `unsupported` where ffmpeg is not installed; `timeout`; `not_audio`, `truncated`
            or `corrupt` by what it says of the file.
    """

    frames = None

    def __init__(self, path: Path, what: str, timeout_s: float) -> None:
        program = shutil.which("ffmpeg")
        if program is None:
            raise UnreadableAudio(
                "unsupported",
                f"{what} needs ffmpeg, which is not installed here: install it (apt-get install ffmpeg) on "
                "every machine that reads audio, or convert the recording to WAV or FLAC.",
            )
        self._what, self._left_s, self._timeout_s = what, timeout_s, timeout_s
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            _arguments(program, path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log
        )
        try:
            self.rate, self.channels = self._read_header()
        except BaseException:
            self.close()
            raise

    def read(self, frames: int) -> np.ndarray:
        """The next float32 [samples, channels], at most `frames` of them; none at the end.

        Raises:
            UnreadableAudio: `truncated`, `corrupt` or `timeout`.
        """
        data = self._read_bytes(frames * 4 * self.channels)
        whole = len(data) // (4 * self.channels)
        samples = np.frombuffer(data, ">f4", whole * self.channels)
        return samples.astype(np.float32).reshape(whole, self.channels)

    def skip(self, frames: int) -> None:
        """Decode and drop `frames` samples: ffmpeg's own seeking is not exact for every type."""
        while frames > 0 and (passed := len(self.read(min(frames, self.rate)))):
            frames -= passed

    def close(self) -> None:
        """End ffmpeg, finished or not."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _read_header(self) -> tuple[int, int]:
        head = self._read_bytes(24)
        if len(head) < 24:
            raise self._failure("ffmpeg gave no sound")
        _, offset, _, encoding, rate, channels = struct.unpack(">4s5I", head)
        if encoding != _AU_FLOAT32:
            raise self._failure("ffmpeg gave no float samples")
        self._read_bytes(offset - len(head))
        return rate, channels

    def _read_bytes(self, count: int) -> bytes:
        assert self._process.stdout is not None
        pipe, data = self._process.stdout.fileno(), bytearray()
        while len(data) < count:
            self._wait_for(pipe)
            piece = os.read(pipe, min(count - len(data), _PIECE))
            if not piece:
                self._check_end()
                break
            data += piece
        return bytes(data)

    def _wait_for(self, pipe: int) -> None:
        began = time.monotonic()
        ready, _, _ = select.select([pipe], [], [], max(self._left_s, 0.0))
        self._left_s -= time.monotonic() - began
        if not ready:
            raise self._too_slow()

    def _check_end(self) -> None:
        try:
            code = self._process.wait(max(self._left_s, 1.0))
        except subprocess.TimeoutExpired as error:
            raise self._too_slow() from error
        if code != 0 or os.fstat(self._log.fileno()).st_size:
            raise self._failure(f"ffmpeg ended with {code}")

    def _too_slow(self) -> UnreadableAudio:
        return UnreadableAudio(
            "timeout",
            f"ffmpeg did not decode this {self._what} file within {self._timeout_s:g} s. Convert it to WAV "
            "or FLAC, or allow more time.",
        )

    def _failure(self, otherwise: str) -> UnreadableAudio:
        self._log.seek(0)
        said = _ADDRESS.sub("", self._log.read(2000).decode(errors="replace")).strip()
        if "matches no streams" in said:
            return UnreadableAudio("not_audio", f"this {self._what} file holds no sound track.")
        cut = any(sign in said for sign in _SIGNS_OF_A_CUT)
        reason = " / ".join(said.splitlines()[:3]) or otherwise
        return UnreadableAudio(
            "truncated" if cut else "corrupt", f"ffmpeg, on this {self._what} file: {reason}. {MEND}"
        )


def _arguments(program: str, path: Path) -> list[str]:
    source = ["-protocol_whitelist", "file", "-i", f"file:{path}"]
    sink = ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    return [program, "-nostdin", "-v", "error", *source, *sink]
