"""Normalisation kept with a model."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ser_ray.errors import BadModel, UsageError
from ser_ray.models import load_model, save_model
from ser_ray.models.normalisation import FILE, get
from tests.models.examples import FOR_VECTORS, rows


def with_normaliser(model, text):
    columns = model.features[0].shape[0]
    normaliser = get(text).fit(rows(60, columns).astype(np.float32), ["x"] * 60)
    return dataclasses.replace(model, normaliser=normaliser)


@pytest.fixture(params=FOR_VECTORS)
def kept(request, models, tmp_path):
    """A saved model that normalises, and its folder."""
    model = with_normaliser(models["svm"], request.param)
    save_model(model, str(tmp_path / "model"))
    return model, tmp_path / "model"


def refusal(folder):
    with pytest.raises(BadModel) as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def edit(folder, **changes):
    file = folder / "model.json"
    described = json.loads(file.read_text())
    file.write_text(json.dumps(described | changes))


def test_a_normalisation_comes_back_with_its_model_to_the_bit(kept):
    model, folder = kept
    loaded = load_model(str(folder))
    assert loaded.normalisation == model.normalisation
    X, legs = (
        rows(9, model.features[0].shape[0], seed=3).astype(np.float32),
        [("call", i % 2) for i in range(9)],
    )
    np.testing.assert_array_equal(loaded.predict_proba(X, legs), model.predict_proba(X, legs))
    for name, values in model.normaliser.statistics.items():
        np.testing.assert_array_equal(loaded.normaliser.statistics[name], values)
    plain = dataclasses.replace(model, normaliser=None)
    assert np.abs(plain.predict_proba(X) - model.predict_proba(X, legs)).max() > 1e-3  # it does something
    described = json.loads((folder / "model.json").read_text())
    assert described["normalisation"] == model.normalisation.to_dict()  # every parameter, also the defaults


def test_a_model_that_needs_speakers_says_so(models):
    model = with_normaliser(models["svm"], "cmvn(scope=speaker)")
    with pytest.raises(UsageError, match="who speaks"):
        model.predict_proba(rows(3, model.features[0].shape[0]))


def test_a_model_without_a_normalisation_is_kept_as_ever(models, tmp_path):
    save_model(models["svm"], str(tmp_path / "model"))
    assert "normalisation" not in json.loads((tmp_path / "model/model.json").read_text())
    assert not (tmp_path / "model" / FILE).exists()
    assert load_model(str(tmp_path / "model")).normaliser is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_statistics_that_are_cut_short_or_gone_are_refused(kept, share):
    _, folder = kept
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[: int(share * len(content))])
    assert "corrupt" in refusal(folder)
    (folder / FILE).unlink()
    assert FILE in refusal(folder)


class Payload:
    """Makes a file when an unpickler runs it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (Path(self.target),)


def test_a_pickle_in_place_of_the_statistics_is_refused_unread(kept, tmp_path):
    _, folder = kept
    (folder / FILE).write_bytes(pickle.dumps(Payload(str(tmp_path / "executed"))))
    assert "corrupt" in refusal(folder)
    assert not (tmp_path / "executed").exists()


def test_statistics_that_cannot_be_are_refused(kept):
    model, folder = kept
    whole = load_file(folder / FILE)
    first = next(iter(whole))
    wrong = [
        {name: values for name, values in whole.items() if name != first},
        whole | {"more": np.zeros(3)},
        whole | {first: whole[first][..., :-1].copy()},
        whole | {first: whole[first].astype(np.float32)},
        whole | {first: np.full_like(whole[first], np.nan)},
    ]
    if "variance" in whole:
        wrong.append(whole | {"variance": -whole["variance"]})
    else:
        wrong.append({name: values[::-1].copy() for name, values in whole.items()})  # quantiles that fall
        wrong.append(whole | {"levels": whole["levels"][::-1].copy()})
    for statistics in wrong:
        save_file(statistics, folder / FILE)
        assert "is not the normalisation of its model.json" in refusal(folder)
    save_file(whole, folder / FILE)
    assert load_model(str(folder)).normalisation == model.normalisation


@pytest.mark.parametrize(
    "described",
    [
        {"name": "os.system"},
        {"name": "cmvn", "scope": "everyone", "prior": 4.0},
        {"name": "cmvn", "scope": "speaker", "prior": -1.0},
        {"name": "cmvn", "scope": "speaker", "prior": "4"},
        {"name": "cmvn", "scope": "speaker", "prior": 4.0, "more": 1},
        {"scope": "speaker"},
        "cmvn",
        5,
        [],
    ],
)
def test_an_edited_description_is_refused(kept, described):
    _, folder = kept
    edit(folder, normalisation=described)
    refusal(folder)


def test_another_normalisation_than_the_one_that_was_fitted_is_refused(models, tmp_path):
    save_model(with_normaliser(models["svm"], "cmvn(scope=speaker)"), str(tmp_path / "model"))
    edit(tmp_path / "model", normalisation=get("equalise").to_dict())
    assert "is not the normalisation of its model.json" in refusal(tmp_path / "model")
    edit(tmp_path / "model", normalisation=None)
    assert "holds a normalisation that its model.json lacks" in refusal(tmp_path / "model")
