import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from ser_ray.audio.vad import SLICE, LaneVad
from ser_ray.errors import UsageError

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[3] / "shared" / "data"))
SAME = 1e-5  # batched equals single
FORMANTS = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480]]
)  # Hz, of a vowel
GAINS = (1.0, 0.5, 0.25)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def silero():
    """Silero's own model. Its package sets torch's threads when imported: not before a test wants it."""
    from silero_vad import load_silero_vad

    return load_silero_vad()


def synthetic_speech(rate, seconds, seed):
    """Vowels at 4.3 syllables a second, from a pulse train through formants, among pauses and faint noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rate * seconds)) / rate
    vowel = rng.integers(0, len(FORMANTS), int(seconds * 4.3) + 1)[(time * 4.3).astype(int)]
    glide = np.hanning(rate // 20) / np.hanning(rate // 20).sum()
    formants = [np.convolve(track, glide, "same") for track in FORMANTS[vowel].T]
    pitch = 130 + 25 * np.sin(2 * np.pi * 0.6 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(
        np.sin(k * phase)
        * sum(a / (1 + ((k * pitch - f) / 90) ** 2) for a, f in zip(GAINS, formants, strict=True))
        for k in range(1, 24)
    )
    loudness = np.sin(np.pi * 4.3 * time) ** 2 * (np.sin(2 * np.pi * 0.23 * time + seed) > -0.4)
    return (0.2 * voice * loudness + 1e-3 * rng.standard_normal(len(time))).astype(np.float32)


def recordings(pattern, rate, count):
    """Some recordings of a real corpus, each followed by a pause of 0.2-1.2 s of digital silence."""
    paths = sorted(CORPORA.glob(pattern))
    if not paths:
        pytest.skip(f"no corpus at {CORPORA}/{pattern}: set SER_RAY_CORPORA")
    rng = np.random.default_rng(7)
    parts = []
    for path in paths[:: len(paths) // count][:count]:
        wave, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
        parts += [
            soxr.resample(wave[:, 0], own_rate, rate),
            np.zeros(int(rate * rng.uniform(0.2, 1.2)), "f4"),
        ]
    return np.concatenate(parts)


def mu_law(wave):
    """Through the 8-bit code of a telephone line (ITU-T G.711, mu = 255, in its continuous form)."""
    code = np.round(127 * np.sign(wave) * np.log1p(255 * np.abs(wave)) / np.log(256)) / 127
    return (np.sign(code) * (256 ** np.abs(code) - 1) / 255).astype(np.float32)


def whole_chunks(wave, rate):
    hop = rate * 32 // 1000
    return wave[: len(wave) // hop * hop]


def silero_probabilities(model, wave, rate):
    model.reset_states()
    with torch.no_grad():
        return np.array(
            [model(chunk, rate).item() for chunk in torch.from_numpy(wave).split(rate * 32 // 1000)]
        )


SOUNDS = {
    "emodb": lambda: (recordings("emodb/wav/*.wav", 16000, 8), 16000),
    "emodb on the telephone": lambda: (mu_law(recordings("emodb/wav/*.wav", 8000, 8)), 8000),
    "ravdess": lambda: (recordings("ravdess/Actor_*/*.flac", 16000, 8), 16000),
    "ravdess at 8 kHz": lambda: (recordings("ravdess/Actor_*/*.flac", 8000, 8), 8000),
    "synthetic": lambda: (synthetic_speech(16000, 20, seed=1), 16000),
    "synthetic at 8 kHz": lambda: (synthetic_speech(8000, 20, seed=1), 8000),
    "digital silence": lambda: (np.zeros(16000 * 4, np.float32), 16000),
    "overload": lambda: (np.clip(40 * synthetic_speech(16000, 8, seed=2), -1, 1), 16000),
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_probabilities_and_decisions_equal_those_of_silero_itself(silero, sound):
    wave, rate = SOUNDS[sound]()
    wave = whole_chunks(wave, rate)

    ours = LaneVad(rate, 1).push(wave[np.newaxis])[0]
    theirs = silero_probabilities(silero, wave, rate)

    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
    for threshold in (0.35, 0.5):
        np.testing.assert_array_equal(ours >= threshold, theirs >= threshold)


@pytest.mark.parametrize(("rate", "hop"), [(8000, 256), (16000, 512)])
def test_one_probability_stands_for_32_ms(rate, hop):
    vad = LaneVad(rate, 2)
    assert vad.hop == hop
    probabilities = vad.push(np.zeros((2, 5 * hop), np.float32))
    assert probabilities.shape == (2, 5)
    assert probabilities.dtype == np.float32


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_lane_among_others_equals_the_leg_alone(rate):
    legs = np.stack([whole_chunks(synthetic_speech(rate, 12, seed), rate) for seed in range(5)])
    together = LaneVad(rate, 5).push(legs)
    alone = np.concatenate([LaneVad(rate, 1).push(leg[np.newaxis]) for leg in legs])
    assert 0.2 < (alone >= 0.5).mean() < 0.9  # the sounds put the network to the test
    np.testing.assert_allclose(together, alone, atol=SAME, rtol=0)


def test_what_other_lanes_hear_does_not_touch_a_lane():
    leg = whole_chunks(synthetic_speech(16000, 4, seed=3), 16000)
    quiet = LaneVad(16000, 2).push(np.stack([leg, np.zeros_like(leg)]))
    broken = LaneVad(16000, 2).push(np.stack([leg, np.full_like(leg, np.nan)]))
    np.testing.assert_array_equal(quiet[0], broken[0])


@pytest.mark.parametrize("rate", [8000, 16000])
def test_pieces_equal_the_whole(rate):
    vad, pieces = LaneVad(rate, 3), LaneVad(rate, 3)
    steps = SLICE // 3 + 150  # more than are computed together
    legs = np.stack([synthetic_speech(rate, steps * 0.032, seed) for seed in range(3)])
    edges = np.array([0, 1, 2, 40, 41, 300, steps]) * vad.hop
    pushed = [pieces.push(legs[:, first:end]) for first, end in pairwise(edges)]
    np.testing.assert_allclose(np.concatenate(pushed, axis=1), vad.push(legs), atol=SAME, rtol=0)


def test_kept_lanes_go_on_as_if_the_others_were_still_there():
    legs = np.stack([whole_chunks(synthetic_speech(8000, 8, seed), 8000) for seed in range(4)])
    first, rest = legs[:, : 256 * 100], legs[:, 256 * 100 :]
    vad, shrunk = LaneVad(8000, 4), LaneVad(8000, 4)
    vad.push(first)
    shrunk.push(first)
    shrunk.keep([3, 1])
    np.testing.assert_allclose(shrunk.push(rest[[3, 1]]), vad.push(rest)[[3, 1]], atol=SAME, rtol=0)


def test_the_same_pushes_give_the_same_bits():
    legs = np.stack([whole_chunks(synthetic_speech(16000, 6, seed), 16000) for seed in range(7)])
    first, again = LaneVad(16000, 7), LaneVad(16000, 7)
    for stretch in np.split(legs[:, : 512 * 180], 2, axis=1):
        assert first.push(stretch).tobytes() == again.push(stretch).tobytes()


def test_a_read_only_stretch_is_heard_without_warning(recwarn):
    stretch = np.zeros((1, 512), np.float32)
    stretch.flags.writeable = False
    vad = LaneVad(16000, 1)
    recwarn.clear()  # of what loading the weights has to say
    vad.push(stretch)
    assert not recwarn.list


def test_nothing_pushed_gives_no_probability():
    vad = LaneVad(16000, 2)
    assert vad.push(np.zeros((2, 0), np.float32)).shape == (2, 0)
    vad.keep([])
    assert vad.push(np.zeros((0, 1024), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(
    "stretch",
    [np.zeros((2, 500), "f4"), np.zeros((3, 512), "f4"), np.zeros(512, "f4"), np.zeros((2, 512), "i2")],
    ids=["part of a chunk", "a lane too many", "no lanes", "integers"],
)
def test_a_stretch_that_does_not_fit_is_refused(stretch):
    with pytest.raises(ValueError, match=r"is not float32 \[2, a multiple of 512\]"):
        LaneVad(16000, 2).push(stretch)


def test_a_rate_without_network_is_refused():
    with pytest.raises(UsageError, match="no voice activity network for 44100 Hz"):
        LaneVad(44100, 1)
