"""The sound of a room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_ray.audio.augmentation.augmentation import Varied, Wave
from ser_ray.parameters import parameter

SOUND = 343.0  # m/s
SMALLEST_M, LARGEST_M = (3.0, 3.0, 2.4), (8.0, 6.0, 3.5)  # rooms
MARGIN_M, NEAREST_M = 0.5, 0.3  # to a wall; from mouth to microphone
EARLY_S = 0.050  # reflections one by one until then, after it a dense tail


@dataclass(frozen=True, kw_only=True)
class Reverb(Varied):
    """The wave in a room of office or living-room size, drawn for each wave (`room_response`).

    The direct sound stays where it is and what rings on after the end is cut, so length and timing are
    kept; so is the level (root mean square).

    Attributes:
        rt60_s: Reverberation time in s: until the sound has fallen by 60 dB.
    """

    name: ClassVar[str] = "reverb"
    strength: ClassVar[str] = "rt60_s"

    rt60_s: float = parameter(0.4, low=0.05, high=5.0)

    def _alter(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        from scipy import fft

        response = room_response(self._drawn(rng), rate, rng)
        size = fft.next_fast_len(len(wave) + len(response) - 1, real=True)
        heard = fft.irfft(fft.rfft(wave, size) * fft.rfft(response, size), size)[: len(wave)]
        before, after = (float(np.square(w, dtype=np.float64).sum()) for w in (wave, heard))
        return np.asarray(heard * np.float32(np.sqrt(before / after)) if after > 0 else heard)


def room_response(rt60_s: float, rate: int, rng: np.random.Generator) -> Wave:
    """Impulse response of a random rectangular room, from the direct sound on.

    Early reflections come from image sources (Allen and Berkley 1979, "Image method for efficiently
    simulating small-room acoustics", JASA 65), with random signs, without which the low frequencies of
    an empty box pile up; after 50 ms comes decaying Gaussian noise (Polack 1988), as loud as the image
    sources would be there. Energy falls with the distance and exponentially with time, so that the
    reverberation time is met.

    Args:
        rt60_s: reverberation time, s.
        rate: Hz.
        rng: draws the room, the two places in it, and the reflections.

    Returns:
        float32 [samples]; the direct sound is the first, 1.0.
    """
    room = rng.uniform(SMALLEST_M, LARGEST_M)
    mouth, microphone = rng.uniform(MARGIN_M, room - MARGIN_M, (2, 3))
    direct_m = max(NEAREST_M, float(np.linalg.norm(mouth - microphone)))
    response = np.zeros(1 + math.ceil((rt60_s + EARLY_S) * rate))

    paths = _image_distances(room, mouth, microphone, direct_m + SOUND * EARLY_S)
    paths = np.sort(paths)[1:]  # the nearest is the mouth itself
    delays = np.maximum(paths - direct_m, 0.0) / SOUND
    gains = direct_m / np.maximum(paths, direct_m) * rng.choice((-1.0, 1.0), len(paths))
    np.add.at(response, np.rint(delays * rate).astype(int), gains)

    tail = round(EARLY_S * rate)
    # Image sources lie evenly in space: 4 pi c^3 t^2 / V of them a second, each of power (direct_m / c t)^2.
    density = 4 * math.pi * SOUND * direct_m**2 / (float(room.prod()) * rate)
    response[tail:] += math.sqrt(density) * rng.standard_normal(len(response) - tail)
    response *= 10 ** (-3.0 * np.arange(len(response)) / (rt60_s * rate))
    response[0] += 1.0
    return response.astype(np.float32)


def _image_distances(room: np.ndarray, mouth: np.ndarray, microphone: np.ndarray, reach: float) -> np.ndarray:
    """Distances in m from the microphone to the mouth and its mirror images, those below `reach`."""
    squares = np.zeros(1)
    for size, source, receiver in zip(room, mouth, microphone, strict=True):
        copies = math.ceil(reach / (2 * size)) + 1
        places = 2 * size * np.arange(-copies, copies + 1)
        apart = np.concatenate([places + source, places - source]) - receiver
        squares = np.add.outer(squares, apart[np.abs(apart) < reach] ** 2).ravel()
        squares = squares[squares < reach**2]
    return np.sqrt(squares)
