"""Low-level descriptors: what one frame of speech sounds like, from its mel bands and its pitch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_ray.features.feature import Array
from ser_ray.features.mel import MelFeature, mel_edges
from ser_ray.features.mfcc import cosines
from ser_ray.features.pitch import smooth_pitch, track_pitch
from ser_ray.features.spectrum import SILENCE, decibel, power_spectra, split, taper, whole_frames

SHAPE = (
    *("rolloff25", "rolloff50", "rolloff75", "rolloff90"),
    *("centroid", "spread", "alpha_ratio", "hammarberg", "slope", "flatness", "flux"),
    *("level", "harmonics_to_noise"),
)
LEVEL = SHAPE.index("level") - len(SHAPE)  # row of the level in `columns`, from the end
LOUD_SHARE = 0.95  # the quantile of the frames' levels that stands for the loud frames
ACTIVE_DB = 30.0  # a frame is active within this of the loud frames
VOICED = 0.5  # a frame is voiced above this harmonicity
FEWEST = 5  # frames in a region, below which the next larger one stands in
_FLOOR_DB = -70.0  # below the loud frames nothing is told apart: digital silence equals a quiet room

Mask = npt.NDArray[np.bool_]


class Descriptors(NamedTuple):
    """The frames of one wave; levels are relative to its loud frames, so gain changes nothing."""

    columns: Array  # [n + len(SHAPE), frames]: n cepstral coefficients, then SHAPE
    bands: Array  # mel band levels in dB [bands, frames]
    pitch: Array  # semitones above 55 Hz [frames]
    active: Mask  # speech rather than pause [frames]
    voiced: Mask  # active and periodic [frames]


def describe(waves: list[Array], feature: MelFeature, bands: int, n: int) -> list[Descriptors]:
    """Descriptors of each wave.

    Args:
        waves: float32 [samples] each.
        feature: Frame and filter settings; `n_fft` long enough for `pitch.track_pitch`.
        bands: Number of mel bands.
        n: Number of cepstral coefficients.
    """
    frames = whole_frames([wave - wave.mean() for wave in waves], feature)
    filters, window = feature.filters(bands), taper(feature.window)
    blocks = [
        (power @ filters, *track_pitch(power, feature.rate, window))
        for power in power_spectra(frames, feature)
    ]
    mel, pitch, harmonicity = (np.concatenate(part)[: len(frames)] for part in zip(*blocks, strict=True))
    counts = frames.counts
    parts = zip(split(mel, counts), split(pitch, counts), split(harmonicity, counts), strict=True)
    centres = mel_edges(bands, feature.fmin, feature.fmax, feature.mel)[1:-1].astype(np.float32)
    return [_describe(*part, centres, cosines(bands, n)) for part in parts]


def _describe(mel: Array, pitch: Array, harmonicity: Array, hz: Array, matrix: Array) -> Descriptors:
    levels = decibel(mel.sum(axis=1))
    loud = np.sort(levels)[round(LOUD_SHARE * (len(levels) - 1))]
    level = np.maximum(levels - loud, np.float32(_FLOOR_DB))
    bands = np.maximum(decibel(mel) - loud, np.float32(_FLOOR_DB))
    # 10 ** (bands / 10), by a product
    power = np.maximum(np.maximum(mel, SILENCE) * 10 ** (-loud / 10), np.float32(10 ** (_FLOOR_DB / 10)))
    active = level > -ACTIVE_DB
    ratio = decibel((harmonicity + np.float32(1e-3)) / (np.float32(1.001) - harmonicity))
    shape = [*_distribution(power), *_tilt(bands, power, hz), _flux(bands), level, ratio]
    return Descriptors(
        columns=np.concatenate([(bands @ matrix).T, np.stack(shape)]),
        bands=np.ascontiguousarray(bands.T),
        pitch=smooth_pitch(pitch),
        active=active,
        voiced=active & (harmonicity > VOICED),
    )


def _distribution(power: Array) -> list[Array]:
    """Roll-off points, centroid and spread of the power over the mel bands, counted in bands."""
    index = np.arange(power.shape[1], dtype=np.float32)
    total = np.cumsum(power, axis=1)
    whole = total[:, -1]
    rolloffs = [
        np.count_nonzero(total < np.float32(share) * whole[:, None], axis=1)
        for share in (0.25, 0.5, 0.75, 0.9)
    ]
    centroid = power @ index / whole
    spread = np.sqrt(np.maximum(power @ index**2 / whole - centroid**2, 0))
    return [*(points.astype(np.float32) for points in rolloffs), centroid, spread]


def _tilt(bands: Array, power: Array, hz: Array) -> list[Array]:
    """Alpha ratio and Hammarberg index (as in eGeMAPS, over mel bands), slope and flatness, in dB."""
    low, high = hz < 1000, (hz >= 1000) & (hz < 5000)
    alpha = decibel(power @ np.float32(low)) - decibel(power @ np.float32(high))
    below, above = hz < 2000, (hz >= 2000) & (hz < 5000)
    hammarberg = bands[:, below].max(axis=1) - bands[:, above].max(axis=1)
    index = np.linspace(-1, 1, len(hz), dtype=np.float32)
    slope = bands @ index / (index @ index)
    flatness = bands.mean(axis=1) - decibel(power.mean(axis=1))
    return [alpha, hammarberg, slope, flatness]


def _flux(bands: Array) -> Array:
    """Change of the spectrum's shape since the frame before, dB; 0 in the first frame."""
    shape = bands - bands.mean(axis=1, keepdims=True)
    change = np.sqrt(np.square(np.diff(shape, axis=0)).mean(axis=1))
    return np.concatenate([np.zeros(1, np.float32), change])
