"""Reading audio whole, in stretches, by channel, at another rate."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_ray.audio import AudioReader, StreamResampler, read_audio, resample
from tests.audio.waves import RATE, kind_of, tone, write

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[2] / "../shared/data"))


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


def test_float_over_full_scale_is_left_as_it_is(tmp_path: Path) -> None:
    wave = 5 * tone()
    path = write(tmp_path / "hot.wav", wave, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(str(path))[0], wave[:, 0])


def test_labelled_end_may_round_past_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "second.wav", tone())
    assert len(read_audio(str(path), start_s=0.5, end_s=1.05)[0]) == 8000


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
