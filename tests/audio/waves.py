"""Waves and files for tests of reading audio."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_ray.audio import read_audio
from ser_ray.errors import UnreadableAudio

RATE = 16_000


def tone(seconds: float = 1.0, channels: int = 1, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.01, len(time))
    wave = 0.3 * np.sin(2 * np.pi * 440 * time) + noise
    return np.stack([wave / (c + 1) for c in range(channels)], axis=1).astype(np.float32)


def write(
    path: Path, wave: np.ndarray, container: str = "WAV", subtype: str = "PCM_16", rate: int = RATE
) -> Path:
    soundfile.write(path, wave, rate, format=container, subtype=subtype)
    return path


def encoded(wave: np.ndarray, container: str, subtype: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def wav(
    data: bytes, data_size: int, riff_size: int, fmt: tuple[int, ...] = (1, 1, RATE, 2 * RATE, 2, 16)
) -> bytes:
    head = struct.pack("<4sI4s4sI", b"RIFF", riff_size, b"WAVE", b"fmt ", 16) + struct.pack("<HHIIHH", *fmt)
    return head + struct.pack("<4sI", b"data", data_size) + data


def kind_of(path: Path | str, **options: object) -> str:
    with pytest.raises(UnreadableAudio) as caught:
        read_audio(str(path), **options)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    return caught.value.kind
