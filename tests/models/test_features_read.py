"""Which features a model can read together."""

import pytest

from ser_ray import features
from ser_ray.errors import UsageError
from ser_ray.models.model import check_features


def test_features_of_one_model_must_fit_together():
    vector, telephone = features.get("mfcc_stats"), features.get("mfcc_stats(band=telephone)")
    assert check_features("svm", (vector,)) == (vector,)
    with pytest.raises(
        UsageError, match=r"must share rate and band: mfcc_stats, mfcc_stats\(band=telephone\)"
    ):
        check_features("svm", (vector, telephone))
    with pytest.raises(UsageError, match="svm reads vectors; logmel gives frames or images"):
        check_features("svm", (features.get("logmel"),))


@pytest.mark.parametrize(
    ("family", "specs"),
    [
        ("gmm", ["mfcc"]),
        ("gmm", ["pitch_stats"]),
        ("gmm", ["mfcc_stats", "pitch_stats"]),
        ("gmm_fusion", ["logmel", "mfcc_stats"]),
    ],
)
def test_mixtures_read_frames_or_vectors(family, specs):
    chosen = tuple(features.get(spec) for spec in specs)
    assert check_features(family, chosen) == chosen


@pytest.mark.parametrize(
    ("family", "specs"),
    [
        ("gmm", ["image"]),
        ("gmm", ["mfcc", "logmel"]),
        ("gmm", ["mfcc", "pitch_stats"]),
        ("gmm_fusion", ["mfcc"]),
        ("gmm_fusion", ["pitch_stats", "mfcc"]),
        ("gmm_fusion", ["mfcc_stats", "pitch_stats"]),
        ("gmm_fusion", ["image", "pitch_stats"]),
    ],
)
def test_mixtures_refuse_what_they_cannot_read(family, specs):
    with pytest.raises(
        UsageError, match=rf"{family} does not read {specs[0]}.*such as mfcc\(n=12,deltas=1\)"
    ):
        check_features(family, tuple(features.get(spec) for spec in specs))
