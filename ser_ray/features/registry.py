"""Features by name: `mfcc`, or with overrides `mfcc(n=50,rate=44100)`."""

from __future__ import annotations

from ser_ray.features.chroma import Chroma
from ser_ray.features.contrast import Contrast
from ser_ray.features.f0 import F0
from ser_ray.features.feature import Band, Feature
from ser_ray.features.image import ColourImage, Image
from ser_ray.features.is09_lld import Is09Lld
from ser_ray.features.is10 import Is10
from ser_ray.features.is10_opensmile import Is10OpenSmile
from ser_ray.features.log_stft import LogStft
from ser_ray.features.logmel import LogMel
from ser_ray.features.mfcc import Mfcc
from ser_ray.features.mfcc_stats import MfccStats
from ser_ray.features.pitch_stats import PitchStats
from ser_ray.features.rms import Rms
from ser_ray.features.spectral_shape import SpectralShape
from ser_ray.features.ssl import Ssl
from ser_ray.features.tonnetz import Tonnetz
from ser_ray.features.wav2vec import Wav2Vec
from ser_ray.features.waveform import Waveform, Waveform16k
from ser_ray.features.zero_crossings import ZeroCrossings
from ser_ray.parameters import build

FEATURES: dict[str, type[Feature]] = {
    "chroma": Chroma,
    "colour_image": ColourImage,
    "contrast": Contrast,
    "f0": F0,
    "image": Image,
    "is09_lld": Is09Lld,
    "is10": Is10,
    "is10_opensmile": Is10OpenSmile,
    "log_stft": LogStft,
    "logmel": LogMel,
    "mfcc": Mfcc,
    "mfcc_stats": MfccStats,
    "pitch_stats": PitchStats,
    "rms": Rms,
    "spectral_shape": SpectralShape,
    "ssl": Ssl,
    "tonnetz": Tonnetz,
    "wav2vec": Wav2Vec,
    "waveform": Waveform,
    "waveform_16k": Waveform16k,
    "zcr": ZeroCrossings,
}


def get(spec: str) -> Feature:
    """Build the feature that a specification names.

    Args:
        spec: A name, or a name with overrides: `mfcc(n=50,rate=44100)`.

    Returns:
        The feature; its `spec` is the canonical form of the text.

    Raises:
        UnknownName: No feature has that name.
        UsageError: The text is malformed, or a parameter is unknown, of the wrong type or out of range.

    Examples:
        >>> get("mfcc(n=50, rate=44100)").spec
        'mfcc(rate=44100,n=50)'
    """
    return build(spec, Feature.kind, FEATURES)


def with_band(feature: str | Feature, band: Band) -> Feature:
    """The variant of a feature, or of the one a specification names, for `wide` or `telephone` audio."""
    return (get(feature) if isinstance(feature, str) else feature).with_band(band)
