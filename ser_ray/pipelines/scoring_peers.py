"""What users would write to score calls: one process, one call and one leg after the other.

Silero VAD by its own loop, features of each segment, and scikit-learn's and XGBoost's own predictions; once
with statistics of librosa's MFCC, once with openSMILE's IS10 and a linear SVM. The members are as large as
the ensemble's, but learned from noise: only their speed counts here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import soundfile
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

from ser_ray import storage
from ser_ray.features.is10_opensmile import by_opensmile
from ser_ray.fusion import load_ensemble
from ser_ray.pipelines.plan import list_calls

Compute = Callable[[np.ndarray, int], np.ndarray]  # a segment [samples] and its rate in Hz -> [columns]
LEAST_S = 0.25  # shorter segments have too few frames for statistics


def peers_of(archive: str, ensemble: str, most: int) -> dict[str, dict[str, float]]:
    """The loops' speed over some calls of an archive, on one core.

    Args:
        archive: calls; those are taken that soundfile reads where they are.
        ensemble: its svm, random_forest and xgboost count, other members are left out.
        most: evenly spaced calls that are read; 0: no figures.

    Returns:
        For each loop its calls, audio hours and times real time; openSMILE's where it is installed.
    """
    calls, _ = list_calls(archive)
    rows = np.unique(np.linspace(0, len(calls) - 1, most).astype(int))
    uris = [uri for uri in calls["uri"].take(rows).to_pylist() if storage.is_local(uri)]
    paths = [path for path in map(str, map(storage.local_path, uris)) if _readable(path)]
    if not paths:
        return {}
    members = load_ensemble(ensemble)[0].members.values()
    y = next(iter(members)).out_of_fold.y
    loops = {
        "librosa": (mfcc_statistics, [PEERS[m.family](m.settings) for m in members if m.family in PEERS])
    }
    if find_spec("opensmile"):
        loops["opensmile"] = (by_opensmile, [LinearSVC()])
    threads = torch.get_num_threads()  # importing Silero sets it, too
    try:
        with threadpool_limits(1):
            torch.set_num_threads(1)
            return {name: _timed(paths, y, *loop) for name, loop in loops.items()}
    finally:
        torch.set_num_threads(threads)


def mfcc_statistics(wave: np.ndarray, rate: int) -> np.ndarray:
    """Mean and deviation over time of 40 MFCC and their slopes, by librosa, every 10 ms [160]."""
    import librosa  # here, because it takes its time to import

    frames = {"win_length": rate // 40, "hop_length": rate // 100, "n_fft": 512}
    mfcc = librosa.feature.mfcc(y=wave, sr=rate, n_mfcc=40, n_mels=80, **frames)
    rows = np.concatenate([mfcc, librosa.feature.delta(mfcc)])
    return np.concatenate([rows.mean(axis=1), rows.std(axis=1)])


PEERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "svm": lambda given: SVC(C=given["C"]),
    "random_forest": lambda given: RandomForestClassifier(given["trees"]),
    "xgboost": lambda given: XGBClassifier(n_estimators=given["trees"], max_depth=given["depth"], n_jobs=1),
}


def _timed(paths: Sequence[str], y: np.ndarray, compute: Compute, members: Sequence[Any]) -> dict[str, float]:
    """Speed over the recordings; what loads and learns is done before the clock starts."""
    from silero_vad import load_silero_vad

    detector, rng = load_silero_vad(), np.random.default_rng(0)
    columns = len(compute(rng.normal(0, 0.1, 8000).astype(np.float32), 8000))
    noise, y = rng.normal(size=(len(y), columns)), np.unique(y, return_inverse=True)[1]
    answers = [_answer(member.fit(noise, y)) for member in members]
    _score_call(paths[-1], detector, compute, answers)
    started, processor = time.perf_counter(), time.process_time()
    audio_s = sum(_score_call(path, detector, compute, answers) for path in paths)
    return {
        "calls": len(paths),
        "audio_hours": audio_s / 3600,
        "times_real_time": audio_s / (time.perf_counter() - started),
        "times_real_time_of_processor": audio_s / (time.process_time() - processor),
    }


def _answer(member: Any) -> Callable[[np.ndarray], np.ndarray]:
    answer: Callable[[np.ndarray], np.ndarray]
    answer = member.predict_proba if hasattr(member, "predict_proba") else member.decision_function
    return answer


def _score_call(
    path: str, detector: Any, compute: Compute, answers: Sequence[Callable[[np.ndarray], np.ndarray]]
) -> float:
    """Score one recording and return its length in seconds."""
    import librosa
    from silero_vad import get_speech_timestamps

    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    duration_s: float = len(wave) / rate
    if rate not in (8000, 16000):
        wave, rate = librosa.resample(wave, orig_sr=rate, target_sr=16000, axis=0), 16000
    for leg in wave.T:
        found = get_speech_timestamps(torch.from_numpy(leg.copy()), detector, sampling_rate=rate)
        segments = [leg[part["start"] : part["end"]] for part in found]
        values = [compute(segment, rate) for segment in segments if len(segment) >= LEAST_S * rate]
        for answer in answers if values else ():
            answer(np.stack(values))
    return duration_s


def _readable(path: str) -> bool:
    try:
        return bool(soundfile.info(path).frames)
    except soundfile.SoundFileError:
        return False
