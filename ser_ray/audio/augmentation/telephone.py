"""A call: the telephone band, a codec, and packets that never came."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ser_ray.audio.augmentation.augmentation import Augmentation, Wave, fitted
from ser_ray.audio.band import TELEPHONE_RATE, telephone_channel
from ser_ray.audio.resample import resample
from ser_ray.parameters import parameter

PACKET = TELEPHONE_RATE // 50  # samples: 20 ms
HELD_S, FADED_S = 0.010, 0.060  # of a gap, until when it is filled at full level and at all


@dataclass(frozen=True, kw_only=True)
class Telephone(Augmentation):
    """An 8 kHz telephone line of 300-3400 Hz, given back at the wave's own rate; the length stays.

    Attributes:
        codec: `mulaw` or `alaw` (ITU-T G.711), or `gsm`: a call to a mobile, mu-law followed by GSM 06.10
            full rate.
        loss: Share of the packets of 20 ms that are lost, in the long run.
        burst: Packets lost in a row, in the mean (a Gilbert channel).
        concealment: What fills the gap: `repeat` plays the last packet that came again and lets it fade
            out from 10 to 60 ms (in the manner of G.711 Appendix I), `zero` is silence.
    """

    name: ClassVar[str] = "telephone"

    codec: Literal["mulaw", "alaw", "gsm"] = parameter("mulaw", choices=("mulaw", "alaw", "gsm"))
    loss: float = parameter(0.0, low=0.0, high=0.5)
    burst: float = parameter(2.0, low=1.0, high=50.0)
    concealment: Literal["repeat", "zero"] = parameter("repeat", choices=("repeat", "zero"))

    def _alter(self, wave: Wave, rate: int, rng: np.random.Generator) -> Wave:
        line = fitted(wave, max(len(wave), -(-rate * PACKET // TELEPHONE_RATE)))  # a packet at least
        narrow = telephone_channel(line, rate, "alaw" if self.codec == "alaw" else "mulaw")
        if self.codec == "gsm":
            narrow = _gsm(narrow)
        if self.loss:
            lost = lost_packets(-(-len(narrow) // PACKET), self.loss, self.burst, rng)
            narrow = _conceal(narrow, lost, self.concealment)
        return fitted(resample(narrow, TELEPHONE_RATE, rate), len(wave))


def lost_packets(packets: int, loss: float, burst: float, rng: np.random.Generator) -> np.ndarray:
    """Which packets a Gilbert channel loses: it is good or bad for lengths of time without memory.

    Args:
        packets: how many are sent.
        loss: share of them that is lost, in the long run; above 0, at most a half.
        burst: packets lost in a row, in the mean.
        rng: draws the course of the channel.

    Returns:
        bool [packets].
    """
    begins_lost = rng.random() < loss
    good = rng.geometric(loss / (burst * (1 - loss)), packets)
    bad = rng.geometric(1 / burst, packets)
    turns = np.column_stack([bad, good] if begins_lost else [good, bad]).ravel().cumsum()
    passed = np.searchsorted(turns, np.arange(packets), side="right")
    return np.asarray((passed % 2 == 0) == begins_lost)


def _conceal(wave: Wave, lost: np.ndarray, how: str) -> Wave:
    """A wave [samples] at 8 kHz without its lost packets."""
    packets = fitted(wave, len(lost) * PACKET).reshape(-1, PACKET)
    if how == "zero":
        filled = np.where(lost[:, None], np.float32(0.0), packets)
    else:
        numbers = np.arange(len(lost))
        last = np.maximum.accumulate(np.where(lost, -1, numbers))
        gap_s = ((numbers - last - 1)[:, None] * PACKET + np.arange(PACKET)) / TELEPHONE_RATE
        level = np.clip((FADED_S - gap_s) / (FADED_S - HELD_S), 0.0, 1.0) * (last >= 0)[:, None]
        filled = np.where(lost[:, None], packets[last] * level.astype(np.float32), packets)
    return filled.ravel()[: len(wave)]


def _gsm(wave: Wave) -> Wave:
    """A wave at 8 kHz coded to GSM 06.10 (13 kbit/s) and back."""
    import soundfile as sf

    file = io.BytesIO()
    sf.write(file, wave, TELEPHONE_RATE, "GSM610", format="WAV")
    file.seek(0)
    decoded, _ = sf.read(file, dtype="float32")
    return fitted(np.asarray(decoded), len(wave))
