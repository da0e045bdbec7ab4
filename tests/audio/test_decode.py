from __future__ import annotations

import contextlib
import io
import os
import pickle
import shutil
import struct
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.audio import AudioReader, StreamResampler, read_audio, resample
from ser_ray.errors import UnreadableAudio

RATE = 16_000
CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[2] / "../shared/data"))
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


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


@pytest.mark.parametrize(
    ("container", "subtype", "error"),
    [
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-7),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("WAV", "ULAW", 2e-2),
        ("WAV", "ALAW", 2e-2),
        ("WAVEX", "PCM_24", 1e-6),
        ("RF64", "PCM_16", 1e-4),
        ("W64", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4),
        ("AU", "PCM_16", 1e-4),
        ("CAF", "PCM_16", 1e-4),
        ("NIST", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.1),
        ("MP3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_each_format_reads_whole_whatever_its_name(
    tmp_path: Path, container: str, subtype: str, error: float
) -> None:
    wave = tone(1.0, channels=2)
    path = write(tmp_path / "misnamed.wav", wave, container, subtype)
    with AudioReader(path) as reader:
        blocks = list(reader.blocks(seconds=0.3))
    assert [len(block) for block in blocks] == [4800, 4800, 4800, 1600]
    assert (reader.info.sample_rate, reader.info.channels, reader.info.frames) == (RATE, 2, RATE)
    assert reader.frames_read == RATE
    assert blocks[0].dtype == np.float32
    assert np.abs(np.concatenate(blocks) - wave).max() <= error


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "GSM610")],
)
def test_a_stretch_equals_the_same_stretch_of_the_whole(tmp_path: Path, container: str, subtype: str) -> None:
    path = str(write(tmp_path / "long", tone(5.0), container, subtype))
    whole, _ = read_audio(path)
    part, rate = read_audio(path, start_s=3.21, end_s=3.96)
    assert rate == RATE
    np.testing.assert_array_equal(part, whole[round(3.21 * RATE) : round(3.96 * RATE)])


def test_channels_are_averaged_or_picked(tmp_path: Path) -> None:
    wave = tone(0.5, channels=3)
    path = str(write(tmp_path / "three.wav", wave, subtype="FLOAT"))
    np.testing.assert_allclose(read_audio(path)[0], wave.mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(read_audio(path, channel=2)[0], wave[:, 2])
    assert kind_of(path, channel=3) == "no_samples"


def test_reading_at_another_rate_equals_resampling_the_whole(tmp_path: Path) -> None:
    wave = tone(70.0, rate=8000)
    path = str(write(tmp_path / "call.wav", wave, subtype="FLOAT", rate=8000))
    read, rate = read_audio(path, 16_000)
    assert rate == 16_000
    assert read.shape == (70 * 16_000,)
    np.testing.assert_allclose(read, resample(wave[:, 0], 8000, 16_000), atol=1e-4)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(48_000, 16_000), (44_100, 16_000), (8000, 16_000), (8000, 8000)]
)
def test_stream_resampling_equals_one_shot(rate_in: int, rate_out: int) -> None:
    wave = np.random.default_rng(1).uniform(-1, 1, (rate_in, 2)).astype(np.float32)
    stream = StreamResampler(rate_in, rate_out, channels=2)
    blocks = [stream.push(wave[at : at + 777]) for at in range(0, len(wave), 777)]
    blocks.append(stream.push(wave[:0], last=True))
    np.testing.assert_allclose(np.concatenate(blocks), resample(wave, rate_in, rate_out), atol=1e-4)


def test_a_long_recording_is_read_in_the_memory_of_one_block(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    with soundfile.SoundFile(path, "w", 8000, 2, "PCM_U8") as file:
        for _ in range(60):
            file.write(np.zeros((60 * 8000, 2), np.float32))
    tracemalloc.start()
    with AudioReader(path) as reader:
        total = sum(len(block) for block in reader.blocks(seconds=10.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 3600 * 8000
    assert peak < 3 * 10 * 8000 * 2 * 4


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize(
    "fmt", [(1, 1, RATE, 2 * RATE, 2, 16), (7, 2, RATE, 2 * RATE, 2, 8), (3, 1, RATE, 4 * RATE, 4, 32)]
)
def test_wav_written_by_a_pipe_is_read_to_its_end(
    tmp_path: Path, size: int, fmt: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # not by way of ffmpeg
    samples = np.full(8000, 0.25, "<f4").tobytes()
    (tmp_path / "whole.wav").write_bytes(wav(samples, len(samples), 36 + len(samples), fmt))
    (tmp_path / "piped.wav").write_bytes(wav(samples, size, size, fmt))
    expected, _ = read_audio(str(tmp_path / "whole.wav"))
    np.testing.assert_array_equal(read_audio(str(tmp_path / "piped.wav"))[0], expected)
    assert len(expected) == 32_000 // fmt[4]


@pytest.mark.parametrize("after", [b"", b"LIST\x04\0\0\0INFO"])
def test_wav_of_no_samples_is_not_taken_for_a_piped_one(tmp_path: Path, after: bytes) -> None:
    (tmp_path / "none.wav").write_bytes(wav(after, 0, 36 + len(after)))
    assert kind_of(tmp_path / "none.wav") == "no_samples"


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "ULAW"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("NIST", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("kept", [0.35, 0.6, 0.97])
def test_truncated_file_is_reported_as_truncated(
    tmp_path: Path, container: str, subtype: str, kept: float
) -> None:
    data = encoded(tone(3.0), container, subtype)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * kept)])
    assert kind_of(path) == "truncated"


def test_truncated_flac_gives_what_was_there_before_it_raises(tmp_path: Path) -> None:
    wave = tone(10.0)
    data = encoded(wave, "FLAC", "PCM_16")
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    blocks = []
    with AudioReader(tmp_path / "cut.flac") as reader, pytest.raises(UnreadableAudio, match="ends early"):
        blocks.extend(reader.blocks(seconds=1.0))
    with AudioReader(tmp_path / "cut.flac") as reader:
        part = np.concatenate(list(reader.blocks(start_s=1.0, end_s=3.0)))
    np.testing.assert_allclose(part, wave[RATE : 3 * RATE], atol=1e-4)


@pytest.mark.parametrize("cut", [1, 10, 20, 30, 40])
def test_wav_cut_inside_its_header_is_truncated(tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut.wav").write_bytes(encoded(tone(), "WAV", "PCM_16")[:cut])
    assert kind_of(tmp_path / "cut.wav") == ("not_audio" if cut < 12 else "truncated")


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)
def test_damage_inside_a_compressed_stream_is_corrupt(tmp_path: Path, container: str, subtype: str) -> None:
    data = bytearray(encoded(tone(30.0), container, subtype))
    middle = len(data) // 2
    data[middle : middle + 900] = np.random.default_rng(2).bytes(900)
    (tmp_path / "damaged").write_bytes(data)
    assert kind_of(tmp_path / "damaged") == "corrupt"


def test_ogg_page_lost_in_transport_is_corrupt(tmp_path: Path) -> None:
    data = encoded(tone(20.0), "OGG", "VORBIS")
    starts = [at for at in range(len(data)) if data.startswith(b"OggS\0", at)]
    (tmp_path / "gap.ogg").write_bytes(data[: starts[-3]] + data[starts[-2] :])
    assert kind_of(tmp_path / "gap.ogg") == "corrupt"


@pytest.mark.parametrize(
    "fmt",
    [
        (1, 1, RATE, 2 * RATE, 4, 16),  # block align of two channels
        (1, 1, RATE, 2 * RATE, 2, 24),
        (1, 1, RATE, 2 * RATE, 0, 16),
        (1, 1, RATE, 2 * RATE, 2, 0),
        (3, 1, RATE, 4 * RATE, 4, 4000),
        (1, 0, RATE, 2 * RATE, 2, 16),
    ],
)
def test_wav_header_that_contradicts_itself_is_corrupt(tmp_path: Path, fmt: tuple[int, ...]) -> None:
    (tmp_path / "lie.wav").write_bytes(wav(bytes(4000), 4000, 4036, fmt))
    assert kind_of(tmp_path / "lie.wav") == "corrupt"


def test_flac_that_claims_two_billion_frames_is_truncated_without_their_memory(tmp_path: Path) -> None:
    data = bytearray(encoded(tone(0.1, rate=8000), "FLAC", "PCM_16", rate=8000))
    field = int.from_bytes(data[18:26], "big") >> 36 << 36 | 2**31
    data[18:26] = field.to_bytes(8, "big")
    (tmp_path / "lie.flac").write_bytes(data)
    tracemalloc.start()
    kind = kind_of(tmp_path / "lie.flac")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kind == "truncated"
    assert peak < 3 * 30 * 8000 * 4  # two blocks, not 8 GB


def test_wav_that_claims_a_gigabyte_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "lie.wav").write_bytes(wav(bytes(1000), 1 << 30, (1 << 30) + 36))
    assert kind_of(tmp_path / "lie.wav") == "truncated"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.wav", b"This is no recording.\n" * 50),
        ("picture.mp3", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 8),
        ("picture.wav", b"RIFF\x00\x10\x00\x00WEBPVP8 " + bytes(range(256)) * 8),
        ("random.flac", np.random.default_rng(3).bytes(5000)),
        ("sync.mp3", b"\xff\xfb\x90\x00" + np.random.default_rng(4).bytes(5000)),
        ("sampler.wav", b"\x01\x04" + bytes(5000)),
        ("playlist.m3u8", b"#EXTM3U\n#EXTINF:10,\nhttp://localhost:9/a.ts\n"),
        ("short.wav", b"R"),
    ],
)
def test_what_is_no_audio_is_reported_as_that(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) == "not_audio"


def test_what_cannot_be_opened_as_a_file_is_an_error_and_no_hang(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    assert kind_of(tmp_path / "empty.wav") == "empty"
    assert kind_of(tmp_path / "pipe.wav") == "not_audio"
    assert kind_of(tmp_path) == "not_audio"
    assert kind_of(tmp_path / "nowhere.wav") == "missing"
    assert kind_of(tmp_path / "empty.wav" / "below.wav") == "missing"


def test_missing_remote_file_is_missing() -> None:
    assert kind_of("memory://bucket/nowhere.wav") == "missing"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_not_finite_samples_are_refused(tmp_path: Path, value: float, subtype: str) -> None:
    wave = tone(1.0, channels=2)
    wave[12_345, 1] = value
    assert kind_of(write(tmp_path / "bad.wav", wave, subtype=subtype)) == "not_finite"


def test_float_over_full_scale_is_left_as_it_is(tmp_path: Path) -> None:
    wave = 5 * tone()
    path = write(tmp_path / "hot.wav", wave, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(str(path))[0], wave[:, 0])


def test_integers_stored_as_float_are_refused_with_the_mend(tmp_path: Path) -> None:
    path = write(tmp_path / "scaled.wav", 32_768 * tone(), subtype="FLOAT")
    assert kind_of(path) == "corrupt"
    with pytest.raises(UnreadableAudio, match="Divide it by its full scale"):
        read_audio(str(path))


@pytest.mark.parametrize("rate", [1000, 3999, 384_001])
def test_absurd_rates_are_refused(tmp_path: Path, rate: int) -> None:
    assert kind_of(write(tmp_path / "odd.wav", tone(), rate=rate)) == "bad_rate"


def test_more_than_eight_channels_are_refused(tmp_path: Path) -> None:
    assert len(read_audio(str(write(tmp_path / "eight.wav", tone(0.1, channels=8))))[0]) == 1600
    assert kind_of(write(tmp_path / "nine.wav", tone(0.1, channels=9))) == "too_many_channels"


@pytest.mark.parametrize(
    ("start_s", "end_s", "kind"),
    [
        (2.0, 3.0, "no_samples"),
        (1.0, None, "no_samples"),
        (0.5, 0.5, "no_samples"),
        (-1.0, 1.0, "no_samples"),
        (0.5, 1.5, "truncated"),
    ],
)
def test_stretch_beyond_the_recording_is_an_error(
    tmp_path: Path, start_s: float, end_s: float | None, kind: str
) -> None:
    assert kind_of(write(tmp_path / "second.wav", tone()), start_s=start_s, end_s=end_s) == kind


def test_labelled_end_may_round_past_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "second.wav", tone())
    assert len(read_audio(str(path), start_s=0.5, end_s=1.05)[0]) == 8000


def test_errors_keep_kind_and_message_across_processes(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAudio) as caught:
        read_audio(str(tmp_path / "nowhere.wav"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.kind, str(copy)) == ("missing", str(caught.value))


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


def test_emodb_and_ravdess_files_read_at_16_khz() -> None:
    if not CORPORA.is_dir():
        pytest.skip(f"no corpora in {CORPORA}; set SER_RAY_CORPORA")
    emodb = sorted((CORPORA / "emodb/wav").glob("*.wav"))[::100]
    ravdess = sorted((CORPORA / "ravdess").glob("Actor_*/*.flac"))[::300]
    assert emodb
    assert ravdess
    for path in emodb + ravdess:
        wave, rate = read_audio(str(path), RATE)
        assert rate == RATE
        assert wave.ndim == 1
        assert 1.0 < len(wave) / rate < 10.0
        assert 0 < np.abs(wave).max() <= 1.1


SMALL = {
    "WAV": encoded(tone(0.05, channels=2), "WAV", "PCM_16"),
    "FLOAT": encoded(tone(0.05), "WAV", "FLOAT"),
    "AIFF": encoded(tone(0.05), "AIFF", "PCM_16"),
    "FLAC": encoded(tone(0.05), "FLAC", "PCM_16"),
    "OGG": encoded(tone(0.05), "OGG", "VORBIS"),
    "MP3": encoded(tone(0.2), "MP3", "MPEG_LAYER_III"),
}


@settings(max_examples=200, deadline=None)
@given(
    original=st.sampled_from(sorted(SMALL)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    header_changes=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_any_damage_gives_finite_samples_or_unreadable_audio(
    tmp_path_factory: pytest.TempPathFactory,
    original: str,
    changes: list[tuple[float, int]],
    header_changes: list[tuple[int, int]],
    kept: float,
) -> None:
    data = bytearray(SMALL[original])
    for place, byte in [(round(p * (len(data) - 1)), b) for p, b in changes] + header_changes:
        data[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[: round(kept * len(data))])
    tracemalloc.start()
    with contextlib.suppress(UnreadableAudio), AudioReader(path, timeout_s=20.0) as reader:
        for block in reader.blocks(seconds=0.01):
            assert block.dtype == np.float32
            assert np.isfinite(block).all()
            assert len(block) <= max(1, round(0.01 * reader.info.sample_rate))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(SMALL[original]) + 500_000  # Python's own objects, two blocks, no more


def test_same_damage_gives_the_same_words_whatever_else_is_open(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    path.write_bytes(b"fLaC" + bytes(60))
    said = []
    with (tmp_path / "other").open("w"), pytest.raises(UnreadableAudio) as first:
        AudioReader(path)
    said.append(str(first.value))
    with pytest.raises(UnreadableAudio) as second:
        AudioReader(path)
    said.append(str(second.value))
    assert said[0] == said[1]
