"""What a file's container tells before anything is decoded: what it is, and whether it is whole.

libsndfile quietly reads what is left of a cut WAV, AIFF or Ogg file. The checks here compare what
the header promises with what the file holds, so that a cut recording is an error and not a short one.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from ser_ray.errors import UnreadableAudio

MEND = "Fetch or export the recording again."
STREAMED_SIZES = (0xFFFFFFFF, 0x7FFFF000)  # what ffmpeg and SoX write where they cannot seek back
MOST_CHUNKS = 10_000  # a header of more chunks than this is an attack, not a recording
PCM, IEEE_FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
PLAIN_CODECS = (PCM, IEEE_FLOAT, A_LAW, MU_LAW, EXTENSIBLE)

_FOREIGN = (  # (offset, bytes, name) of types that libsndfile does not read and ffmpeg does
    (4, b"ftyp", "MP4/M4A/3GP"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA/ASF"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x1a\x45\xdf\xa3", "WebM/Matroska"),
    (8, b"AVI ", "AVI"),
    (8, b"WAVE", "WAV of a rare codec"),
    (0, b"OggS", "Ogg of a rare codec"),
    (0, b"FLV\x01", "FLV"),
    (0, b".RMF", "RealMedia"),
    (0, b"\x00\x00\x01\xba", "MPEG video"),
    (0, b"ADIF", "AAC"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"DSD ", "DSF"),
)


@dataclass(frozen=True)
class Payload:
    """Where the samples begin, and how many bytes of them the header promises.

    Attributes:
        offset: bytes from the start of the file.
        promised: bytes; None where the writer could not know (a pipe): the samples go on to the end.
        codec: a WAV's format tag, else None.
    """

    offset: int
    promised: int | None
    codec: int | None = None


@dataclass(frozen=True)
class _Chunks:
    """How one family of containers lays out its chunks."""

    layout: struct.Struct
    align: int = 2
    counts_header: bool = False  # W64: a chunk's size includes its own header

    def walk(self, file: BinaryIO, start: int, size: int) -> Iterator[tuple[bytes, int, int]]:
        for _ in range(MOST_CHUNKS):
            header = read_at(file, start, self.layout.size)
            if len(header) < self.layout.size:
                return
            name, length = self.layout.unpack(header)
            length -= self.layout.size if self.counts_header else 0
            yield name, start + self.layout.size, length
            start += self.layout.size + max(length, 0)
            start += -start % self.align
            if start >= size:
                return


_RIFF = _Chunks(struct.Struct("<4sI"))
_RIFX = _Chunks(struct.Struct(">4sI"))
_WAVE64 = _Chunks(struct.Struct("<4s12xQ"), align=8, counts_header=True)


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Up to `count` bytes from `offset`, the file's own position left alone."""
    return os.pread(file.fileno(), count, offset)


def foreign_type(head: bytes, payload: Payload | None) -> str | None:
    """The name of a type that ffmpeg reads and libsndfile does not, by the first bytes; else None."""
    if payload is not None and payload.codec in PLAIN_CODECS:
        return None
    for offset, magic, name in _FOREIGN:
        if head[offset : offset + len(magic)] == magic:
            return name
    return None


def check_whole(file: BinaryIO, size: int) -> Payload | None:
    """Hold the header's promise against the file.

    Args:
        file: a regular file, open for reading.
        size: its bytes.

    Returns:
        Where the samples lie; None for types whose decoder counts the samples (FLAC, MP3, CAF, Ogg).

    Raises:
        UnreadableAudio: `truncated` or `corrupt`.
    """
    head = read_at(file, 0, 64)
    if head.startswith(b"OggS"):
        _check_ogg(file, size)
    payload = _payload(file, head, size)
    if payload is not None and payload.promised is not None and payload.offset + payload.promised > size:
        raise UnreadableAudio(
            "truncated",
            f"the header promises {payload.promised} bytes of samples, the file holds "
            f"{max(size - payload.offset, 0)}. {MEND}",
        )
    return payload


def _payload(file: BinaryIO, head: bytes, size: int) -> Payload | None:
    magic, form = head[:4], head[8:12]
    if magic in (b"RIFF", b"RF64") and form == b"WAVE":
        return _chunked(file, _RIFF, 12, size)
    if magic == b"RIFX" and form == b"WAVE":
        return _chunked(file, _RIFX, 12, size)
    if magic == b"FORM" and form in (b"AIFF", b"AIFC"):
        return _chunked(file, _RIFX, 12, size)
    if magic == b"riff":
        return _chunked(file, _WAVE64, 40, size)
    if magic in (b".snd", b"dns.") and len(head) >= 12:
        offset, promised = struct.unpack(">II" if magic == b".snd" else "<II", head[4:12])
        return Payload(offset, None if promised in STREAMED_SIZES else promised)
    return _sphere(read_at(file, 0, 1024)) if magic == b"NIST" else None


def _chunked(file: BinaryIO, chunks: _Chunks, start: int, size: int) -> Payload:
    wide_size = codec = None
    for name, offset, length in chunks.walk(file, start, size):
        if name == b"ds64":
            wide_size = int.from_bytes(read_at(file, offset + 8, 8), "little")
        elif name == b"fmt ":
            codec = _check_format(read_at(file, offset, 16), "<" if chunks is not _RIFX else ">")
        elif name == b"SSND":
            return Payload(offset + 8, length - 8)
        elif name == b"data":
            if wide_size is not None and length == 0xFFFFFFFF:
                length = wide_size
            streamed = length in STREAMED_SIZES or length >= 2**63
            streamed = streamed or (length == 0 and not _only_chunks_follow(file, chunks, offset, size))
            return Payload(offset, None if streamed else length, codec)
    raise UnreadableAudio("truncated", f"the file ends before its samples begin. {MEND}")


def _only_chunks_follow(file: BinaryIO, chunks: _Chunks, start: int, size: int) -> bool:
    """Whether the rest is further chunks, and not the samples of a writer that never knew its size."""
    end = start
    for name, offset, length in chunks.walk(file, start, size):
        if not re.fullmatch(rb"[\x20-\x7e]{4}", name):
            return False
        end = offset + length
    return abs(size - end) <= 1


def _check_format(chunk: bytes, order: str) -> int:
    """The format tag, of a header that agrees with itself."""
    if len(chunk) < 16:
        raise UnreadableAudio("truncated", f"the file ends inside its header. {MEND}")
    tag, channels, _, _, align, bits = struct.unpack(f"{order}HHIIHH", chunk)
    padded_24_bit = bits == 24 and align == 4 * channels
    if tag in (PCM, IEEE_FLOAT) and align != channels * -(-bits // 8) and not padded_24_bit:
        raise UnreadableAudio(
            "corrupt",
            f"the WAV header contradicts itself: {channels} channels of {bits} bits cannot take {align} "
            f"bytes a frame. {MEND}",
        )
    return int(tag)


def _sphere(header: bytes) -> Payload | None:
    """NIST SPHERE, the type of TIMIT and Switchboard: a text header of fields."""
    fields = {key: int(value) for key, value in re.findall(rb"(\w+) -i (\d{1,18})\s", header)}
    size = re.match(rb"NIST_1A\s+(\d{1,8})\s", header)
    wanted = (b"sample_count", b"sample_n_bytes", b"channel_count")
    if size is None or not all(key in fields for key in wanted):
        return None
    count, width, channels = (fields[key] for key in wanted)
    return Payload(int(size[1]), count * width * channels)


def _check_ogg(file: BinaryIO, size: int) -> None:
    """Every page there, in order and unharmed, and the last one marked as the last (RFC 3533)."""
    position, ended, following = 0, False, dict[bytes, int]()
    while position < size:
        head = read_at(file, position, 27)
        if head[:4] != b"OggS"[: len(head)]:
            _ogg_defect("corrupt", "something that is no Ogg page", position)
        lacing = read_at(file, position + 27, head[26]) if len(head) == 27 else b""
        length = 27 + len(lacing) + sum(lacing)
        page = read_at(file, position, length)
        if len(head) < 27 or len(lacing) < head[26] or len(page) < length:
            _ogg_defect("truncated", "a page cut short", position)
        if _ogg_checksum(page) != int.from_bytes(page[22:26], "little"):
            _ogg_defect("corrupt", "a page with a wrong checksum", position)
        stream, number = page[14:18], int.from_bytes(page[18:22], "little")
        if number != following.get(stream, number):
            _ogg_defect("corrupt", "a page out of order", position)
        following[stream] = number + 1
        ended = bool(page[5] & 4)
        position += length
    if not ended:
        _ogg_defect("truncated", "the end, but no page marked as the last", position)


def _ogg_defect(kind: str, found: str, position: int) -> NoReturn:
    raise UnreadableAudio(kind, f"the Ogg stream has {found}, at byte {position}. {MEND}")


_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC runs zlib's polynomial from the other end of each byte, and starts from zero."""
    plain = page[:22] + bytes(4) + page[26:]
    crc = zlib.crc32(plain.translate(_MIRROR), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
