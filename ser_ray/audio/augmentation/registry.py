"""Augmentations by name: `speed`, or with parameters `speed(factor=1.1)`."""

from __future__ import annotations

from ser_ray.audio.augmentation.augmentation import Augmentation
from ser_ray.audio.augmentation.gain import Gain
from ser_ray.audio.augmentation.noise import Noise
from ser_ray.audio.augmentation.pitch import Pitch
from ser_ray.audio.augmentation.reverb import Reverb
from ser_ray.audio.augmentation.speed import Speed
from ser_ray.audio.augmentation.telephone import Telephone
from ser_ray.parameters import build

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "gain": Gain,
    "noise": Noise,
    "pitch": Pitch,
    "reverb": Reverb,
    "speed": Speed,
    "telephone": Telephone,
}


def get(spec: str) -> Augmentation:
    """Build the augmentation that a specification names.

    Args:
        spec: A name, or a name with parameters: `noise(snr_db=15,source=babble)`.

    Returns:
        The augmentation; its `spec` is the canonical form of the text.

    Raises:
        UnknownName: No augmentation has that name.
        UsageError: The text is malformed, or a parameter is unknown, of the wrong type or out of range.

    Examples:
        >>> get("speed( factor=1.1 )").spec
        'speed(factor=1.1)'
    """
    return build(spec, Augmentation.kind, AUGMENTATIONS)
