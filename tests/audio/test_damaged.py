"""Damaged, foreign and hostile files: a typed error, never a hang and never silence."""

from __future__ import annotations

import contextlib
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.audio import AudioReader, read_audio
from ser_ray.errors import UnreadableAudio
from tests.audio.waves import RATE, encoded, kind_of, tone, wav, write


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


def test_errors_keep_kind_and_message_across_processes(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAudio) as caught:
        read_audio(str(tmp_path / "nowhere.wav"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.kind, str(copy)) == ("missing", str(caught.value))


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
