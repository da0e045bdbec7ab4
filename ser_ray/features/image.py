"""Images: a whole utterance as one picture, for networks that look at pictures."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ser_ray.features.chroma import Chroma
from ser_ray.features.contrast import Contrast
from ser_ray.features.feature import Array, Batch, Feature
from ser_ray.features.log_stft import LogStft
from ser_ray.features.logmel import LogMel
from ser_ray.features.mfcc import Mfcc
from ser_ray.features.spectrum import power_of_two
from ser_ray.features.tonnetz import Tonnetz
from ser_ray.parameters import parameter

SHOWN: dict[str, type[Feature]] = {
    "logmel": LogMel,
    "mfcc": Mfcc,
    "chroma": Chroma,
    "contrast": Contrast,
    "tonnetz": Tonnetz,
    "log_stft": LogStft,
}
MEL_BANDS, CEPSTRA = 128, 40
_FLAT = 1e-6  # a range below this share of the largest value is rounding


@dataclass(frozen=True, kw_only=True)
class Picture(Feature):
    """Parameters of a feature that shows frames as a picture: time from left to right, row 0 on top.

    The last band, coefficient or class of what is shown is row 0, so that what rises in a plot rises here.
    The frames are resized bilinearly, in time and then across the bands, with triangular weights: to a
    larger size they are those of plain interpolation, to a smaller one they cover all frames that fall
    together (antialiasing), so that no frame of a long utterance is passed over. The result is brought to
    0..1 by its smallest and largest value; one that is all alike becomes zeros.

    Attributes:
        of: What is shown: `logmel` of 128 bands, `mfcc` of 40 coefficients, else with its own defaults.
        per_row: Whether each row is brought to 0..1 by itself first. The zeroth of the MFCC is so much
            larger than the others that in one common range these hardly show; and it alone tells the gain.
    """

    of: str = parameter("logmel", choices=tuple(SHOWN))
    per_row: bool = parameter(False)

    @property
    def shown(self) -> Feature:
        """What the picture is made of [frames, columns]; a batch computes it once."""
        settings: dict[str, Any] = {}
        if self.of == "logmel":
            settings = {"bands": MEL_BANDS}
            if self.band == "telephone" or self.rate <= 8000:
                # In a narrow band so many filters need finer bins than the window gives.
                settings["n_fft"] = power_of_two(2 * round(0.025 * self.rate))
        elif self.of == "mfcc":
            settings = {"n": CEPSTRA}
        return SHOWN[self.of](band=self.band, rate=self.rate, **settings)

    @property
    def fingerprint(self) -> str:
        content = super().fingerprint + self.shown.fingerprint
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _pictures(self, batch: Batch, height: int, width: int) -> list[Array]:
        """Grey pictures [height, width] of the batch, 0..1."""
        return [self._picture(frames, height, width) for frames in batch.values(self.shown)]

    def _picture(self, frames: Array, height: int, width: int) -> Array:
        rows = resize(frames, width)[:, ::-1].T
        if self.per_row:
            rows = _stretched(rows, axis=1)
        return _stretched(resize(rows, height))


@dataclass(frozen=True, kw_only=True)
class Image(Picture):
    """A grey picture [height, width] of a whole utterance, 0..1; see `Picture`.

    Attributes:
        height: Rows.
        width: Columns.
    """

    name: ClassVar[str] = "image"

    height: int = parameter(512, low=1, high=4096)
    width: int = parameter(400, low=1, high=4096)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (self.height, self.width)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"t{k}" for k in range(self.width))

    def _compute(self, batch: Batch) -> list[Array]:
        return self._pictures(batch, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class ColourImage(Picture):
    """A square colour picture [size, size, 3] of a whole utterance, RGB 0..1; see `Picture`.

    The colours are those of `cubehelix`. The means and deviations that a pretrained network wants its
    colours normalised by are the network's own, and not applied here.

    Attributes:
        size: Rows and columns.
    """

    name: ClassVar[str] = "colour_image"

    of: str = parameter("logmel", choices=("logmel", "mfcc"))
    size: int = parameter(224, low=1, high=4096)

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (self.size, self.size, 3)

    @property
    def names(self) -> tuple[str, ...]:
        return ("red", "green", "blue")

    def _compute(self, batch: Batch) -> list[Array]:
        return [cubehelix(grey) for grey in self._pictures(batch, self.size, self.size)]


def resize(rows: Array, size: int) -> Array:
    """`rows` [rows, columns] resized along the first axis to [size, columns]; see `Picture`.

    The values are those of `torch.nn.functional.interpolate(mode="bilinear", antialias=True)`.
    """
    return np.asarray(_shares(len(rows), size) @ np.ascontiguousarray(rows))


@lru_cache(maxsize=32)
def _shares(length: int, size: int) -> Any:
    """Share of each of `length` rows in each of `size` resized rows: sparse float32 [size, length]."""
    from scipy.sparse import csr_array

    step = length / size
    reach = max(step, 1.0)
    centres = ((np.arange(size) + 0.5) * step - 0.5)[:, None]
    near = np.floor(centres - reach).astype(np.int64) + np.arange(math.ceil(2 * reach) + 2)
    shares = np.maximum(0.0, 1.0 - np.abs(near - centres) / reach)
    shares[(near < 0) | (near >= length)] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    into, taken = np.nonzero(shares)
    values = shares[into, taken].astype(np.float32)
    return csr_array((values, (into, near[into, taken])), shape=(size, length))


def _stretched(values: Array, axis: int | None = None) -> Array:
    """`values` brought to 0..1, along an axis or all together; where they are all alike, zeros."""
    low, high = values.min(axis=axis, keepdims=True), values.max(axis=axis, keepdims=True)
    flat = high - low <= _FLAT * np.abs(values).max()
    scaled: Array = np.where(flat, np.float32(0), (values - low) / np.where(flat, np.float32(1), high - low))
    return scaled


def cubehelix(grey: Array) -> Array:
    """Colours of 0..1, from black over blue, green and pink to white, after Green (2011).

    Brightness grows as the value does, while the hue turns once and a half: a formula, so that nothing need
    be looked up. The values are those of matplotlib's colour map of that name.

    Args:
        grey: float32 of any shape, 0..1.

    Returns:
        float32 [..., 3], RGB 0..1.
    """
    turn = 2 * np.pi * (0.5 / 3 - 1.5 * grey)
    depth = grey * (1 - grey) / 2
    x, y = depth * np.cos(turn), depth * np.sin(turn)
    mixed = ((-0.14861, 1.78277), (-0.29227, -0.90649), (1.97294, 0.0))
    colours = np.stack([grey + a * x + b * y for a, b in mixed], axis=-1)
    return np.asarray(np.clip(colours, 0, 1), dtype=np.float32)
