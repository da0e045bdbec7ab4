"""The recording of a simulated call as it grows, and what befalls it: noise, levels, lost packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile as sf

PACKET_S = 0.020  # of speech in one packet (RFC 3551)
BURST = 2.0  # packets that are lost in a row, on average
LEVEL_S = 8.0  # until a level changes, on average


@dataclass(frozen=True)
class Line:
    """What befalls every leg of a call.

    Attributes:
        noise: RMS of each leg's white noise, linear.
        level_db: by which the recording is louder.
        jump_db: the farthest that a leg's level, which changes at sudden, lies above or below that.
        packet_loss: share of the packets that are lost, in bursts (Gilbert, 1960). In place of each, the
            packet before it is repeated at half its level, as a cheap telephone does.
    """

    noise: Sequence[float]
    level_db: float = 0.0
    jump_db: float = 0.0
    packet_loss: float = 0.0


class Tape:
    """A call's file, written packet by packet as far as no later utterance can reach back.

    Args:
        file: open for writing, stereo or mono.
        mixed: both legs go into every channel.
        line: what befalls the legs.
        rng: its generator.
    """

    def __init__(self, file: sf.SoundFile, mixed: bool, line: Line, rng: np.random.Generator) -> None:
        self.file, self.mixed, self.line = file, mixed, line
        self.noise, self.levels, self.losses = rng.spawn(3)  # apart, so that none changes another's draws
        self.packet = round(PACKET_S * file.samplerate)  # samples
        self.written = 0  # samples
        self.waiting = np.zeros((0, 2), np.float32)  # [samples, legs]
        self.last = np.zeros((self.packet, 2), np.float32)  # packet heard before those to be written
        self.jumps = self.levels.uniform(-line.jump_db, line.jump_db, 2)  # dB of each leg as it is now
        self.lost = np.zeros(2, bool)

    def lay(self, wave: np.ndarray, leg: int, start: int) -> None:
        """Add `wave` to a leg; later ones start at sample `start` or after."""
        self._write_until(start - start % self.packet)
        end = start - self.written + len(wave)
        self.waiting = np.pad(self.waiting, ((0, max(0, end - len(self.waiting))), (0, 0)))
        self.waiting[end - len(wave) : end, leg] += wave

    def end_at(self, end: int) -> None:
        """Write all that is left, up to sample `end`."""
        self._write_until(end)

    def _write_until(self, end: int) -> None:
        size = end - self.written
        packets = -(-size // self.packet)
        block = np.pad(self.waiting[:size], ((0, max(0, size - len(self.waiting))), (0, 0)))
        block += self.noise.normal(0.0, self.line.noise, block.shape).astype(np.float32)
        block = np.pad(block, ((0, packets * self.packet - size), (0, 0))).reshape(packets, self.packet, 2)
        block *= 10 ** ((self.line.level_db + self._jumps(packets)[:, None]) / 20)
        if self.line.packet_loss:
            self._lose(block)
        heard = block.reshape(-1, 2)[:size]
        if self.mixed:
            heard = np.repeat(heard.sum(axis=1, keepdims=True), self.file.channels, axis=1)
        self.file.write(np.clip(heard, -1.0, 1.0))
        self.waiting, self.written = self.waiting[size:], end

    def _jumps(self, packets: int) -> np.ndarray:
        """By how much each packet of each leg is louder, dB [packets, legs]."""
        new = self.levels.uniform(-self.line.jump_db, self.line.jump_db, (packets, 2))
        changed = self.levels.random((packets, 2)) < PACKET_S / LEVEL_S
        since = np.maximum.accumulate(np.where(changed, np.arange(1, packets + 1)[:, None], 0))
        jumps = np.take_along_axis(np.concatenate([[self.jumps], new]), since, axis=0)
        self.jumps = jumps[-1] if packets else self.jumps
        return np.asarray(jumps, np.float32)

    def _lose(self, block: np.ndarray) -> None:
        """Conceal the packets of `block` [packets, samples, legs] that are lost, in place."""
        begins = self.line.packet_loss / (1 - self.line.packet_loss) / BURST
        for packet, drawn in zip(block, self.losses.random((len(block), 2)), strict=True):
            self.lost = drawn < np.where(self.lost, 1 - 1 / BURST, begins)
            packet[:, self.lost] = self.last[:, self.lost] / 2
            self.last = packet
