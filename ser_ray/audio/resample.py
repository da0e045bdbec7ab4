"""Change of sample rate by soxr (high quality, linear phase), whole or as a stream."""

from __future__ import annotations

import numpy as np
import soxr


def resample(wave: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """A whole wave at another rate.

    Args:
        wave: float32 [samples] or [samples, channels].
        rate_in: its rate, Hz.
        rate_out: the rate wanted, Hz.

    Returns:
        float32 of the same number of dimensions; the wave itself where the rates are equal.
    """
    if rate_in == rate_out or len(wave) == 0:
        return wave
    return np.asarray(soxr.resample(wave, rate_in, rate_out), np.float32)


class StreamResampler:
    """The same as `resample`, for a wave that comes block by block.

    Args:
        rate_in: Hz.
        rate_out: Hz.
        channels: of every block.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._stream = None
        if rate_in != rate_out:
            self._stream = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32")

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """What can be told so far, at the new rate.

        Args:
            block: float32 [samples, channels], also of no samples.
            last: whether the wave ends here; the rest is given then.

        Returns:
            float32 [samples, channels], often of another length than the block's share.
        """
        if self._stream is None:
            return block
        return np.asarray(self._stream.resample_chunk(np.ascontiguousarray(block), last=last), np.float32)
