import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_ray.errors import UnknownName, UsageError
from ser_ray.models import family
from ser_ray.models.svm import KernelMachines
from tests.models.examples import ON_VECTORS

QUICK = {"random_forest": {"trees": 20}, "xgboost": {"trees": 20, "column_share": 1.0}}


def blobs(rows=90, classes=3, columns=6, seed=0):
    """Classes apart by three standard deviations in one column each."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    X = rng.normal(size=(rows, columns))
    X[np.arange(rows), y] += 5.0
    return X.astype(np.float32), y


def fitted(name, X, y, seed=0):
    return family(name).build(family(name).settings(QUICK.get(name, {})), seed).fit(X, y)


@pytest.fixture(params=sorted(ON_VECTORS))
def name(request):
    """Every family that learns from vectors."""
    return request.param


def test_a_family_learns_what_can_be_learned(name):
    X, y = blobs()
    unseen, truth = blobs(seed=1)
    p = fitted(name, X, y).predict_proba(unseen)
    assert p.shape == (90, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-5)
    assert p.min() >= 0.0
    assert (p.argmax(axis=1) == truth).mean() > 0.95


def test_classes_need_not_be_consecutive_nor_more_than_two(name):
    X, y = blobs(classes=2)
    classifier = fitted(name, X, y * 4 + 1)
    assert np.asarray(classifier.classes_).tolist() == [1, 5]
    p = classifier.predict_proba(X)
    assert p.shape == (90, 2)
    assert (p.argmax(axis=1) == y).mean() > 0.95


def test_rare_classes_are_recognised_too(name):
    """Five rows against a hundred: classes weigh alike."""
    X, y = blobs(rows=300)
    kept = np.flatnonzero((y > 0) | (np.arange(300) < 15))
    p = fitted(name, X[kept], y[kept]).predict_proba(blobs(seed=2)[0])
    truth = blobs(seed=2)[1]
    assert (p.argmax(axis=1) == truth)[truth == 0].mean() > 0.6


def test_the_seed_fixes_a_family(name):
    X, y = blobs()
    first, again = (fitted(name, X, y, seed=3).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("seeded", ["random_forest", "xgboost"])
def test_another_seed_is_another_draw(seeded):
    X, y = blobs()
    assert (fitted(seeded, X, y, 1).predict_proba(X) != fitted(seeded, X, y, 2).predict_proba(X)).any()


def test_saved_and_loaded_it_predicts_the_same_bits(name, tmp_path):
    X, y = blobs(classes=3)
    classifier = fitted(name, X, y * 2)
    family(name).save(classifier, tmp_path)
    loaded = family(name).load(tmp_path)
    assert np.asarray(loaded.classes_).tolist() == [0, 2, 4]
    unseen = blobs(seed=1)[0]
    np.testing.assert_array_equal(loaded.predict_proba(unseen), classifier.predict_proba(unseen))
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors", ".skops", ".json"}


def test_a_batch_predicts_as_single_rows_do(name):
    X, y = blobs()
    classifier = fitted(name, X, y)
    single = np.concatenate([classifier.predict_proba(X[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(single, classifier.predict_proba(X)[:10], atol=1e-6)


def test_a_constant_column_does_no_harm(name):
    X, y = blobs()
    X[:, -1] = 7.0
    assert (fitted(name, X, y).predict_proba(X).argmax(axis=1) == y).mean() > 0.95


def test_defaults_and_search_space_agree(name):
    chosen = family(name)
    assert set(chosen.space) <= set(chosen.defaults)
    for key, space in chosen.space.items():
        if space["type"] == "choice":
            assert chosen.defaults[key] in space["values"]
        else:
            assert space["low"] <= chosen.defaults[key] <= space["high"]


def test_texts_from_the_command_line_become_numbers():
    assert family("svm").settings({"C": "3"}) == {"C": 3.0, "gamma": 0.3}
    assert family("random_forest").settings({"trees": "7"})["trees"] == 7
    assert type(family("random_forest").settings({"max_features": 1})["max_features"]) is float
    assert family("svm").settings({}) == dict(family("svm").defaults)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("svm", {"c": 1}, r"svm has no setting 'c'\. It has: C, gamma\."),
        ("svm", {"C": "much"}, r"C='much' should be of type float"),
        ("svm", {"C": "nan"}, r"C='nan' should be of type float"),
        ("svm", {"C": None}, r"C=None should be of type float"),
        ("random_forest", {"trees": "3.5"}, r"trees='3\.5' should be of type int"),
        ("random_forest", {"trees": 3.5}, r"trees=3\.5 should be of type int"),
        ("xgboost", {"depth": float("inf")}, r"depth=inf should be of type int"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, given, message):
    with pytest.raises(UsageError, match=message):
        family(name).settings(given)


def test_an_unknown_family_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown family 'forest'.*random_forest"):
        family("forest")


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_matrix_product_gives_the_decisions_of_scikit_learn(classes, scale):
    X, y = blobs(rows=150, classes=classes, columns=20)
    X = X * scale + 3 * scale
    unseen = blobs(rows=60, classes=classes, columns=20, seed=1)[0] * scale + 3 * scale
    machines = KernelMachines(C=10.0, gamma=0.3).fit(X, y)
    scaler = StandardScaler().fit(X)
    expected = np.column_stack(
        [
            SVC(C=10.0, gamma=0.3 / 20, class_weight="balanced")
            .fit(scaler.transform(X), y == k)
            .decision_function(scaler.transform(unseen))
            for k in range(classes)
        ]
    )
    np.testing.assert_allclose(machines.decision_function(unseen), expected, atol=1e-4)
