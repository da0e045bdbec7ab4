"""Stretches of recorded noise, drawn from a folder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ser_ray import storage
from ser_ray.audio.augmentation.augmentation import Wave
from ser_ray.audio.decode import AudioReader, read_audio
from ser_ray.errors import MissingInput, UnreadableAudio

# Collections of noise come with notes and licences, which are not to be played.
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".au", ".caf")
SILENCE_POWER = 1e-10  # -100 dB of full scale
DRAWS = 8  # in search of a stretch that is not silent


def recordings(folder: str) -> tuple[str, ...]:
    """The recordings in and below a folder, by their names, in a fixed order.

    Raises:
        MissingInput: there are none.
    """
    found = tuple(file.uri for file in storage.list_files(folder, SUFFIXES))
    if not found:
        raise MissingInput(f"no recordings in the folder of noise {folder}. Check the path, and its files.")
    return found


def draw_stretch(files: Sequence[str], samples: int, rate: int, rng: np.random.Generator) -> Wave:
    """A stretch of one of the recordings, from a random place; a silent one is put back.

    Args:
        files: URIs.
        samples: length wanted; a shorter recording is repeated.
        rate: Hz.
        rng: draws the recording and the place.

    Returns:
        float32 [samples], of some power.

    Raises:
        UnreadableAudio: the recording drawn cannot be read, or stretch after stretch is silent.
    """
    for _ in range(DRAWS):
        file, place = files[int(rng.integers(len(files)))], rng.random()
        try:
            noise = _stretch(file, samples, rate, place)
        except (UnreadableAudio, MissingInput) as error:
            kind = error.kind if isinstance(error, UnreadableAudio) else "missing"
            reason = f"the recording of noise {file} cannot be used: {error} Or take it out of its folder."
            raise UnreadableAudio(kind, reason) from error
        if mean_power(noise) > SILENCE_POWER:
            return noise
    raise UnreadableAudio(
        "no_samples", f"{DRAWS} stretches of recorded noise, the last of {file}, are silent. Take it out."
    )


def mean_power(wave: Wave) -> float:
    """Mean square of a wave."""
    return float(np.mean(np.square(wave, dtype=np.float64)))


def _stretch(file: str, samples: int, rate: int, place: float) -> Wave:
    """`samples` of a recording from the share `place` of it on, round and round where it is too short."""
    with storage.local_copy(file) as path:
        with AudioReader(path) as reader:
            own_rate, frames = reader.info.sample_rate, reader.info.frames
        wanted = math.ceil(samples / rate * own_rate) + 1
        if frames is not None and frames > wanted:
            start_s = int(place * (frames - wanted)) / own_rate
            noise, _ = read_audio(str(path), rate, start_s, start_s + wanted / own_rate)
            return np.resize(noise, samples)
        noise, _ = read_audio(str(path), rate)
    first = int(place * len(noise))
    return np.resize(np.roll(noise, -first), samples)
