"""Ways to spoil a recording, and what scoring should say of each."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import soundfile as sf
from scipy.io import wavfile

from ser_ray import storage
from ser_ray.errors import UnknownName


def damage(uri: str, name: str) -> str:
    """Spoil a call file in place by one of `DAMAGES`; the status that scoring should give it.

    Raises:
        UnknownName: no such damage.
    """
    if name not in DAMAGES:
        raise UnknownName("damage", name, DAMAGES)
    samples, rate = sf.read(io.BytesIO(storage.read_bytes(uri)), dtype="int16")
    storage.write_bytes(uri, DAMAGES[name][0](_encode(samples, rate, "WAV")))
    return DAMAGES[name][1]


def _encode(samples: np.ndarray, rate: int, container: str) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate, "PCM_16", format=container)
    return buffer.getvalue()


def _put(wav: bytes, at: int, number: int) -> bytes:
    """`wav` with 32 bits of its 44-byte header replaced."""
    return wav[:at] + struct.pack("<I", number) + wav[at + 4 :]


def _not_a_number(wav: bytes) -> bytes:
    rate, samples = wavfile.read(io.BytesIO(wav))
    spoilt, buffer = samples / np.float32(32768), io.BytesIO()
    spoilt[len(spoilt) // 2] = np.nan
    wavfile.write(buffer, rate, spoilt)
    return buffer.getvalue()


def _corrupt_flac(wav: bytes) -> bytes:
    rate, samples = wavfile.read(io.BytesIO(wav))
    flac = np.frombuffer(_encode(samples, rate, "FLAC"), np.uint8).copy()
    flac[len(flac) // 3 : len(flac) // 2] ^= 0xFF
    return flac.tobytes()


# What each does to a WAV file, and the status that scoring should give it.
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda wav: wav[: len(wav) // 2], "error"),
    "empty": (lambda wav: b"", "error"),
    "silent": (lambda wav: wav[:44] + bytes(len(wav) - 44), "no_speech"),
    "not_audio": (lambda wav: b"The recorder was switched off.\n" * 200, "error"),
    "random_bytes": (lambda wav: np.random.default_rng(0).bytes(len(wav)), "error"),
    "header_only": (lambda wav: _put(_put(wav[:44], 4, 36), 40, 0), "error"),
    "lying_header": (lambda wav: _put(_put(wav, 4, 0x7FFF0024), 40, 0x7FFF0000), "error"),
    "rate_1_hz": (lambda wav: _put(wav, 24, 1), "error"),
    "rate_4_ghz": (lambda wav: _put(wav, 24, 4_000_000_000), "error"),
    "nan_samples": (_not_a_number, "error"),
    "unsupported": (lambda wav: b"#!AMR\n" + np.random.default_rng(0).bytes(2000), "error"),
    "corrupt_flac": (_corrupt_flac, "error"),
}
