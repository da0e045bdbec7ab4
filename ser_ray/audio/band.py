"""The telephone band: to pass a wave through it, and to tell whether one has been there."""

from __future__ import annotations

import numpy as np

from ser_ray.audio.resample import resample
from ser_ray.errors import UnknownName, UnreadableAudio

TELEPHONE_RATE = 8000  # Hz
TELEPHONE_BAND = (300.0, 3400.0)  # Hz, ITU-T G.712
CODECS = ("mulaw", "alaw")

NARROW_RATE = 1.25 * TELEPHONE_RATE  # Hz; a recording at or below it has no room for a wider band
UPPER_BAND = (4300.0, 7600.0)  # Hz, clear of the slope of any resampler from 8 kHz
NARROW_DB = -45.0  # upper to telephone band; speech lies above -36 dB, 8 kHz sound made 16 kHz below -75
FRAME_S, FEWEST_FRAMES, MOST_FRAMES = 0.032, 8, 2000
LOUD_SHARE = 0.95  # the quantile over frames that stands for the loud ones: vowels below, fricatives above
SILENCE_POWER = 1e-8  # -80 dB of full scale
ROUNDING_POWER = 4 * 2.0**-30 / 12  # noise of rounding to 16 bits with dither, some dB allowed


def telephone_channel(wave: np.ndarray, rate: int, codec: str = "mulaw") -> np.ndarray:
    """What an 8 kHz G.711 telephone line lets through of a wave.

    Resampled to 8 kHz, band-passed to 300-3400 Hz (Butterworth of fifth order on either side, -3 dB at
    the edges, in the spirit of ITU-T G.712), then companded to 8 bits and back (ITU-T G.711).

    Args:
        wave: float32 [samples], full scale at 1.0; what goes over it clips, as on the line.
        rate: its rate, Hz.
        codec: `mulaw` (North America, Japan) or `alaw` (elsewhere).

    Returns:
        float32 [samples] at `TELEPHONE_RATE`.

    Raises:
        UnknownName: another codec.
    """
    from scipy.signal import butter, sosfilt  # here, because it takes seconds to import

    narrow = resample(wave, rate, TELEPHONE_RATE)
    edges = butter(5, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos")
    passed = sosfilt(edges, narrow.astype(np.float64))
    pcm = np.clip(np.round(passed * 32768), -32768, 32767).astype(np.int16)
    return np.asarray(decode_g711(encode_g711(pcm, codec), codec) / 32768, np.float32)


def in_band(wave: np.ndarray, rate: int, rate_out: int, band: str, stretch_band: bool = False) -> np.ndarray:
    """Bring a wave to the rate and band of a feature.

    For the band `telephone`, a wide-band wave is sent through a simulated 8 kHz mu-law line; a wave
    that comes from a telephone (by its rate) only changes its rate.

    Args:
        wave: float32 [samples].
        rate: its rate, Hz.
        rate_out: the feature's rate, Hz.
        band: the feature's band, `wide` or `telephone`.
        stretch_band: give a wide-band feature telephone audio all the same.

    Returns:
        float32 [samples] at `rate_out`.

    Raises:
        UnreadableAudio: `narrow_band`: a wide-band feature cannot be had from telephone audio.
    """
    narrow = rate <= NARROW_RATE
    if band == "telephone" and not narrow:
        wave, rate = telephone_channel(wave, rate), TELEPHONE_RATE
    elif band == "wide" and narrow and not stretch_band:
        raise UnreadableAudio(
            "narrow_band",
            f"{rate} Hz audio holds no wide band. Use --band telephone, or -f 'FEATURE(band=telephone)'.",
        )
    return resample(wave, rate, rate_out)


def encode_g711(pcm: np.ndarray, codec: str = "mulaw") -> np.ndarray:
    """ITU-T G.711 codes of 16-bit samples.

    Args:
        pcm: int16 [samples].
        codec: `mulaw` or `alaw`.

    Returns:
        uint8 [samples].

    Raises:
        UnknownName: another codec.
    """
    _check_codec(codec)
    negative = pcm < 0
    magnitude = np.abs(pcm.astype(np.int32))
    if codec == "mulaw":
        magnitude = np.minimum(magnitude, 32635) + 132
        exponent = _bits(magnitude) - 8
        code = exponent << 4 | magnitude >> (exponent + 3) & 15 | negative * 0x80
        return np.asarray(code ^ 0xFF, np.uint8)
    magnitude = np.minimum(magnitude, 32767) >> 3
    exponent = np.maximum(_bits(magnitude) - 5, 0)
    code = exponent << 4 | magnitude >> np.maximum(exponent, 1) & 15 | ~negative * 0x80
    return np.asarray(code ^ 0x55, np.uint8)


def decode_g711(codes: np.ndarray, codec: str = "mulaw") -> np.ndarray:
    """The 16-bit samples that ITU-T G.711 codes stand for.

    Args:
        codes: uint8 [samples].
        codec: `mulaw` or `alaw`.

    Returns:
        int16 [samples].

    Raises:
        UnknownName: another codec.
    """
    _check_codec(codec)
    code = np.arange(256) ^ (0xFF if codec == "mulaw" else 0x55)
    exponent, mantissa = code >> 4 & 7, code & 15
    if codec == "mulaw":
        magnitude = ((mantissa << 3) + 132 << exponent) - 132
        negative = code >= 0x80
    else:
        magnitude = (mantissa << 4) + np.where(exponent, 0x108, 8) << np.maximum(exponent - 1, 0)
        negative = code < 0x80
    table = np.where(negative, -magnitude, magnitude).astype(np.int16)
    return np.asarray(table[codes])


def is_narrow_band(wave: np.ndarray, rate: int) -> bool | None:
    """Whether a recording holds nothing above the telephone band, whatever its rate says.

    The loud frames of 4.3-7.6 kHz are held against the loud frames of 300-3400 Hz. In wide-band speech
    the fricatives stand within 36 dB of the vowels (all of EMO-DB and RAVDESS); in 8 kHz speech
    brought to a higher rate by a filter, only rounding noise is left there.

    Args:
        wave: float32 [samples], full scale at 1.0; of a long one, frames spread over all of it are taken.
        rate: its rate, Hz.

    Returns:
        True, False, or None where the wave cannot tell: under a quarter of a second, silent, or so quiet
        that speech above 4 kHz would drown in 16-bit rounding. Ask again with more of the recording.
    """
    if rate <= NARROW_RATE:
        return True
    size = round(FRAME_S * rate)
    count = len(wave) // size
    if count < FEWEST_FRAMES:
        return None
    frames = wave[: count * size].reshape(count, size)[:: -(-count // MOST_FRAMES)]
    window = np.hanning(size).astype(np.float32)
    # One-sided, scaled so that the mean over all bins is the power of the frame.
    spectra = np.abs(np.fft.rfft(frames * window)) ** 2 / np.sum(window**2)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    telephone = _loud(spectra, frequencies, TELEPHONE_BAND)
    upper = _loud(spectra, frequencies, (UPPER_BAND[0], min(UPPER_BAND[1], 0.475 * rate)))
    if telephone < SILENCE_POWER:
        return None
    if upper < telephone * 10 ** (NARROW_DB / 10):
        return True
    return None if upper < ROUNDING_POWER else False


def _loud(spectra: np.ndarray, frequencies: np.ndarray, band: tuple[float, float]) -> float:
    inside = (frequencies >= band[0]) & (frequencies <= band[1])
    return float(np.quantile(spectra[:, inside].mean(axis=1), LOUD_SHARE))


def _bits(magnitude: np.ndarray) -> np.ndarray:
    """How many binary digits each number has."""
    return np.asarray(np.frexp(magnitude)[1])


def _check_codec(codec: str) -> None:
    if codec not in CODECS:
        raise UnknownName("telephone codec", codec, CODECS)
