import numpy as np
import pytest

from ser_ray import features
from ser_ray.models import Model, OutOfFold, family
from ser_ray.models.training import fit
from tests.models.examples import ON_VECTORS

LABELS = ("anger", "neutral", "sadness")
QUICK = {"random_forest": {"trees": 5}, "xgboost": {"trees": 5}}


def make_model(name: str, seed: int = 0) -> Model:
    """A small model on numbers that stand in for `mfcc_stats` vectors."""
    rng = np.random.default_rng(seed)
    feature = features.get("mfcc_stats")
    y = np.arange(60) % 3
    X = rng.normal(size=(60, feature.shape[0])).astype(np.float32)
    X[np.arange(60), y] += 6.0
    speakers = [f"s{i // 12}" for i in range(60)]
    settings = family(name).settings(QUICK.get(name, {}))
    trained = fit(family(name), settings, X, y, np.array(speakers), 3, seed)
    oof = OutOfFold([f"u{i}" for i in range(60)], speakers, y, trained.out_of_fold)
    card = {"seed": seed, "trained_on": {"corpora": ["Emo-DB", "äöü"]}}
    return Model(name, settings, (feature,), LABELS, trained.classifier, trained.calibration, oof, card)


@pytest.fixture(scope="session")
def models() -> dict[str, Model]:
    """One trained model of each family."""
    return {name: make_model(name) for name in ON_VECTORS}
