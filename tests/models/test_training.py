import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ser_ray.errors import BadManifest
from ser_ray.models import FAMILIES, family
from ser_ray.models.calibration import FLOOR
from ser_ray.models.training import fit, spread

QUICK = {"random_forest": {"trees": 20}, "xgboost": {"trees": 20, "column_share": 1.0}}


def utterances(rows=120, classes=3, speakers=6, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    groups = np.array([f"s{i}" for i in (np.arange(rows) // classes) % speakers])
    X = rng.normal(size=(rows, 5))
    X[np.arange(rows), y] += 3.0
    return X.astype(np.float32), y, groups


def train(name, *data, classes=3, **options):
    chosen = family(name)
    return fit(chosen, chosen.settings(QUICK.get(name, {})), *data, classes, **options)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_out_of_fold_predictions_foretell_the_figures_on_unseen_speakers(name):
    X, y, groups = utterances()
    trained = train(name, X, y, groups)
    unseen, truth, _ = utterances(rows=300, seed=1)
    foretold = (trained.out_of_fold.argmax(axis=1) == y).mean()
    found = (trained.predict_proba(unseen).argmax(axis=1) == truth).mean()
    assert found > 0.85
    assert foretold == pytest.approx(found, abs=0.08)
    np.testing.assert_allclose(trained.out_of_fold.sum(axis=1), 1.0)


def test_no_speaker_is_predicted_by_a_model_that_heard_them():
    _, y, groups = utterances()
    X = np.array([[float(g.removeprefix("s"))] for g in groups])
    met = []

    class Witness:
        """Tells which speakers it is asked about after having heard them."""

        def fit(self, X, y):
            self.classes_, self.heard = np.unique(y), set(X[:, 0])

        def predict_proba(self, X):
            met.append(self.heard & set(X[:, 0]))
            return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    witness = dataclasses.replace(family("svm"), name="witness", build=lambda settings, seed: Witness())
    trained = fit(witness, {}, X, y, groups, 3)
    assert met == [set()] * 5
    assert trained.classifier.heard == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    fit(witness, {}, X, y, None, 3)
    assert all(met[5:])


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_class_that_the_rows_lack_gets_a_probability_near_zero(name):
    X, y, groups = utterances(classes=2)
    trained = train(name, X, y * 2, groups, classes=4)
    p = trained.predict_proba(X)
    assert p.shape == trained.out_of_fold.shape == (120, 4)
    assert p[:, [1, 3]].max() < 0.02
    assert set(p.argmax(axis=1)) == {0, 2}


def test_folds_side_by_side_give_the_same_model():
    X, y, groups = utterances()
    alone = train("random_forest", X, y, groups, seed=2)
    with ThreadPoolExecutor(2) as pool:
        together = train("random_forest", X, y, groups, seed=2, mapper=pool.map)
    np.testing.assert_array_equal(alone.out_of_fold, together.out_of_fold)
    np.testing.assert_array_equal(alone.predict_proba(X), together.predict_proba(X))


def test_rows_are_predicted_in_their_own_order():
    X, y, groups = utterances()
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = train("svm", X[order], y[order], groups[order])
    assert (shuffled.out_of_fold.argmax(axis=1) == y[order]).mean() > 0.9


def test_a_class_with_a_single_row_cannot_be_trained():
    X, y, groups = utterances()
    y[0] = 3
    with pytest.raises(BadManifest, match="a single utterance"):
        train("svm", X, y, groups, classes=4)


def test_spread_puts_each_class_into_its_column():
    class TwoOfFour:
        classes_ = np.array([3, 1])

        def predict_proba(self, X):
            return np.tile([0.9, 0.1], (len(X), 1))

    np.testing.assert_array_equal(spread(TwoOfFour(), np.zeros((2, 1)), 4), [[FLOOR, 0.1, FLOOR, 0.9]] * 2)
