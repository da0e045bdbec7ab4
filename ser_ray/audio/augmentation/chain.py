"""Augmentations one after the other, as a text with a seed: `speed(factor=1.1) + noise(snr_db=15)#0`.

The text and the utterance's id together determine the sound, in whatever process or order it is made:
bit for bit on processors of one kind, elsewhere up to the rounding of sums.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ser_ray.audio.augmentation.augmentation import Augmentation, Wave
from ser_ray.audio.augmentation.registry import get

_BETWEEN = re.compile(r"\+(?![^()]*\))")  # a plus that stands in no brackets
_SEEDED = re.compile(r"(.*?)(?:#(\d+)\s*)?", re.DOTALL)


def chain(spec: str) -> tuple[Augmentation, ...]:
    """The augmentations of a specification, in the order of their use.

    Args:
        spec: one augmentation, or several with ` + ` between.

    Raises:
        UnknownName, UsageError: as `registry.get`.
    """
    return tuple(get(part) for part in _BETWEEN.split(spec))


def describe(stages: Sequence[Augmentation], seed: int = 0) -> str:
    """The one text for these augmentations with this seed, as it stands in a manifest.

    Examples:
        >>> describe(chain("speed(factor=1.10)+noise(snr_db=10)"), seed=3)
        'speed(factor=1.1) + noise#3'
    """
    return " + ".join(stage.spec for stage in stages) + f"#{seed}"


@lru_cache(maxsize=256)
def parse(text: str) -> tuple[tuple[Augmentation, ...], int]:
    """The augmentations and the seed of a text as `describe` writes it; no seed is seed 0.

    Raises:
        UnknownName, UsageError: as `chain`.
    """
    match = _SEEDED.fullmatch(text)
    spec, seed = match.groups() if match else (text, None)
    return chain(spec), int(seed or 0)


def augment(wave: Wave, rate: int, text: str, seed_text: str) -> Wave:
    """A wave with everything done to it that a text says.

    Args:
        wave: float32 [samples], at least one, full scale at 1.0.
        rate: its rate, Hz.
        text: augmentations and seed, such as a manifest row's `augmentation`.
        seed_text: what else the random draws depend on, such as the row's `id`.

    Returns:
        float32 [samples'] at the same rate, finite, never empty.

    Raises:
        UnknownName, UsageError: the text is not understood.
        MissingInput: the folder of noise holds no recordings.
        UnreadableAudio: the wave, or a recording of noise, cannot be used.
    """
    stages, seed = parse(text)
    rng = generator(describe(stages, seed), seed_text)
    for stage in stages:
        wave = stage(wave, rate, rng)
    return wave


def generator(text: str, seed_text: str) -> np.random.Generator:
    """The random generator of an augmentation's text and an utterance, by SHA-256 of both."""
    digest = hashlib.sha256(json.dumps([seed_text, text]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
