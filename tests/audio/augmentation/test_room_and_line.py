from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from ser_ray.audio import resample, telephone_channel
from ser_ray.audio.augmentation import augment
from ser_ray.audio.augmentation.reverb import room_response
from ser_ray.audio.augmentation.telephone import PACKET, lost_packets
from ser_ray.audio.synthesis import draw_voice, synthesize

RATE = 16000


def speech() -> np.ndarray:
    return synthesize(draw_voice("female", 3), "anger", 5)


def rt60_s(response: np.ndarray, rate: int) -> float:
    """Reverberation time by Schroeder's integration, from the fall by 5 to 35 dB behind the direct sound."""
    remaining = np.cumsum(response[rate // 400 :][::-1].astype(float) ** 2)[::-1]
    decay_db = 10 * np.log10(remaining / remaining[0])
    fallen = np.flatnonzero((decay_db <= -5) & (decay_db >= -35))
    return float(-60 / (np.polyfit(fallen, decay_db[fallen], 1)[0] * rate))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("wanted_s", [0.15, 0.3, 0.6, 1.2])
def test_a_room_rings_as_long_as_wanted_within_15_percent(wanted_s, rate):
    for seed in range(5):
        response = room_response(wanted_s, rate, np.random.default_rng(seed))
        assert rt60_s(response, rate) == pytest.approx(wanted_s, rel=0.15)


@pytest.mark.parametrize("wanted_s", [0.2, 0.8])
def test_reverb_of_a_click_starts_with_the_click_where_it_was_and_decays(wanted_s):
    click = np.zeros(2 * RATE, np.float32)
    click[3000] = 0.5
    heard = augment(click, RATE, f"reverb(rt60_s={wanted_s})", "a")
    assert np.abs(heard).argmax() == 3000
    assert heard[3000] > 0
    assert np.abs(heard[:3000]).max() < 1e-5
    assert rt60_s(heard[3000:], RATE) == pytest.approx(wanted_s, rel=0.15)


def test_reverb_keeps_the_level_and_fills_the_pauses():
    wave = np.concatenate([speech(), np.zeros(RATE, np.float32)])
    heard = augment(wave, RATE, "reverb(rt60_s=0.8)", "a")
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=1e-4)
    after = heard[len(speech()) :][: RATE // 10]
    assert np.abs(after).max() > 0.01 * np.abs(wave).max()


def test_early_and_late_reflections_join_without_a_step():
    responses = [room_response(0.5, RATE, np.random.default_rng(seed)) for seed in range(60)]
    power = np.mean(np.square(responses), axis=0)
    early, late = (10 * np.log10(power[a:b].mean()) for a, b in ((480, 800), (800, 1120)))  # 30-50, 50-70 ms
    assert early - late == pytest.approx(60 * 0.02 / 0.5, abs=1.0)


def tone_level_db(hz: float, codec: str) -> float:
    """What the line does to a tone."""
    tone = (0.3 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)
    passed = augment(tone, RATE, f"telephone(codec={codec})", "a")[2000:-500]
    return float(20 * np.log10(np.sqrt(np.mean(passed**2)) / (0.3 / np.sqrt(2)) + 1e-9))


@pytest.mark.parametrize("codec", ["mulaw", "alaw", "gsm"])
def test_the_line_passes_300_to_3400_hz_and_stops_what_lies_outside(codec):
    for hz in (400, 1000, 2000, 3000):
        assert tone_level_db(hz, codec) == pytest.approx(0, abs=1.5 if codec == "gsm" else 1.0)
    assert tone_level_db(100, codec) < -35
    assert tone_level_db(5000, codec) < -45


@pytest.mark.parametrize("codec", ["mulaw", "alaw"])
def test_at_8_khz_the_line_is_the_one_of_audio_band_bit_for_bit(codec):
    narrow = resample(speech(), RATE, 8000)
    assert np.array_equal(
        augment(narrow, 8000, f"telephone(codec={codec})", "a"), telephone_channel(narrow, 8000, codec)
    )


def test_gsm_is_coarser_than_mu_law_but_the_same_speech_at_the_same_time():
    narrow = resample(speech(), RATE, 8000)
    line = telephone_channel(narrow, 8000).astype(float)
    gsm = augment(narrow, 8000, "telephone(codec=gsm)", "a").astype(float)
    ratio_db = 10 * np.log10(np.sum(line**2) / np.sum((gsm - line) ** 2))
    assert 5 < ratio_db < 25
    lags = range(-8, 9)
    likeness = [np.dot(line[100:-100], np.roll(gsm, -lag)[100:-100]) for lag in lags]
    assert lags[int(np.argmax(likeness))] == 0


@pytest.mark.parametrize(("loss", "burst"), [(0.02, 1.0), (0.1, 2.0), (0.3, 5.0), (0.5, 1.0)])
def test_the_promised_share_of_packets_is_lost_in_bursts_of_the_promised_length(loss, burst):
    lost = lost_packets(200_000, loss, burst, np.random.default_rng(0))
    assert lost.mean() == pytest.approx(loss, rel=0.05)
    lengths = [len(list(run)) for value, run in groupby(lost.tolist()) if value]
    assert np.mean(lengths) == pytest.approx(burst, rel=0.05)


def test_the_first_packet_is_lost_as_often_as_any():
    firsts = [lost_packets(1, 0.3, 4.0, np.random.default_rng(seed))[0] for seed in range(2000)]
    assert np.mean(firsts) == pytest.approx(0.3, abs=0.04)


def packets_of(text: str, noise: np.ndarray) -> np.ndarray:
    return augment(noise, 8000, text, "a").reshape(-1, PACKET)


def test_lost_packets_are_silent_or_repeat_the_last_one_and_the_others_come_as_sent():
    noise = (0.1 * np.random.default_rng(0).standard_normal(2000 * PACKET)).astype(np.float32)
    sent = packets_of("telephone", noise)
    zero = packets_of("telephone(loss=.2,burst=3,concealment=zero)", noise)
    lost = (zero == 0).all(axis=1)
    assert lost.mean() == pytest.approx(0.2, abs=0.05)
    assert np.array_equal(zero[~lost], sent[~lost])

    # Another text draws other losses: a packet that is not as sent is one.
    repeated = packets_of("telephone(loss=.2,burst=3)", noise)
    lost = (repeated != sent).any(axis=1)
    assert lost.mean() == pytest.approx(0.2, abs=0.05)
    first = np.flatnonzero(lost[1:] & ~lost[:-1]) + 1
    assert np.array_equal(repeated[first, : PACKET // 2], sent[first - 1, : PACKET // 2])  # 10 ms held
    fading = np.linalg.norm(repeated[first, -40:], axis=1) / np.linalg.norm(sent[first - 1, -40:], axis=1)
    assert fading == pytest.approx(0.85, abs=0.02)
    fourth = np.flatnonzero(lost[4:] & lost[3:-1] & lost[2:-2] & lost[1:-3]) + 4
    assert len(fourth) > 20
    assert not repeated[fourth].any()  # 60 ms after the last packet, silence


def test_no_loss_loses_nothing_and_draws_nothing():
    wave = speech()
    one, other = (augment(wave, RATE, "telephone(burst=3)", name) for name in "ab")
    assert np.array_equal(one, other)
    assert np.array_equal(one, augment(wave, RATE, "telephone", "a"))
