"""Our features beside those of librosa and openSMILE: the same waves, one core, turn by turn."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from ser_ray.features.feature import Array, Feature, together
from ser_ray.features.registry import get

RATE = 16000
FRAMES = {"n_fft": 512, "win_length": 400, "hop_length": 160}  # 25 ms frames every 10 ms, as ours
# The frames that librosa takes unless told otherwise, for all four; and ours, 25 and 128 ms every 10 ms.
SYSTEM_7 = (
    *("logmel(bands=128,window=2048,hop=512)", "mfcc(window=2048,hop=512)"),
    *("chroma(hop=512)", "contrast(hop=512)"),
)
SYSTEM_7_DENSE = ("logmel(bands=128)", "mfcc", "chroma", "contrast")


@dataclass(frozen=True)
class Contest:
    """One feature computed in two ways; `theirs` gets one wave, as users call it."""

    name: str
    reference: str
    ours: tuple[str, ...]
    theirs: Callable[[Array], Any]
    pool: bool = False


def compare(waves: Sequence[Array], repeats: int) -> dict[str, dict[str, Any]]:
    """Speed of our features and of the reference's.

    Args:
        waves: float32 [samples] at 16 kHz.
        repeats: of both, in turn.

    Returns:
        For each contest the reference, times real time of both, and the median ratio.
    """
    audio_s = sum(map(len, waves)) / RATE
    found: dict[str, dict[str, Any]] = {}
    for contest in contests():
        chosen = [get(spec) for spec in contest.ours]
        ours, theirs = [], []
        _ours(chosen, waves[:2], contest.pool)  # first calls build tables and load code
        contest.theirs(waves[0])
        for _ in range(repeats):
            ours.append(_seconds(lambda c=contest, f=chosen: _ours(f, waves, c.pool)))  # type: ignore[misc]
            theirs.append(_seconds(lambda c=contest: [c.theirs(wave) for wave in waves]))  # type: ignore[misc]
        found[contest.name] = {
            "reference": contest.reference,
            "times_real_time": audio_s / median(ours),
            "reference_times_real_time": audio_s / median(theirs),
            "ratio": median(t / o for t, o in zip(theirs, ours, strict=True)),
        }
    return found


def contests() -> list[Contest]:
    """What is compared; openSMILE's only where it is installed."""
    import librosa

    def mfcc(wave: Array, **frames: int) -> Any:
        return librosa.feature.mfcc(y=wave, sr=RATE, n_mfcc=40, n_mels=80, **frames)

    def mfcc_statistics(wave: Array) -> Any:
        frames = mfcc(wave, **FRAMES)
        return np.concatenate([frames.mean(axis=1), frames.std(axis=1)])

    def system_7(wave: Array, hop: int = 512, **frames: int) -> Any:
        mel = librosa.feature.melspectrogram(y=wave, sr=RATE, n_mels=128, **frames)
        return (
            librosa.power_to_db(mel),
            mfcc(wave, **frames),
            librosa.feature.chroma_stft(y=wave, sr=RATE, hop_length=hop),
            librosa.feature.spectral_contrast(y=wave, sr=RATE, hop_length=hop),
        )

    def system_7_dense(wave: Array) -> Any:
        return system_7(wave, 160, **FRAMES)

    def yin(wave: Array) -> Any:
        return librosa.yin(wave, fmin=60, fmax=600, sr=RATE, hop_length=160)

    def yin_by_default(wave: Array) -> Any:
        return librosa.yin(wave, fmin=60, fmax=600, sr=RATE)

    found = [
        Contest("MFCC, mean and deviation", "librosa mfcc", ("mfcc",), mfcc_statistics, pool=True),
        Contest("the four of system 7", "librosa, its own frames of 128 ms every 32", SYSTEM_7, system_7),
        Contest("the same every 10 ms", "librosa, the same frames", SYSTEM_7_DENSE, system_7_dense),
        Contest("F0", "librosa yin, hop 160", ("f0",), yin),
        Contest("F0, their hop", "librosa yin, its own hop of 512", ("f0(hop=512)",), yin_by_default),
    ]
    return found + (_opensmile() if importlib.util.find_spec("opensmile") else [])


def _opensmile() -> list[Contest]:
    import opensmile

    def smile(level: Any) -> Any:
        extractor = opensmile.Smile(opensmile.FeatureSet.IS09, level)
        return lambda wave: extractor.process_signal(wave, RATE)

    frames = smile(opensmile.FeatureLevel.LowLevelDescriptors)
    return [Contest("IS09 descriptors", "openSMILE IS09", ("is09_lld",), frames)]


def _ours(chosen: list[Feature], waves: Sequence[Array], pool: bool) -> Any:
    results = together(chosen, waves)
    return [[(r.mean(axis=0), r.std(axis=0)) for r in result] for result in results] if pool else results


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
