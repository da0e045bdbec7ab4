import librosa
import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from ser_ray import errors, features
from ser_ray.audio import resample, telephone_channel

FALLING = tuple(0.2 / k for k in range(1, 30))
OCTAVE_TRAPS = {
    "second harmonic 20 dB over the first": (0.02, 0.2, *FALLING[2:]),
    "no fundamental": (0, *FALLING[1:]),
    "odd harmonics": tuple(level * (k % 2) for k, level in enumerate(FALLING, 1)),
    "two harmonics": (0.2, 0.2),
}
FORMANTS = {
    "a": (730, 1090, 2440),
    "i": (270, 2290, 3010),
    "u": (300, 870, 2240),
}  # Peterson and Barney, 1952


def voice(hz, levels=FALLING, rate: int = 16000, seconds: float = 1.0) -> np.ndarray:
    """Harmonics of an F0 (a number, or a function of time), those above half the rate left out."""
    t = np.arange(int(seconds * rate)) / rate
    pitch = np.broadcast_to(hz(t) if callable(hz) else hz, t.shape)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    audible = [(k, level) for k, level in enumerate(levels, 1) if k * pitch.max() < rate / 2]
    return sum(level * np.sin(k * phase) for k, level in audible).astype(np.float32)


def vowel(name: str, hz: float) -> np.ndarray:
    wave = voice(hz, tuple(1 / k for k in range(1, 60)))
    for formant in FORMANTS[name]:
        radius = np.exp(-np.pi * 80 / 16000)
        wave = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant / 16000), radius**2], wave)
    return (0.1 * wave / wave.std()).astype(np.float32)


def noise(samples: int, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(7).normal(0, level, samples).astype(np.float32)


def inner(wave: np.ndarray, spec: str = "f0") -> tuple[np.ndarray, np.ndarray]:
    """F0 and voicing of the frames that lie within the wave."""
    found = features.get(spec)(wave)[5:-5]
    return found[:, 0], found[:, 1]


def cents(found: np.ndarray, true) -> np.ndarray:
    return 1200 * np.log2(np.maximum(found, 1) / true)


@pytest.mark.parametrize("hz", [60.0, 80.0, 100.0, 143.0, 200.0, 311.0, 440.0, 600.0])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_f0_of_a_voice_is_right_within_five_cents(hz, rate):
    found, voicing = inner(voice(hz, rate=rate), f"f0(rate={rate})")
    assert np.abs(cents(found, hz)).max() < 5
    assert voicing.min() > 0.85


@pytest.mark.parametrize("rate", [16000, 44100])
def test_f0_of_a_glide_is_right_within_three_cents_of_its_course(rate):
    feature = features.get(f"f0(rate={rate})")
    found = feature(voice(lambda t: 110 * 2 ** (t / 2), rate=rate, seconds=2.0))[:, 0]
    course = 110 * 2 ** (np.arange(len(found)) * feature.hop / rate / 2)
    assert np.abs(cents(found, course)[5:-5]).max() < 3


def test_f0_is_that_of_yin_and_pyin_on_a_glide():
    wave = voice(lambda t: 110 * 2 ** (t / 2), seconds=2.0)
    settings = {"sr": 16000, "fmin": 60, "fmax": 600, "frame_length": 1024, "hop_length": 160}
    found, voicing = inner(wave)
    pyin, voiced, _ = librosa.pyin(wave, **settings)
    assert np.abs(cents(found, librosa.yin(wave, **settings)[5:-5])).max() < 6
    assert np.abs(cents(found, pyin[5:-5])).max() < 12  # it rounds to ten cents
    assert voiced[5:-5].all()
    assert voicing.min() > 0.9


@pytest.mark.parametrize("trap", OCTAVE_TRAPS)
@pytest.mark.parametrize("hz", [100.0, 143.0, 220.0, 311.0, 500.0])
def test_no_octave_is_missed(trap, hz):
    found, voicing = inner(voice(hz, OCTAVE_TRAPS[trap]))
    assert np.abs(cents(found, hz)).max() < 25
    assert voicing.min() > 0.9


@pytest.mark.parametrize("hz", [80.0, 100.0, 150.0, 220.0, 440.0])
def test_f0_survives_the_loss_of_the_fundamental_on_the_telephone(hz):
    line = telephone_channel(voice(hz), 16000)[800:]
    found, voicing = inner(line, "f0(band=telephone)")
    assert np.abs(cents(found, hz)).max() < 5
    assert voicing.min() > 0.9


@pytest.mark.parametrize("snr_db", [20, 10])
def test_f0_of_a_noisy_voice_is_right_within_ten_cents(snr_db):
    clean = voice(lambda t: 150 * 2 ** (np.sin(4 * t) / 3), seconds=2.0)
    found, voicing = inner(clean + noise(len(clean), clean.std() * 10 ** (-snr_db / 20)))
    course = 150 * 2 ** (np.sin(4 * np.arange(5, len(found) + 5) / 100) / 3)
    assert np.abs(cents(found, course)).max() < 10
    assert voicing.min() > 0.5


def test_noise_makes_few_frames_fall_by_an_octave():
    clean = voice(311, seconds=5.0)
    found, _ = inner(clean + noise(len(clean), clean.std() * 10**-0.5), "f0(voiced=0)")
    assert np.mean(cents(found, 311) < -300) < 0.03  # 5 % where long periods cost nothing


@pytest.mark.parametrize("name", FORMANTS)
@pytest.mark.parametrize("hz", [90.0, 130.0, 210.0, 320.0])
@pytest.mark.parametrize("band", ["wide", "telephone"])
def test_vowels_are_voiced_and_have_their_f0(name, hz, band):
    wave = vowel(name, hz) + noise(16000, 0.001)
    wave = wave if band == "wide" else telephone_channel(wave, 16000)[800:]
    found, voicing = inner(wave, f"f0(band={band})")
    assert np.median(voicing) > 0.95
    assert np.mean(np.abs(cents(found, hz)) < 25) > 0.95


@pytest.mark.parametrize("spec", ["f0", "f0(band=telephone)"])
def test_noise_is_unvoiced(spec):
    found, voicing = inner(noise(80_000), spec)
    assert np.mean(found > 0) < 0.01
    assert voicing.mean() < 0.1


@pytest.mark.parametrize("wave", [np.zeros(16000, np.float32), np.full(16000, 0.3, np.float32)])
def test_silence_and_an_offset_are_unvoiced(wave):
    assert not features.get("f0")(wave).any()
    assert not features.get("f0(voiced=0)")(wave).any()


def test_the_threshold_tells_which_frames_have_an_f0():
    wave = voice(150) + noise(16000, 0.2)
    every, half = features.get("f0(voiced=0)")(wave), features.get("f0")(wave)
    np.testing.assert_array_equal(every[:, 1], half[:, 1])
    np.testing.assert_array_equal(half[:, 0] > 0, half[:, 1] >= 0.5)
    np.testing.assert_array_equal(half[half[:, 0] > 0, 0], every[half[:, 0] > 0, 0])
    assert 0 < np.mean(half[:, 0] > 0) < 1


def test_an_offset_and_gain_change_nothing():
    wave = voice(150) + noise(16000, 0.05)
    found = features.get("f0")(0.1 * wave + np.float32(0.2))
    np.testing.assert_allclose(found, features.get("f0")(wave), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("f0(window=400)", "window=400 will not do, two periods of 60 Hz do not fit"),
        ("f0(fmin=50)", "n_fft=1024 will not do, window and a period of 50 Hz do not fit"),
        ("f0(fmin=300,fmax=300)", "it must lie above fmin"),
    ],
)
def test_a_range_that_the_frames_cannot_hold_is_refused(spec, message):
    with pytest.raises(errors.UsageError) as caught:
        features.get(spec)
    assert message in str(caught.value)


def test_a_short_window_does_for_high_voices():
    found, _ = inner(voice(200), "f0(window=400,fmin=80)")
    assert np.abs(cents(found, 200)).max() < 5


REAL = (
    *("ravdess/Actor_01/03-01-05-02-01-01-01.flac", "ravdess/Actor_02/03-01-03-01-02-01-02.flac"),
    *("emodb/wav/03a01Fa.wav", "emodb/wav/08a01Na.wav"),
)


@pytest.fixture(scope="module")
def pyin_tracks(real_corpora) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Wave at 16 kHz, F0 and voicing decisions of pYIN every 10 ms."""
    tracks = []
    for name in REAL:
        wave, rate = soundfile.read(real_corpora / name, dtype="float32")
        wave = resample(wave if wave.ndim == 1 else wave.mean(axis=1), rate, 16000)
        f0, voiced, _ = librosa.pyin(wave, sr=16000, fmin=60, fmax=600, frame_length=1024, hop_length=160)
        tracks.append((wave, f0, voiced))
    return tracks


@pytest.mark.parametrize("band", ["wide", "telephone"])
def test_f0_of_real_speech_is_that_of_pyin(pyin_tracks, band):
    apart, likely, unlikely = [], [], []
    for wave, pyin, voiced in pyin_tracks:
        line = wave if band == "wide" else telephone_channel(wave, 16000)
        found = features.get(f"f0(band={band})")(line)
        assert len(found) == len(pyin)
        both = voiced & (found[:, 0] > 0)
        apart.append(np.abs(cents(found[both, 0], pyin[both])))
        likely.append(found[voiced, 1])
        unlikely.append(found[~voiced, 1])
    apart, likely, unlikely = map(np.concatenate, (apart, likely, unlikely))
    assert len(apart) > 400
    assert np.median(apart) < 25
    assert np.mean(apart > 300) < 0.05
    assert likely.mean() > 0.7 > 0.3 > unlikely.mean()
