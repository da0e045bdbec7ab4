from dataclasses import replace

import numpy as np
import pytest

from ser_ray.errors import BadModel
from ser_ray.models import load_model, save_model
from ser_ray.models.profile import FILE, Profile, column_means, learn_profile
from tests.models.examples import pieces

X = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0], [6.0, 1.0]], np.float32)


@pytest.fixture
def profiled(models, tmp_path):
    """A saved forest with a profile, and its folder."""
    model = models["random_forest"]
    columns = len(model.features[0].names)
    profile = Profile(np.arange(3.0 * columns).reshape(3, columns), np.arange(1.0 * columns))
    model = replace(model, profile=profile)
    save_model(model, str(tmp_path / "model"))
    return model, tmp_path / "model"


def test_the_profile_has_the_mean_of_each_label_and_the_deviation_of_all():
    profile = learn_profile(X, np.array([0, 0, 2, 2]), labels=3)
    np.testing.assert_allclose(profile.means, [[1.0, 1.0], [3.0, 1.0], [5.0, 1.0]])  # nothing of the second
    np.testing.assert_allclose(profile.deviations, [np.sqrt(5.0), 0.0])


def test_an_utterance_of_frames_counts_once_by_its_mean_over_time():
    frames = pieces([3, 50, 7, 9])
    means = np.stack([part.mean(axis=0) for part in frames])
    y = np.array([0, 1, 0, 1])
    np.testing.assert_allclose(learn_profile(frames, y, 2).means[0], means[[0, 2]].mean(axis=0))
    both = np.empty(4, object)
    for row, part in enumerate(frames):
        both[row] = (part, np.stack([part, part + 2.0]))  # frames beside images [2, frames, columns]
    beside = learn_profile(both, y, 2)
    np.testing.assert_allclose(beside.deviations, np.tile(means.std(axis=0), 2))
    np.testing.assert_allclose(beside.part(3, 6).means, beside.part(0, 3).means + 1.0)
    np.testing.assert_allclose(column_means(list(frames)), means)
    np.testing.assert_array_equal(column_means(list(X)), X)


def test_a_profile_comes_back_with_its_model(profiled):
    model, folder = profiled
    loaded = load_model(str(folder)).profile
    np.testing.assert_array_equal(loaded.means, model.profile.means)
    np.testing.assert_array_equal(loaded.deviations, model.profile.deviations)


def test_a_model_of_before_there_were_profiles_loads_without_one(profiled):
    _, folder = profiled
    (folder / FILE).unlink()
    assert load_model(str(folder)).profile is None


@pytest.mark.parametrize("broken", ["of another model", "not finite", "cut off"])
def test_a_profile_that_is_not_the_models_is_refused(profiled, broken):
    model, folder = profiled
    means, deviations = model.profile.means, model.profile.deviations
    if broken == "cut off":
        (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-8])
    else:
        wrong = (
            Profile(means[:2], deviations)
            if broken == "of another model"
            else Profile(means + np.inf, deviations)
        )
        save_model(replace(model, profile=wrong), str(folder.parent / "wrong"))
        folder = folder.parent / "wrong"
    with pytest.raises(BadModel, match="Train"):
        load_model(str(folder))
