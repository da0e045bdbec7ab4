"""Formats that are read by the program ffmpeg."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ser_ray.audio import AudioReader, read_audio
from ser_ray.errors import UnreadableAudio
from tests.audio.waves import RATE, kind_of, tone, write

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
FOREIGN = b"\x00\x00\x00\x20ftypM4A " + bytes(200)


def stand_in_for_ffmpeg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_ffmpeg_its_formats_are_unsupported_and_the_message_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "call.m4a").write_bytes(FOREIGN)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreadableAudio, match="apt-get install ffmpeg") as caught:
        read_audio(str(tmp_path / "call.m4a"))
    assert caught.value.kind == "unsupported"


def test_ffmpeg_that_hangs_is_ended_after_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "call.m4a").write_bytes(FOREIGN)
    stand_in_for_ffmpeg(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60", monkeypatch)
    with pytest.raises(UnreadableAudio) as caught:
        AudioReader(tmp_path / "call.m4a", timeout_s=0.5)
    assert caught.value.kind == "timeout"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_ffmpeg_that_dies_midway_is_not_taken_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "call.m4a").write_bytes(FOREIGN)
    header = struct.pack(">4s5I", b".snd", 24, 0xFFFFFFFF, 6, RATE, 1)
    (tmp_path / "start.au").write_bytes(header + bytes(4 * 1000))
    stand_in_for_ffmpeg(tmp_path, f"cat {tmp_path}/start.au; exit 3", monkeypatch)
    assert kind_of(tmp_path / "call.m4a") == "corrupt"


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.m4a", []),
        ("a.mp4", ["-movflags", "+faststart", "-c:a", "aac"]),
        ("a.wma", []),
        ("a.webm", ["-c:a", "libopus"]),
        ("-a:b.m4a", []),
        ("g722.wav", ["-c:a", "g722"]),
        ("untagged.mp3", ["-q:a", "4", "-write_xing", "0"]),
    ],
)
def test_ffmpeg_reads_the_rest(
    tmp_path: Path, name: str, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wave = tone(40.0) * np.linspace(0, 1, 40 * RATE, dtype=np.float32)[:, None]
    source = write(tmp_path / "source.wav", wave)
    run = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(source), *options, f"file:{name}"]
    subprocess.run(run, check=True, timeout=60)
    read, rate = read_audio(name, RATE)
    assert rate == RATE
    assert abs(len(read) - len(wave)) < 0.15 * RATE  # codecs pad
    level = [np.sqrt(np.mean(part[5 * RATE : 35 * RATE] ** 2)) for part in (read, wave[:, 0])]
    assert level[0] == pytest.approx(level[1], rel=0.1)
    stretch, _ = read_audio(name, start_s=10.0, end_s=11.0)
    assert np.abs(stretch).max() == pytest.approx(0.3 * 11 / 40, rel=0.4)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"), [("a.m4a", []), ("a.mp4", ["-movflags", "+faststart"]), ("a.mka", [])]
)
def test_truncated_file_of_ffmpeg_is_an_error(tmp_path: Path, name: str, options: list[str]) -> None:
    source, target = write(tmp_path / "source.wav", tone(5.0)), tmp_path / name
    run = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(source), "-c:a", "aac", *options, str(target)]
    subprocess.run(run, check=True, timeout=60)
    target.write_bytes(target.read_bytes()[:-9000])
    assert kind_of(target) == "truncated"


@needs_ffmpeg
def test_video_without_sound_is_not_audio(tmp_path: Path) -> None:
    run = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=s=32x32:d=1", "-c:v", "mpeg4"]
    subprocess.run([*run, str(tmp_path / "mute.mp4")], check=True, timeout=60)
    assert kind_of(tmp_path / "mute.mp4") == "not_audio"
