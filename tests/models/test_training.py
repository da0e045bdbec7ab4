import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ser_ray.errors import BadManifest, UsageError
from ser_ray.models import family
from ser_ray.models.calibration import FLOOR
from ser_ray.models.learner import originals, sources_within, spread
from ser_ray.models.normalisation import get
from ser_ray.models.training import fit, fits_of
from tests.models.examples import ON_VECTORS

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


@pytest.mark.parametrize("name", sorted(ON_VECTORS))
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


@pytest.mark.parametrize("name", sorted(ON_VECTORS))
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


class Recorder:
    """Keeps what it is given to learn from and asked about; `met` gets both for each classifier."""

    def __init__(self, met):
        self.met = met

    def fit(self, X, y):
        self.classes_, self.learned = np.unique(y), X

    def predict_proba(self, X):
        self.met.append((self.learned, X))
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def record(X, y, groups, **options):
    """What the classifier of each fold learned from and was tested on, and what the final one learned."""
    met = []
    recorder = dataclasses.replace(family("svm"), name="recorder", build=lambda *_: Recorder(met))
    trained = fit(recorder, {}, X, y, groups, 3, **options)
    return met, trained


def numbered(rows=120):
    """Utterances whose one feature is their row number."""
    _, y, groups = utterances(rows)
    return np.arange(rows, dtype=np.float32)[:, None], y, groups


def with_copies(X, y, groups, of, orphans=()):
    """Two copies of some rows put before and after, so that copies do not simply stand last."""
    of = np.asarray(of)
    order = np.concatenate([of, np.arange(len(y)), of])
    sources = np.concatenate([of, np.arange(len(y)), of]) + len(of)
    sources[[*orphans]] = -1
    return X[order], y[order], groups[order], sources


@pytest.mark.parametrize("grouped", [True, False])
def test_copies_are_learned_from_beside_their_source_and_never_tested(grouped):
    X, y, groups, sources = with_copies(*numbered(), of=range(10, 50))
    met, trained = record(X, y, groups if grouped else None, sources=sources)
    tested = np.concatenate([asked[:, 0] for _, asked in met])
    assert sorted(tested) == list(range(120))  # each original once, though three rows hold its number
    for learned, asked in met:
        times = np.bincount(learned[:, 0].astype(int), minlength=120)
        expected = np.where(np.isin(np.arange(120), asked), 0, np.where(np.arange(120) // 40 == 0, 3, 1))
        expected[:10], expected[40:50] = np.minimum(expected[:10], 1), np.where(expected[40:50] > 0, 3, 0)
        np.testing.assert_array_equal(times, expected)
    assert len(trained.classifier.learned) == 200  # the final one learns from all
    assert trained.out_of_fold.shape == (120, 3)


def test_copies_change_neither_the_folds_nor_the_order_of_what_is_predicted():
    X, y, groups = utterances()
    alone, copied = train("svm", X, y, groups), with_copies(X, y, groups, of=range(10, 50))
    again = train("svm", *copied[:3], sources=copied[3])
    assert (again.out_of_fold.argmax(axis=1) == y).mean() > 0.9
    assert np.abs(again.out_of_fold - alone.out_of_fold).mean() < 0.1
    met, _ = record(*numbered())
    met_copied, _ = record(*(data := with_copies(*numbered(), of=range(10, 50)))[:3], sources=data[3])
    for (_, asked), (_, asked_again) in zip(met, met_copied, strict=True):
        np.testing.assert_array_equal(asked, asked_again)


@pytest.mark.parametrize("grouped", [True, False])
def test_a_copy_without_its_source_is_never_learned_from_where_its_speaker_is_tested(grouped):
    X, y, groups, sources = with_copies(*numbered(), of=range(10, 50), orphans=range(80))
    X[:10] += 1000.0
    met, trained = record(X, y, groups if grouped else None, sources=np.where(X[:, 0] < 1000, sources, -1))
    speaker_of = dict(zip(X[:, 0], groups, strict=True))
    for learned, asked in met:
        found = {speaker_of[row] for row in learned[learned >= 1000]}
        tested = {speaker_of[row] for row in asked[:, 0]}
        everyone = {speaker_of[row] for row in X[X >= 1000]}
        assert found == (everyone - tested if grouped else everyone)
    assert (np.concatenate([asked for _, asked in met]) < 1000).all()
    assert (trained.classifier.learned >= 1000).sum() == 10


def test_without_copies_all_rows_are_their_own_sources():
    X, y, groups = utterances()
    plain, told = (train("svm", X, y, groups, sources=s) for s in (None, np.arange(120)))
    np.testing.assert_array_equal(plain.out_of_fold, told.out_of_fold)
    np.testing.assert_array_equal(plain.predict_proba(X), told.predict_proba(X))


def test_sources_are_renumbered_within_a_part_of_the_rows():
    sources = np.array([0, 0, 2, 2, 4, -1, 0])
    assert originals(sources).tolist() == [0, 2, 4]
    assert sources_within(sources, np.arange(7)).tolist() == sources.tolist()
    assert sources_within(sources, np.array([0, 1, 5, 6])).tolist() == [0, 0, -1, 0]
    assert sources_within(sources, np.array([6, 3, 4])).tolist() == [-1, -1, 2]


@pytest.mark.parametrize("text", ["cmvn", "cmvn(scope=speaker)", "equalise"])
def test_a_normalisation_is_fitted_without_the_rows_that_a_fold_tests(text):
    """Whatever the tested rows hold, the classifier learns from the same bits."""
    X, y, groups = utterances()
    met, trained = record(X, y, groups, normalisation=get(text))
    fold = met[0][1]
    moved = X.copy()
    rows = np.flatnonzero(groups == next(g for g in np.unique(groups) if (groups == g).sum() <= len(fold)))
    moved[rows] = 1000 * moved[rows] + 50
    met_moved, _ = record(moved, y, groups, normalisation=get(text))
    same = [np.array_equal(a, b) for (a, _), (b, _) in zip(met, met_moved, strict=True)]
    assert same.count(True) == 1  # the one fold that tests this speaker
    X_all = trained.normaliser(X, groups)
    np.testing.assert_array_equal(trained.classifier.learned, X_all)


def test_a_fold_is_normalised_by_its_own_training_rows():
    X, y, groups = utterances()
    met, _ = record(X, y, groups, normalisation=get("cmvn"))
    for learned, _ in met:
        np.testing.assert_allclose(learned.mean(axis=0), 0.0, atol=1e-6)
        np.testing.assert_allclose(learned.std(axis=0), 1.0, atol=1e-6)
    assert all(np.abs(asked.mean(axis=0)).max() > 1e-3 for _, asked in met)


def test_speakers_that_differ_in_level_alone_are_recognised_once_each_is_normalised():
    X, y, groups = utterances(rows=240)
    level = {g: 40.0 * i for i, g in enumerate(np.unique(groups))}
    X = (X + np.array([[level[g]] for g in groups])).astype(np.float32)
    plain = train("svm", X, y, groups)
    normalised = train("svm", X, y, groups, normalisation=get("cmvn(scope=speaker)"))
    right = [(t.out_of_fold.argmax(axis=1) == y).mean() for t in (plain, normalised)]
    assert right[0] < 0.6
    assert right[1] > 0.85
    unseen, truth, _ = utterances(rows=60, seed=1)
    heard = normalised.predict_proba(unseen + np.float32(100.0), ["someone new"] * 60)
    assert (heard.argmax(axis=1) == truth).mean() > 0.85


def test_a_normalisation_by_speakers_needs_them():
    X, y, _ = utterances()
    with pytest.raises(UsageError, match="needs to know who speaks"):
        train("svm", X, y, None, normalisation=get("cmvn(scope=speaker)"))


def test_voices_say_by_whose_statistics_a_row_is_normalised():
    """A speaker's copies in another key: apart from the originals they are brought to the same place."""
    X, y, groups = utterances()
    sources = np.concatenate([np.arange(120), np.arange(120)])
    X2, y2, groups2 = np.concatenate([X, 3 * X + 100]), np.tile(y, 2), np.tile(groups, 2)
    voices = np.array([*groups, *(f"{g}|lower" for g in groups)])
    options = {"normalisation": get("cmvn(scope=speaker,prior=0)"), "sources": sources}
    _, apart = record(X2, y2, groups2, voices=voices, **options)
    np.testing.assert_allclose(apart.classifier.learned[120:], apart.classifier.learned[:120], atol=1e-5)
    _, together = record(X2, y2, groups2, **options)
    assert np.abs(together.classifier.learned[120:] - together.classifier.learned[:120]).min() > 0.5


def perceptron(**given):
    chosen = family("mlp")
    return chosen, chosen.settings({"epochs": 6, "batch": 16, "hidden": "16", "patience": 2, **given})


def test_a_network_is_calibrated_on_the_slice_that_it_held_out():
    X, y, groups = utterances()
    trained = fit(*perceptron(), X, y, groups, 3, folds=1)
    held = trained.classifier.held_out_
    np.testing.assert_array_equal(trained.predicted, held)
    assert len(set(groups[held])) == 1
    assert not set(groups[held]) & set(np.delete(groups, held))
    raw = spread(trained.classifier, X[held], 3)
    np.testing.assert_allclose(trained.out_of_fold, trained.calibration(raw), atol=1e-6)


def test_without_inner_folds_probabilities_stay_as_they_are():
    X, y, groups = utterances()
    trained = fit(*perceptron(), X, y, groups, 3, folds=0)
    assert trained.out_of_fold.shape == (0, 3)
    assert trained.calibration.scale == 1.0
    np.testing.assert_allclose(trained.predict_proba(X), spread(trained.classifier, X, 3), atol=1e-6)


def test_the_number_of_fits_is_known_before():
    network, settings = perceptron()
    assert [fits_of(network, settings, folds) for folds in (0, 1, 2, 5)] == [1, 1, 3, 6]
    assert fits_of(network, {**settings, "held_out": 0.0}, 1) == 3
    svm = family("svm")
    assert [fits_of(svm, svm.defaults, folds) for folds in (0, 1, 5)] == [1, 3, 6]
    with pytest.raises(UsageError, match="-1 inner folds will not do"):
        fits_of(svm, svm.defaults, -1)


def test_epochs_are_told_to_the_last_even_where_training_ends_early():
    X, y, groups = utterances()
    told = []
    network, settings = perceptron(epochs=30, lr=1e-12)
    fit(
        network,
        settings,
        X,
        y,
        groups,
        3,
        folds=2,
        tell=lambda epochs, figures=None: told.append((epochs, figures)),
    )
    assert sum(epochs for epochs, _ in told) == 3 * 30
    kept = [figures["epoch"] for _, figures in told if figures]
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) < 30


def test_copies_are_held_out_with_their_source_where_speakers_are_unknown():
    X, y, _ = utterances(60)
    X, y, sources = np.concatenate([X, X]), np.concatenate([y, y]), np.tile(np.arange(60), 2)
    trained = fit(*perceptron(), X, y, None, 3, folds=1, sources=sources)
    held = trained.classifier.held_out_
    assert len(held)
    assert not set(sources[held]) & set(np.delete(sources, held))
    assert set(trained.predicted) == {row for row in held if row < 60}
