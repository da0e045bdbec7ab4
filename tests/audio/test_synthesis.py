import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from silero_vad import load_silero_vad

from ser_ray.audio.band import TELEPHONE_RATE, telephone_channel
from ser_ray.audio.synthesis import (
    CONSONANTS,
    EXPRESSIONS,
    RATE,
    VOWELS,
    draw_sentence,
    draw_voice,
    synthesize,
)
from ser_ray.errors import UnknownName, UsageError

SENTENCE = "bato nisela fukido me"


def average(emotion, measure):
    """The mean of `measure` over utterances of four speakers."""
    voices = [draw_voice(gender, seed) for gender in ("female", "male") for seed in (0, 1)]
    return np.mean(
        [measure(synthesize(voice, emotion, seed, SENTENCE)) for voice in voices for seed in range(3)]
    )


def level_db(wave):
    return 10 * np.log10(np.mean(wave**2))


def brightness_db(wave):
    """Energy above 2 kHz against energy below, dB."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    split = 2000 * len(wave) // RATE
    return 10 * np.log10(power[split:].sum() / power[:split].sum())


def pitch_hz(wave):
    """The strongest period of the autocorrelation, median over loud frames."""
    frames = wave[: len(wave) // 640 * 640].reshape(-1, 640)
    loud = frames[np.square(frames).sum(axis=1) > np.square(frames).sum(axis=1).mean()]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(loud, 1280)) ** 2)[:, : RATE // 60]
    shortest = RATE // 450
    return float(np.median(RATE / (correlation[:, shortest:].argmax(axis=1) + shortest)))


@settings(max_examples=15, deadline=None)
@given(
    emotion=st.sampled_from(sorted(EXPRESSIONS)),
    gender=st.sampled_from(["female", "male"]),
    seed=st.integers(0, 2**31),
    syllables=st.integers(1, 20),
)
def test_any_utterance_is_finite_and_below_full_scale(emotion, gender, seed, syllables):
    wave = synthesize(draw_voice(gender, seed), emotion, seed, draw_sentence(seed, syllables))
    assert wave.dtype == np.float32
    assert 0.001 < np.abs(wave).max() < 1.0
    assert 0.1 * syllables < len(wave) / RATE < 0.6 * syllables + 0.6


def test_the_seed_makes_the_utterance():
    voice = draw_voice("female", 1)
    assert np.array_equal(synthesize(voice, "fear", 3), synthesize(voice, "fear", 3))
    assert not np.array_equal(synthesize(voice, "fear", 3, SENTENCE), synthesize(voice, "fear", 4, SENTENCE))
    assert draw_voice("female", 1) == voice != draw_voice("female", 2)


def test_emotions_differ_as_the_literature_says():
    level = {emotion: average(emotion, level_db) for emotion in ("anger", "neutral", "sadness")}
    bright = {emotion: average(emotion, brightness_db) for emotion in ("anger", "neutral", "sadness")}
    pitch = {emotion: average(emotion, pitch_hz) for emotion in ("happiness", "neutral", "sadness")}
    length = {emotion: average(emotion, len) for emotion in ("anger", "neutral", "sadness")}
    assert level["anger"] > level["neutral"] + 5 > level["sadness"] + 8
    assert bright["anger"] > bright["neutral"] + 3 > bright["sadness"] + 6
    assert pitch["happiness"] > 1.1 * pitch["neutral"] > 1.1 * pitch["sadness"]
    assert length["anger"] < length["neutral"] < length["sadness"]


def test_women_speak_higher_than_men():
    women, men = ([draw_voice(gender, seed).f0_hz for seed in range(20)] for gender in ("female", "male"))
    assert min(women) > max(men)
    heard = pitch_hz(synthesize(draw_voice("male", 0), "neutral", 0, "ma na la"))
    assert heard == pytest.approx(draw_voice("male", 0).f0_hz, rel=0.35)


@pytest.mark.parametrize("emotion", sorted(EXPRESSIONS))
@pytest.mark.parametrize("gender", ["female", "male"])
def test_silero_takes_it_for_speech_at_both_bands(emotion, gender):
    wave = synthesize(draw_voice(gender, 7), emotion, 11, draw_sentence(5))
    for heard, rate in ((wave, RATE), (telephone_channel(wave, RATE), TELEPHONE_RATE)):
        speech = load_silero_vad().audio_forward(torch.from_numpy(heard)[None], rate)[0]
        assert (speech > 0.5).float().mean() > 0.6


def test_noise_is_not_taken_for_speech():
    noise = np.random.default_rng(0).normal(0, 0.05, 2 * RATE).astype(np.float32)
    assert (
        load_silero_vad().audio_forward(torch.from_numpy(noise)[None], RATE)[0] > 0.5
    ).float().mean() < 0.1


@given(seed=st.integers(0, 2**32), syllables=st.integers(1, 30))
def test_sentences_are_words_of_consonant_vowel_syllables(seed, syllables):
    sentence = draw_sentence(seed, syllables)
    letters = sentence.replace(" ", "")
    assert len(letters) == 2 * syllables
    assert set(letters[::2]) <= set(CONSONANTS)
    assert set(letters[1::2]) <= set(VOWELS)


@pytest.mark.parametrize("sentence", ["hello", "ba  to", "b", "ba tox", " ", ""])
def test_a_sentence_of_other_sounds_is_refused(sentence):
    with pytest.raises(UsageError, match="consonant-vowel"):
        synthesize(draw_voice("male", 0), "neutral", 0, sentence)


def test_unknown_emotions_and_genders_are_refused():
    with pytest.raises(UnknownName, match="anger"):
        synthesize(draw_voice("male", 0), "angry", 0)
    with pytest.raises(UsageError, match="'female' or 'male'"):
        draw_voice("f", 0)
