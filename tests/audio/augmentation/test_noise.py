from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.audio.augmentation import augment, get
from ser_ray.audio.augmentation.noise import GENERATED, active_power
from ser_ray.errors import MissingInput, UnreadableAudio

RATE = 16000
sources = pytest.mark.parametrize("source", GENERATED)


def tone(hz: float, seconds: float, rate: int = RATE, amplitude: float = 0.2) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def half_silent() -> np.ndarray:
    """A second of a tone of power 0.02, with a second of silence around it."""
    wave = np.zeros(2 * RATE, np.float32)
    wave[RATE // 2 : 3 * RATE // 2] = tone(200, 1.0)
    return wave


def power_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wave.astype(float) ** 2)))


def spectrum(wave: np.ndarray, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(len(wave), 1 / rate), np.abs(np.fft.rfft(wave)) ** 2


def band_db(wave: np.ndarray, low: float, high: float) -> float:
    hz, power = spectrum(wave)
    return float(10 * np.log10(power[(hz >= low) & (hz < high)].sum()))


def strongest_hz(wave: np.ndarray, rate: int = RATE) -> float:
    hz, power = spectrum(wave, rate)
    return float(hz[power.argmax()])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(GENERATED)), st.floats(-30, 60), st.text(max_size=4))
def test_the_ratio_of_speech_to_noise_is_met_and_pauses_do_not_count(source, snr_db, name):
    wave = half_silent()
    noise = augment(wave, RATE, f"noise(snr_db={snr_db!r},source={source})", name).astype(float) - wave
    assert 10 * np.log10(0.02) - power_db(noise) == pytest.approx(snr_db, abs=0.1)


def test_active_power_leaves_out_what_lies_30_db_below_the_loudest_frame():
    wave = half_silent()
    assert active_power(wave, RATE) == pytest.approx(0.02, rel=1e-3)
    quiet = wave + np.where(wave == 0, np.float32(0.2 / 50), np.float32(0.0))  # 34 dB below the tone
    assert active_power(quiet, RATE) == pytest.approx(0.02, rel=1e-2)
    audible = wave + np.where(wave == 0, np.float32(0.2 / 20), np.float32(0.0))  # 26 dB below
    assert active_power(audible, RATE) == pytest.approx(0.01, rel=2e-2)
    assert active_power(np.array([0.5], np.float32), RATE) == pytest.approx(0.25)


def test_white_noise_has_one_density_and_pink_noise_the_same_power_in_each_octave():
    octaves = [(low, 2 * low) for low in (31.25, 125, 500, 2000)]
    wave = tone(100, 30.0, amplitude=0.0001)
    for source, rise_db in (("white", 3.01), ("pink", 0.0)):
        noise = augment(wave, RATE, f"noise(snr_db=-30,source={source})", "a")
        levels = np.array([band_db(noise, *octave) for octave in octaves])
        expected = 2 * rise_db * np.arange(4)
        assert levels - levels[-1] == pytest.approx(expected - expected[-1], abs=0.5), source
    assert band_db(noise, 0, 15) < levels[-1] - 40


def test_babble_has_the_spectrum_of_speech_and_swells():
    wave = tone(100, 30.0, amplitude=0.0001)
    babble, white = (augment(wave, RATE, f"noise(snr_db=-30,source={s})", "a") for s in ("babble", "white"))
    thirds = [band_db(babble, hz * 2 ** (-1 / 6), hz * 2 ** (1 / 6)) for hz in (125, 500, 1000, 4000)]
    # Byrne et al. (1994): 57.7, 62.1, 53.7 and 45.6 dB.
    assert np.array(thirds) - thirds[1] == pytest.approx([-4.4, 0.0, -8.4, -16.5], abs=1.5)
    swell, steady = (np.std([power_db(part) for part in np.split(w, 300)]) for w in (babble, white))
    assert swell > 2.0  # dB
    assert steady < 0.5


@sources
def test_two_utterances_hear_unrelated_noise(source):
    wave = tone(100, 2.0)
    one, other = (augment(wave, RATE, f"noise(source={source})", name) - wave for name in "ab")
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.15


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A folder of noise: 1 kHz, 10 s at 44.1 kHz; 3 kHz, 0.2 s in two channels at 22.05 kHz; notes."""
    soundfile.write(tmp_path / "long.wav", tone(1000, 10.0, 44100), 44100)
    (tmp_path / "deep").mkdir()
    short = tone(3000, 0.2, 22050) * np.linspace(0.5, 1.0, 4410, dtype=np.float32)
    soundfile.write(tmp_path / "deep" / "short.flac", np.column_stack([short, short]), 22050)
    (tmp_path / "LICENSE.txt").write_text("Keep it.")
    return str(tmp_path)


def test_noise_comes_from_every_recording_of_the_folder_at_any_place_and_at_the_waves_rate(folder):
    wave = tone(200, 1.0, amplitude=0.1)
    heard = [augment(wave, RATE, f"noise(snr_db=6,folder={folder})", str(k)) - wave for k in range(24)]
    for noise in heard:
        assert 10 * np.log10(0.005) - power_db(noise) == pytest.approx(6, abs=0.1)
    found = [round(strongest_hz(noise)) for noise in heard]
    assert set(found) == {1000, 3000}
    assert 4 <= found.count(1000) <= 20
    long = [noise for noise, hz in zip(heard, found, strict=True) if hz == 1000]
    assert not np.allclose(long[0], long[1], atol=1e-3)  # from another place


def test_a_short_recording_is_repeated_without_a_pause_from_any_place(folder):
    (Path(folder) / "long.wav").unlink()
    wave = tone(200, 1.0)
    noise, other = (augment(wave, RATE, f"noise(snr_db=0,folder={folder})", name) - wave for name in "ab")
    assert np.abs(noise - other).max() > 0.05
    assert np.array_equal(noise[:3200].round(4), noise[3200:6400].round(4))
    assert all(strongest_hz(part) == pytest.approx(3000, abs=5) for part in np.split(noise, 5))


def test_the_same_folder_gives_the_same_noise_again(folder):
    wave, text = tone(200, 1.0), f"noise(folder={folder})"
    ours = get(text)(wave, RATE, np.random.default_rng(1))
    assert np.array_equal(ours, get(text)(wave, RATE, np.random.default_rng(1)))
    assert not np.array_equal(ours, get(text)(wave, RATE, np.random.default_rng(2)))


def test_a_relative_folder_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert get("noise(folder=rain)").spec == f"noise(folder={tmp_path}/rain)"
    assert get("noise(folder=s3://bucket/rain/)").spec == "noise(folder=s3://bucket/rain)"


def test_a_folder_without_recordings_is_missing_input(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MissingInput, match=f"no recordings in the folder of noise {place}"):
            get(f"noise(folder={place})").require()
    get("noise").require()


@pytest.mark.parametrize(
    ("content", "kind"), [(b"", "empty"), (b"no audio at all" * 99, "not_audio"), (b"cut", "truncated")]
)
def test_an_unreadable_recording_of_noise_is_named(tmp_path, content, kind):
    if content == b"cut":
        soundfile.write(tmp_path / "broken.wav", tone(500, 2.0), RATE)
        content = (tmp_path / "broken.wav").read_bytes()[:5000]
    (tmp_path / "broken.wav").write_bytes(content)
    with pytest.raises(UnreadableAudio, match=rf"recording of noise {tmp_path}/broken\.wav") as caught:
        augment(tone(200, 1.0), RATE, f"noise(folder={tmp_path})", "a")
    assert caught.value.kind == kind


def test_silent_stretches_are_put_back_and_only_silence_is_refused(tmp_path):
    recording = np.zeros(20 * RATE, np.float32)
    soundfile.write(tmp_path / "gap.wav", recording, RATE)
    wave = tone(200, 0.5)
    with pytest.raises(UnreadableAudio, match=r"gap\.wav, are silent"):
        augment(wave, RATE, f"noise(folder={tmp_path})", "a")
    recording[::2] = 0.1 * (np.arange(10 * RATE) > 5 * RATE)  # the first half stays silent
    soundfile.write(tmp_path / "gap.wav", recording, RATE)
    for name in "abcdef":
        noise = augment(wave, RATE, f"noise(snr_db=0,folder={tmp_path})", name) - wave
        assert power_db(noise) == pytest.approx(10 * np.log10(0.02), abs=0.1)
