"""The frames of an MP3 file, counted without decoding (ISO/IEC 11172-3 and 13818-3).

libsndfile takes the length of an MP3 from its Xing tag or, where there is none, guesses it from the
first frame, and stops there. A variable-rate file without the tag, or two files glued together, would
lose a part of their sound without a word. Walking the frame headers gives the true length.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import BinaryIO

from ser_ray.audio.container import MEND
from ser_ray.errors import UnreadableAudio

SEARCH_BYTES = 4096  # how far from the start the first frame may lie, after any ID3 tag
MOST_PADDING = 1 << 16  # zero bytes that may follow the last frame

_RATES = (44100, 48000, 32000)
_KBITS_1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_KBITS_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBITS_2 = {1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256), 2: _KBITS_LOW, 3: _KBITS_LOW}


@dataclass(frozen=True)
class MpegScan:
    """What the walk found.

    Attributes:
        samples: samples per channel of all frames, encoder delay and padding included.
        tagged: frames that a Xing or Info tag promises; None without such a tag.
        frame: samples per channel of one frame.
    """

    samples: int
    tagged: int | None
    frame: int


def scan_mpeg(file: BinaryIO) -> MpegScan | None:
    """Walk all frame headers of an MPEG audio file.

    Args:
        file: a regular file that is not empty.

    Returns:
        The count, or None where the first frame cannot be found or has a free bit rate.

    Raises:
        UnreadableAudio: `truncated` (the last frame is cut, or frames are fewer than the tag says) or
            `corrupt` (a frame does not follow where it should).
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = _first_frame(data)
        if start is None:
            return None
        first = _frame(data, start)
        assert first is not None
        tagged = _tagged_frames(data[start : start + first[0]])
        frames = _count(data, start)
    if tagged is not None:
        frames -= 1  # the tag sits in a frame of its own, without sound
        if frames < tagged:
            raise UnreadableAudio(
                "truncated", f"the MP3's tag promises {tagged} frames, the file holds {frames}. {MEND}"
            )
    return MpegScan(frames * first[1], tagged, first[1])


def _count(data: mmap.mmap, position: int) -> int:
    frames, size = 0, len(data)
    while position < size:
        frame = _frame(data, position)
        if frame is None:
            after = _after_tag(data, position)
            if after is None:
                raise UnreadableAudio("corrupt", f"the MP3 stream breaks off at byte {position}. {MEND}")
            position = after
            continue
        position += frame[0]
        frames += 1
        if position > size:
            raise UnreadableAudio("truncated", f"the last MP3 frame lacks {position - size} bytes. {MEND}")
    return frames


def _frame(data: mmap.mmap, at: int) -> tuple[int, int] | None:
    """(bytes, samples) of the frame whose header stands at `at`, None where none does."""
    head = int.from_bytes(data[at : at + 4], "big")
    version, layer = head >> 19 & 3, 4 - (head >> 17 & 3)
    rate_index, bit_index = head >> 10 & 3, head >> 12 & 15
    if len(data) - at < 4 or head >> 21 != 0x7FF or version == 1 or layer == 4:
        return None
    if rate_index == 3 or bit_index in (0, 15):
        return None
    first_version = version == 3
    rate = _RATES[rate_index] >> (0 if first_version else 1 if version == 2 else 2)
    bits = 1000 * (_KBITS_1 if first_version else _KBITS_2)[layer][bit_index - 1]
    padding = head >> 9 & 1
    if layer == 1:
        return (12 * bits // rate + padding) * 4, 384
    samples = 1152 if first_version or layer == 2 else 576
    return samples // 8 * bits // rate + padding, samples


def _first_frame(data: mmap.mmap) -> int | None:
    """The place of the first header that another one follows, or that the file ends on."""
    start = 0
    while data[start : start + 3] == b"ID3":
        start = _after_id3(data, start)
    for at in range(start, min(start + SEARCH_BYTES, len(data) - 4)):
        frame = _frame(data, at) if data[at] == 0xFF else None
        if frame and (at + frame[0] + 4 > len(data) or _frame(data, at + frame[0])):
            return at
    return None


def _tagged_frames(frame: bytes) -> int | None:
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 64)
        if at > 0 and len(frame) >= at + 12 and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12], "big")
    return None


def _after_tag(data: mmap.mmap, at: int) -> int | None:
    """Where the stream goes on after a tag or zero padding at `at`; None where there is neither."""
    if data[at : at + 3] == b"ID3":
        return _after_id3(data, at)
    if data[at : at + 3] == b"TAG":
        return at + 128
    if data[at : at + 8] in (b"APETAGEX", b"LYRICSBE"):
        return len(data)
    padded = len(data) - at <= MOST_PADDING and not data[at:].strip(b"\0")
    return len(data) if padded else None


def _after_id3(data: mmap.mmap, at: int) -> int:
    flags, size = data[at + 5 : at + 6], 0
    for byte in data[at + 6 : at + 10]:
        size = size << 7 | byte & 0x7F
    return at + 10 + size + (10 if flags and flags[0] & 0x10 else 0)
