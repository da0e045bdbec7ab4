from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.audio import (
    TELEPHONE_RATE,
    decode_g711,
    encode_g711,
    in_band,
    is_narrow_band,
    read_audio,
    resample,
    telephone_channel,
)
from ser_ray.errors import UnknownName

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[2] / "../shared/data"))
SUBTYPES = {"mulaw": "ULAW", "alaw": "ALAW"}
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
codecs = pytest.mark.parametrize("codec", ["mulaw", "alaw"])


def real_speech() -> list[tuple[np.ndarray, int]]:
    if not CORPORA.is_dir():
        pytest.skip(f"no corpora in {CORPORA}; set SER_RAY_CORPORA")
    emodb = sorted((CORPORA / "emodb/wav").glob("*.wav"))[::12]
    ravdess = sorted((CORPORA / "ravdess").glob("Actor_*/*.flac"))[::72]
    return [read_audio(str(path)) for path in emodb + ravdess]


def rounded(wave: np.ndarray) -> np.ndarray:
    return (np.round(wave * 32768) / 32768).astype(np.float32)


def level_db(frequency: float, codec: str = "mulaw") -> float:
    """What the line does to a tone."""
    time = np.arange(16_000) / 16_000
    wave = (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)
    passed = telephone_channel(wave, 16_000, codec)[2000:-500]
    return float(20 * np.log10(np.sqrt(np.mean(passed**2)) / (0.5 / np.sqrt(2)) + 1e-9))


@codecs
def test_every_16_bit_sample_gets_the_code_that_libsndfile_gives_it(codec: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, EVERY_SAMPLE, 8000, format="AU", subtype=SUBTYPES[codec])
    theirs = np.frombuffer(buffer.getvalue()[-65536:], np.uint8)
    np.testing.assert_array_equal(encode_g711(EVERY_SAMPLE, codec), theirs)


@codecs
def test_every_code_stands_for_the_sample_that_libsndfile_reads(codec: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    theirs, _ = soundfile.read(
        io.BytesIO(codes.tobytes()),
        dtype="int16",
        samplerate=8000,
        channels=1,
        format="RAW",
        subtype=SUBTYPES[codec],
    )
    np.testing.assert_array_equal(decode_g711(codes, codec), theirs)


@codecs
def test_all_256_codes_survive_a_round_trip(codec: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    again = encode_g711(decode_g711(codes, codec), codec)
    changed = np.flatnonzero(again != codes)
    # mu-law has two zeros; the negative one comes back as the other.
    np.testing.assert_array_equal(changed, [0x7F] if codec == "mulaw" else [])
    np.testing.assert_array_equal(decode_g711(again, codec), decode_g711(codes, codec))


@codecs
@given(samples=st.lists(st.integers(-32768, 32767), max_size=50))
def test_companding_keeps_the_order_and_errs_by_half_a_step_at_most(codec: str, samples: list[int]) -> None:
    pcm = np.sort(np.array(samples, np.int16))
    heard = decode_g711(encode_g711(pcm, codec), codec).astype(int)
    assert (np.diff(heard) >= 0).all()
    assert (np.abs(heard - pcm) <= np.maximum(8, (np.abs(pcm.astype(int)) + 132) / 32)).all()


def test_unknown_codec_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="mulaw"):
        telephone_channel(np.zeros(100, np.float32), 8000, "ulaw")


@codecs
def test_line_passes_its_band_and_nothing_else(codec: str) -> None:
    assert all(abs(level_db(f, codec)) < 1.0 for f in (400, 1000, 2000, 3000))
    assert all(-4.0 < level_db(f, codec) < -2.0 for f in (300, 3400))
    assert all(level_db(f, codec) < -25 for f in (50, 100, 3950, 5000, 7000))


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_line_gives_8_khz_float32_of_the_same_length_in_time(rate: int) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
    passed = telephone_channel(wave, rate)
    assert passed.dtype == np.float32
    assert passed.shape == (TELEPHONE_RATE,)
    assert np.isin(np.round(passed * 32768), decode_g711(np.arange(256, dtype=np.uint8))).all()


def test_line_clips_what_is_over_full_scale() -> None:
    wave = (3 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)).astype(np.float32)
    assert np.abs(telephone_channel(wave, 16_000)).max() == pytest.approx(32_124 / 32_768)


def test_real_wide_band_speech_is_wide() -> None:
    assert [is_narrow_band(wave, rate) for wave, rate in real_speech()].count(False) == len(real_speech())


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_telephone_speech_stored_at_a_higher_rate_is_narrow(rate: int) -> None:
    heard = [resample(telephone_channel(wave, own), TELEPHONE_RATE, rate) for wave, own in real_speech()]
    assert all(is_narrow_band(wave, rate) is True for wave in heard)
    # Rounded to 16 bits and 20 dB down, some is too quiet to tell; none is taken for wide.
    quiet = [is_narrow_band(rounded(0.1 * wave), rate) for wave in heard]
    assert False not in quiet
    assert quiet.count(True) > len(quiet) / 2


def test_any_recording_at_8_khz_is_narrow() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    assert is_narrow_band(noise, 8000) is True
    assert is_narrow_band(noise, 10_000) is True
    assert is_narrow_band(noise, 16_000) is False


def test_silence_and_very_short_waves_cannot_tell() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert is_narrow_band(np.zeros(16_000, np.float32), 16_000) is None
    assert is_narrow_band(rounded(1e-5 * noise), 16_000) is None
    assert is_narrow_band(noise[:3000], 16_000) is None
    assert is_narrow_band(noise[:0], 16_000) is None


def test_band_of_a_long_recording_is_told_by_all_of_it() -> None:
    rng = np.random.default_rng(0)
    narrow = resample(rng.normal(0, 0.05, 8000 * 200).astype(np.float32), 8000, 16_000)
    assert is_narrow_band(narrow, 16_000) is True
    narrow[-40 * 16_000 :] = rng.normal(0, 0.05, 40 * 16_000)
    assert is_narrow_band(narrow, 16_000) is False


def test_in_band_passes_wide_speech_through_the_line_once() -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    line = telephone_channel(wave, 48_000)
    np.testing.assert_array_equal(in_band(wave, 48_000, 16_000, "wide"), resample(wave, 48_000, 16_000))
    np.testing.assert_array_equal(in_band(wave, 48_000, 8000, "telephone"), line)
    np.testing.assert_array_equal(in_band(line, 8000, 8000, "telephone"), line)
