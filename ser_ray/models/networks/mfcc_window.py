"""What the nine networks on MFCC see: 2.5 s from 0.5 s on, as 216 frames of 50 coefficients.

System 11: JICCE 19(3), 2021. 44.1 kHz, Hann windows of 2048 samples every 512 (11.6 ms).
"""

from __future__ import annotations

from collections.abc import Mapping

from ser_ray.models.networks.parts import Window

FEATURES = ("mfcc(rate=44100,n=50,window=2048,hop=512)",)
WINDOW: Mapping[str, int] = {"start": 43, "frames": 216}  # defaults of every network that reads it


def window_of(settings: Mapping[str, int]) -> Window:
    """The window that the settings `start` and `frames` ask for."""
    return Window(settings["start"], settings["frames"])
