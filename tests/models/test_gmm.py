"""`gmm` and `gmm_fusion`: posteriors, the choice of the weight, and what is kept on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.special import softmax

from ser_ray import features
from ser_ray.corpora.splits import Fold
from ser_ray.errors import BadManifest, BadModel, UsageError
from ser_ray.models import Model, OutOfFold, family, load_model, save_model
from ser_ray.models.gmm_fusion import best_weight, held_out_scores, sources_of
from ser_ray.models.inputs import joined, stacked
from ser_ray.models.mixtures import MixtureOptions
from ser_ray.models.training import fit

ROWS, SPEAKERS = 60, 5
SMALL = {"gmm": {"components": 2}, "gmm_fusion": {"components": 2, "pitch_components": 1, "folds": 3}}
FOLDER = {"gmm": "gmm.safetensors", "gmm_fusion": "gmm_fusion.safetensors"}


def corpus(framewise: float = 2.0, vectorwise: float = 2.0, columns: int = 4, seed: int = 0) -> Any:
    """Pairs of frames and a vector, moved with the class by so many deviations; classes and speakers."""
    rng = np.random.default_rng(seed)
    y, speakers = np.arange(ROWS) % 3, np.arange(ROWS) // (ROWS // SPEAKERS)
    angles = np.stack([np.cos(2 * np.pi * y / 3), np.sin(2 * np.pi * y / 3)], axis=1)
    frames = [rng.normal(0, 1, (int(rng.integers(10, 30)), 24)) for _ in range(ROWS)]
    for row, sequence in enumerate(frames):
        sequence[:, :2] += framewise * angles[row]
    vectors = rng.normal(0, 1, (ROWS, columns))
    vectors[:, :2] += vectorwise * angles
    pairs = joined([stacked([f.astype(np.float32) for f in frames]), vectors.astype(np.float32)])
    return pairs, y, speakers


def example(name: str, **changes: float) -> Any:
    """Rows, classes and speakers for one of the two families."""
    X, y, speakers = corpus(**changes)
    return (X if name == "gmm_fusion" else sources_of(X)[0]), y, speakers


def fitted(name: str, **settings: Any) -> Any:
    X, y, _ = example(name)
    kind = family(name)
    return kind.build(kind.settings({**SMALL[name], **settings}), 0).fit(X, y)


def model(name: str) -> Model:
    """A small model as training leaves it."""
    kind, (X, y, speakers) = family(name), example(name)
    settings = kind.settings(SMALL[name])
    trained = fit(kind, settings, X, y, speakers, 3)
    oof = OutOfFold([f"u{i}" for i in range(ROWS)], [f"s{s}" for s in speakers], y, trained.out_of_fold)
    chosen = tuple(features.get(spec) for spec in kind.features)
    return Model(
        name, settings, chosen, ("anger", "fear", "joy"), trained.classifier, trained.calibration, oof
    )


@pytest.fixture(params=sorted(SMALL))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_posteriors_add_up_to_one_in_the_order_of_the_classes(name: str) -> None:
    X, y, _ = example(name)
    kind = family(name)
    classifier = kind.build(kind.settings(SMALL[name]), 0).fit(X, 10 - 3 * y)
    assert np.asarray(classifier.classes_).tolist() == [4, 7, 10]
    p = classifier.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (np.asarray(classifier.classes_)[p.argmax(axis=1)] == 10 - 3 * y).mean() > 0.9
    assert classifier.predict_proba(X[:0]).shape == (0, 3)


def test_a_row_is_recognised_alike_alone_and_among_others(name: str) -> None:
    X, _, _ = example(name)
    classifier = fitted(name)
    alone = np.concatenate([classifier.predict_proba(X[row : row + 1]) for row in range(len(X))])
    np.testing.assert_allclose(alone, classifier.predict_proba(X), atol=1e-9)


def test_a_model_comes_back_whole(name: str, tmp_path: Path) -> None:
    before = model(name)
    save_model(before, str(tmp_path / "model"))
    after = load_model(str(tmp_path / "model"))
    X, y, _ = example(name, seed=1)
    np.testing.assert_array_equal(after.predict_proba(X), before.predict_proba(X))
    assert (after.predict_proba(X).argmax(axis=1) == y).mean() > 0.8
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert files == {"model.json", "oof.parquet", FOLDER[name]}


def test_damaged_weights_are_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(model(name), str(folder))
    file = folder / FOLDER[name]
    whole, content = load_file(file), file.read_bytes()
    for share in (0.0, 0.3, 0.99):
        file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(BadModel, match="corrupt"):
            load_model(str(folder))
    for tensor, array in whole.items():
        for other in (array[..., None], array.astype(np.float32), array[:0], -1 - abs(array), None):
            changed = {n: a for n, a in whole.items() if n != tensor}
            save_file(changed if other is None else {**changed, tensor: np.ascontiguousarray(other)}, file)
            if tensor.endswith(("mean", "means")) and other is not None and (other < 0).all():
                continue  # means may be negative
            with pytest.raises(BadModel):
                load_model(str(folder))
    save_file({**whole, "else.mean": np.ones(2)}, file)
    with pytest.raises(BadModel, match="corrupt"):
        load_model(str(folder))


def test_the_weight_goes_to_the_source_that_tells() -> None:
    kind = family("gmm_fusion")
    settings = kind.settings({**SMALL["gmm_fusion"], "columns": "0-1"})
    weights = {}
    for telling, strengths in {"cepstrum": (1.0, 0.0), "pitch": (0.0, 3.0)}.items():
        X, y, speakers = corpus(*strengths)
        weights[telling] = kind.build(settings, 0).fit(X, y, groups=speakers).weight
    assert weights["cepstrum"] > 0.5 > weights["pitch"]


def test_a_given_weight_is_kept_and_a_source_without_weight_is_not_heard() -> None:
    X, _, _ = corpus()
    cepstra, statistics = sources_of(X)
    for weight, alone in ((0, "pitch"), ("1", "cepstrum")):
        classifier = fitted("gmm_fusion", weight=weight)
        assert classifier.weight == float(weight)
        scores = getattr(classifier, alone).scores(statistics if alone == "pitch" else cepstra)
        np.testing.assert_allclose(classifier.predict_proba(X), softmax(scores, axis=1), atol=1e-12)


def test_the_folds_that_choose_the_weight_keep_speakers_apart() -> None:
    """What tells the emotions of one speaker alone is of no use for another."""
    X, y, speakers = corpus(framewise=0.25)
    marked = np.empty(len(X), object)
    for row, (frames, _) in enumerate(X):
        marked[row] = (frames, np.eye(3 * SPEAKERS, dtype=np.float32)[3 * speakers[row] + y[row]])
    kind = family("gmm_fusion")
    apart, mixed = (
        kind.build(kind.settings(SMALL["gmm_fusion"]), 0).fit(marked, y, groups=groups)
        for groups in (speakers, None)
    )
    assert apart.weight > mixed.weight


def test_chosen_columns_are_all_that_is_read() -> None:
    X, _, _ = corpus()
    classifier = fitted("gmm_fusion", columns="0-1", weight=0)
    noisy = np.empty(len(X), object)
    for row, (frames, vector) in enumerate(X):
        noisy[row] = (frames, np.append(vector[:2], [99.0, -99.0]).astype(np.float32))
    np.testing.assert_array_equal(classifier.predict_proba(noisy), classifier.predict_proba(X))
    assert (classifier.predict_proba(X).argmax(axis=1) == np.arange(ROWS) % 3).mean() > 0.8


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gmm", {"components": 0}, "Set all of them above 0"),
        ("gmm", {"columns": "1,2"}, "Write them like 0-3-17"),
        ("gmm", {"columns": "24"}, "no column 24"),
        ("gmm_fusion", {"columns": "4"}, "no column 4: the feature has 4"),
        ("gmm_fusion", {"weight": "half"}, "a number from 0 to 1"),
        ("gmm_fusion", {"weight": 1.5}, "a number from 0 to 1"),
        ("gmm_fusion", {"weight": "nan"}, "a number from 0 to 1"),
        ("gmm_fusion", {"folds": 1}, "2 or more"),
        ("gmm_fusion", {"pitch_floor": 0.0}, "above 0"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fitted(name, **settings)


def test_anything_but_frames_and_a_vector_is_refused() -> None:
    X, _, _ = corpus()
    cepstra, statistics = sources_of(X)
    swapped = joined([statistics[:, None, :].copy().astype(object), cepstra])
    for wrong in (cepstra, statistics, swapped):
        with pytest.raises(UsageError, match="reads two features"):
            sources_of(wrong)


def test_a_class_with_a_single_row_has_no_weight_chosen_by_it() -> None:
    X, y, _ = corpus()
    y[y == 2], y[0] = 1, 2
    kind = family("gmm_fusion")
    with pytest.raises(BadManifest, match="a single utterance"):
        kind.build(kind.settings(SMALL["gmm_fusion"]), 0).fit(X, y)
    given = kind.build(kind.settings({**SMALL["gmm_fusion"], "weight": 0.5}), 0).fit(X, y)
    assert np.isfinite(given.predict_proba(X)).all()


def test_a_class_that_a_fold_does_not_learn_has_the_lowest_score() -> None:
    X, y, _ = corpus()
    fold = Fold("one", np.flatnonzero(y != 1), np.flatnonzero(y == 1))
    scores = held_out_scores(sources_of(X)[1], y, [fold], MixtureOptions(1, 0.1))
    np.testing.assert_array_equal(scores[y == 1, 1], scores[y == 1].min(axis=1))
    assert not scores[y != 1].any()


def test_the_best_weight_is_the_nearest_to_a_half_that_recognises_most() -> None:
    numbers = np.array([0, 1, 1, 1])
    right, wrong = np.eye(2)[numbers], np.eye(2)[1 - numbers]
    assert best_weight(right, right, numbers) == (0.5, 1.0)
    assert best_weight(right, wrong, numbers) == (0.55, 1.0)
    assert best_weight(wrong, right, numbers) == (pytest.approx(0.45), 1.0)
    assert best_weight(wrong, right, numbers, np.array([1.0])) == (1.0, 0.0)
    always_second = np.tile([0.0, 1.0], (4, 1))
    assert best_weight(always_second, always_second, numbers)[1] == 0.5  # classes count alike


def test_settings_are_plain_data(name: str) -> None:
    assert json.loads(json.dumps(family(name).defaults)) == family(name).defaults
    assert (family(name).deep, family(name).frames) == (False, True)
