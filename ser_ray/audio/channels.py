"""Channels of a call: which belong to whom, and whether two of them are one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser_ray.audio.decode import AudioReader

MONO = "mono"  # the leg of a call that has one voice channel
SAME_POWER = 1e-4  # power of the difference to the power of the sum: two channels are the same below it


def leg_names(channels: int, names: Sequence[str]) -> list[str]:
    """Names of a call's legs, one a channel: `mono` for one, else the given names in order."""
    if channels == 1:
        return [MONO]
    return [names[i] if i < len(names) else f"channel-{i + 1}" for i in range(channels)]


def is_dual_mono(path: Path) -> bool:
    """Whether a two-channel recording holds the same signal twice.

    Reads on only while the channels agree, so an ordinary stereo call costs one block.

    Raises:
        UnreadableAudio: the recording has a defect before its channels differ.
    """
    heard = False
    with AudioReader(path) as reader:
        if reader.info.channels != 2:
            return False
        for block in reader.blocks(seconds=10.0):
            left, right = block[:, 0], block[:, 1]
            power = float(np.vdot(left, left) + np.vdot(right, right))
            difference = left - right
            if float(np.vdot(difference, difference)) > SAME_POWER * power:
                return False
            heard = heard or power > 0
    return heard
