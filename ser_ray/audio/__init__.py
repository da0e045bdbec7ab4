"""Waveforms: decode any recording, change its rate, pass it through a telephone line."""

from ser_ray.audio.band import (
    TELEPHONE_RATE,
    decode_g711,
    encode_g711,
    in_band,
    is_narrow_band,
    telephone_channel,
)
from ser_ray.audio.decode import AudioInfo, AudioReader, read_audio
from ser_ray.audio.resample import StreamResampler, resample

__all__ = [
    "TELEPHONE_RATE",
    "AudioInfo",
    "AudioReader",
    "StreamResampler",
    "decode_g711",
    "encode_g711",
    "in_band",
    "is_narrow_band",
    "read_audio",
    "resample",
    "telephone_channel",
]
