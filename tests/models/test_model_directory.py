import dataclasses
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from ser_ray.errors import BadModel, MissingInput, UnknownName
from ser_ray.models import load_model, save_model
from ser_ray.models.model import directory_fingerprint, read_model
from tests.models.examples import ON_VECTORS


@pytest.fixture(params=sorted(ON_VECTORS))
def saved(request, models, tmp_path):
    """A saved model of each family: the model and its folder."""
    save_model(models[request.param], str(tmp_path / "model"))
    return models[request.param], tmp_path / "model"


@pytest.fixture
def forest(models, tmp_path):
    """The folder of a saved random forest."""
    save_model(models["random_forest"], str(tmp_path / "model"))
    return tmp_path / "model"


def edit(folder, **changes):
    file = folder / "model.json"
    description = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in description.items() if v is not None}))


def refusal(folder, kind=BadModel):
    """What loading says, which must be one line and one of our own errors."""
    with pytest.raises(kind) as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unseen(model):
    return np.random.default_rng(7).normal(size=(20, model.features[0].shape[0])).astype(np.float32)


def test_a_model_comes_back_whole(saved):
    model, folder = saved
    loaded = load_model(str(folder))
    np.testing.assert_array_equal(loaded.predict_proba(unseen(model)), model.predict_proba(unseen(model)))
    for name in ("family", "settings", "features", "labels", "calibration", "rate", "band", "card"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.out_of_fold.ids == model.out_of_fold.ids
    assert loaded.out_of_fold.speakers == model.out_of_fold.speakers
    np.testing.assert_array_equal(loaded.out_of_fold.y, model.out_of_fold.y)
    np.testing.assert_array_equal(loaded.out_of_fold.probabilities, model.out_of_fold.probabilities)


def test_the_description_is_readable_and_says_what_it_is(saved):
    model, folder = saved
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert described["family"] == model.family
    assert described["labels"] == ["anger", "neutral", "sadness"]
    assert (described["rate"], described["band"], described["format"]) == (16000, "wide", 1)
    assert described["features"] == [{"spec": "mfcc_stats", "fingerprint": model.features[0].fingerprint}]
    assert described["trained_on"]["corpora"] == ["Emo-DB", "äöü"]


def test_no_file_of_a_model_is_a_pickle(saved):
    _, folder = saved
    for path in folder.iterdir():
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                assert not [n for n in archive.namelist() if n.endswith((".pkl", ".pickle"))]
        assert not content.startswith(b"\x80")


def test_a_saved_model_saved_again_is_the_same_model(saved, tmp_path):
    model, folder = saved
    save_model(load_model(str(folder)), str(tmp_path / "again"))
    again = load_model(str(tmp_path / "again"))
    np.testing.assert_array_equal(again.predict_proba(unseen(model)), model.predict_proba(unseen(model)))


def test_a_model_lives_in_a_bucket_too(models):
    memory = fsspec.filesystem("memory")
    save_model(models["svm"], "memory://bucket/models/svm")
    loaded = load_model("memory://bucket/models/svm")
    x = unseen(models["svm"])
    np.testing.assert_array_equal(loaded.predict_proba(x), models["svm"].predict_proba(x))
    memory.rm("/bucket", recursive=True)


class Payload:
    """Makes a file when an unpickler runs it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (Path(self.target),)


class Estimator(BaseEstimator):
    """A type that no forest needs."""

    def __init__(self, target=""):
        self.target = target

    def __setstate__(self, state):
        Path(state["target"]).touch()


@pytest.fixture
def proof(tmp_path):
    """The file that a payload would make."""
    return tmp_path / "executed"


def test_the_payloads_do_execute_where_they_are_trusted(proof):
    pickle.loads(pickle.dumps(Payload(str(proof))))
    assert proof.exists()
    proof.unlink()
    content = skops.io.dumps(Estimator(str(proof)))
    skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    assert proof.exists()


def test_a_pickle_in_place_of_the_forest_is_refused_unread(forest, proof):
    (forest / "forest.skops").write_bytes(pickle.dumps(Payload(str(proof))))
    assert "corrupt" in refusal(forest)
    assert not proof.exists()


def test_a_foreign_type_in_the_forest_is_refused_by_name(forest, proof):
    skops.io.dump(Estimator(str(proof)), forest / "forest.skops")
    assert "asks for types that a forest does not need" in refusal(forest)
    assert "Estimator" in refusal(forest)
    assert not proof.exists()


def test_a_foreign_type_hidden_inside_a_forest_is_refused(forest, proof):
    model = skops.io.load(forest / "forest.skops", trusted=["sklearn.tree._tree.Tree"])
    assert isinstance(model, RandomForestClassifier)
    model.estimators_[2] = Estimator(str(proof))
    skops.io.dump(model, forest / "forest.skops")
    assert "Estimator" in refusal(forest)
    assert not proof.exists()


def test_a_function_to_call_in_the_forest_is_refused(forest, proof):
    """A schema edited by hand: the type of the estimator becomes a function of the system."""
    source = forest / "forest.skops"
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files["schema.json"])
    schema |= {"__module__": "os", "__class__": "system"}
    files["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert "os.system" in refusal(forest)
    assert not proof.exists()


def test_another_estimator_than_a_forest_is_refused(forest):
    skops.io.dump(LogisticRegression(), forest / "forest.skops")
    assert "holds a LogisticRegression, not a random forest" in refusal(forest)


@pytest.mark.parametrize(("part", "value"), [("left_child", 10**6), ("right_child", 0), ("feature", 10**6)])
def test_a_forest_whose_branches_lead_nowhere_or_in_a_circle_is_refused(forest, part, value):
    file = forest / "forest.skops"
    trees = skops.io.load(file, trusted=["sklearn.tree._tree.Tree"])
    tree = next(each.tree_ for each in trees.estimators_ if each.tree_.node_count > 1)
    state = tree.__getstate__()
    state["nodes"][part][0] = value
    tree.__setstate__(state)
    skops.io.dump(trees, file)
    assert "branches to nowhere" in refusal(forest)


def test_a_pickled_table_of_predictions_is_refused_unread(forest, proof):
    (forest / "oof.parquet").write_bytes(pickle.dumps(Payload(str(proof))))
    assert "corrupt" in refusal(forest)
    assert not proof.exists()


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_file_is_needed(saved):
    _, folder = saved
    assert len(files_of(folder)) == 3
    for name in files_of(folder):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert "missing" in refusal(folder)
        assert name in refusal(folder)
        (folder / name).write_bytes(content)
    load_model(str(folder))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_every_truncated_file_is_refused(saved, share):
    _, folder = saved
    for name in files_of(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])
        assert str(folder) in refusal(folder)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": None},
        {"family": None},
        {"labels": None},
        {"labels": []},
        {"labels": ["anger", "neutral"]},
        {"labels": ["anger", "neutral", "fear"]},
        {"labels": 3},
        {"features": []},
        {"features": ["mfcc_stats"]},
        {"calibration": {}},
        {"calibration": {"scale": 0.0}},
        {"calibration": {"scale": "x"}},
        {"settings": 5},
    ],
)
def test_an_edited_description_is_refused(saved, changes):
    _, folder = saved
    edit(folder, **changes)
    assert str(folder) in refusal(folder)


def test_weights_of_more_classes_than_labels_are_refused(models, tmp_path):
    model = models["svm"]
    save_model(model, str(tmp_path / "model"))
    edit(
        tmp_path / "model",
        labels=["anger", "neutral"],
    )
    table = pq.read_table(tmp_path / "model/oof.parquet").slice(0, 2)
    pq.write_table(table, tmp_path / "model/oof.parquet")
    assert "the weights in" in refusal(tmp_path / "model")


def test_a_description_that_is_no_object_is_refused(forest):
    for text in ("[]", "null", "{", "\xff\xfe", '{"format": 1'):
        (forest / "model.json").write_text(text, encoding="latin-1")
        assert "corrupt" in refusal(forest)


def test_names_that_no_registry_holds_are_answered_with_the_nearest(forest):
    edit(forest, family="random_forrest")
    assert "Did you mean: random_forest" in refusal(forest, UnknownName)
    edit(forest, family="../../evil")
    assert "unknown family '../../evil'" in refusal(forest, UnknownName)
    edit(forest, family="random_forest", features=[{"spec": "mfcc_stat", "fingerprint": "0"}])
    assert "Did you mean: mfcc_stats" in refusal(forest, UnknownName)


def test_a_feature_that_has_changed_since_is_refused(forest):
    edit(forest, features=[{"spec": "mfcc_stats", "fingerprint": "0123456789abcdef"}])
    assert "another version of the code or of other weights (0123456789abcdef" in refusal(forest)


def test_what_is_no_model_is_said_so(tmp_path):
    with pytest.raises(MissingInput, match="model not found"):
        load_model(str(tmp_path / "no"))
    assert "not a model directory" in refusal(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    assert str(tmp_path / "file") in refusal(tmp_path / "file")


def test_the_fingerprint_is_of_names_and_contents(forest, tmp_path):
    first = directory_fingerprint(forest)
    shutil.copytree(forest, tmp_path / "copy")
    assert directory_fingerprint(tmp_path / "copy") == first
    (tmp_path / "copy/model.json").rename(tmp_path / "copy/other.json")
    assert directory_fingerprint(tmp_path / "copy") != first
    edit(forest, seed=1)
    assert directory_fingerprint(forest) != first


def test_a_model_that_cannot_be_written_leaves_the_old_one(models, tmp_path):
    save_model(models["svm"], str(tmp_path / "model"))
    broken = dataclasses.replace(models["random_forest"], card={"when": object()})
    with pytest.raises(TypeError):
        save_model(broken, str(tmp_path / "model"))
    assert read_model(tmp_path / "model").family == "svm"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_unknown_speakers_stay_unknown(models, tmp_path):
    oof = dataclasses.replace(models["svm"].out_of_fold, speakers=[None] * 60)
    save_model(dataclasses.replace(models["svm"], out_of_fold=oof), str(tmp_path / "model"))
    assert load_model(str(tmp_path / "model")).out_of_fold.speakers == [None] * 60


def test_out_of_fold_columns_are_named_by_label(forest):
    table = pq.read_table(forest / "oof.parquet")
    assert table.column_names == ["id", "speaker", "emotion", "p_anger", "p_neutral", "p_sadness"]
    assert table.schema.field("emotion").type == pa.string()
    assert table["emotion"].to_pylist()[:3] == ["anger", "neutral", "sadness"]
