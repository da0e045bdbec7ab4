import dataclasses
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from ser_ray import features
from ser_ray.corpora.splits import grouped_folds
from ser_ray.errors import BadModel, MissingInput, UnknownName, UsageError
from ser_ray.fusion import (
    RULES,
    STACKING,
    Ensemble,
    fit_fusion,
    load_ensemble,
    out_of_fold,
    save_ensemble,
)
from ser_ray.fusion.ensemble import aligned
from ser_ray.fusion.rules import normalise
from ser_ray.fusion.stacking import cross_fitted
from ser_ray.models import Model, OutOfFold, family, save_model
from ser_ray.models.calibration import fit_isotonic
from ser_ray.models.training import fit

LABELS = ("anger", "neutral", "sadness")
FEATURES = {"svm": ("mfcc_stats",), "xgboost": ("mfcc_stats(n_mels=30)", "mfcc_stats")}


def make_model(name: str, ids=range(60)) -> Model:
    chosen = tuple(features.get(spec) for spec in FEATURES[name])
    ids, columns = np.array(ids), sum(f.shape[0] for f in chosen)
    y = ids % 3
    X = np.random.default_rng(len(name)).normal(size=(len(ids), columns)).astype(np.float32)
    X[np.arange(len(ids)), y] += 4.0
    speakers = [f"s{i // 12}" for i in ids]
    settings = family(name).settings({"trees": 5} if name == "xgboost" else {})
    trained = fit(family(name), settings, X, y, np.array(speakers), 3)
    oof = OutOfFold([f"u{i}" for i in ids], speakers, y, trained.out_of_fold)
    return Model(name, settings, chosen, LABELS, trained.classifier, trained.calibration, oof, {"seed": 0})


@pytest.fixture(scope="session")
def members():
    return {name: make_model(name) for name in FEATURES}


def fused(members, rule="paper"):
    p, y, groups, _ = aligned(members)
    return Ensemble(members, fit_fusion(rule, p, y, groups), {"metrics": {"ua": 0.5}})


def audio(ensemble, rows=10):
    rng = np.random.default_rng(5)
    return {f.fingerprint: rng.normal(size=(rows, *f.shape)).astype(np.float32) for f in ensemble.features}


@pytest.fixture
def saved(members, tmp_path):
    """The folder of a saved stacking ensemble."""
    save_ensemble(fused(members, STACKING), str(tmp_path / "ensemble"))
    return tmp_path / "ensemble"


def edit(folder, **changes):
    file = folder / "ensemble.json"
    description = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in description.items() if v is not None}))


def refusal(folder, kind=BadModel):
    with pytest.raises(kind) as caught:
        load_ensemble(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rule", [*RULES, STACKING])
def test_an_ensemble_comes_back_whole(members, rule, tmp_path):
    ensemble = fused(members, rule)
    save_ensemble(ensemble, str(tmp_path / "ensemble"))
    loaded, fingerprint = load_ensemble(str(tmp_path / "ensemble"))
    values = audio(ensemble)
    np.testing.assert_array_equal(loaded.predict_proba(values), ensemble.predict_proba(values))
    assert (loaded.fusion.rule, loaded.labels, loaded.band) == (rule, LABELS, "wide")
    assert loaded.negative == ("anger", "sadness")
    assert list(loaded.members) == ["svm", "xgboost"]
    assert loaded.card == {"metrics": {"ua": 0.5}}
    assert len(fingerprint) == 16


def test_members_are_fused_as_the_rule_says(members):
    ensemble = fused(members, "paper")
    values = audio(ensemble)
    wide, narrow = (
        values[features.get(spec).fingerprint] for spec in ("mfcc_stats", "mfcc_stats(n_mels=30)")
    )
    p = np.stack(
        [
            members["svm"].predict_proba(wide),
            members["xgboost"].predict_proba(np.hstack([narrow, wide])),
        ]
    )
    expected = ensemble.fusion.calibration(normalise((p**2).sum(axis=0)))
    np.testing.assert_allclose(ensemble.predict_proba(values), expected, rtol=1e-6)
    np.testing.assert_array_equal(expected.argmax(axis=1), (p**2).sum(axis=0).argmax(axis=1))


def test_how_probabilities_are_read_comes_back_with_the_ensemble(members, tmp_path):
    p, y, groups, _ = aligned(members)
    isotonic = fit_fusion("soft", p, y, groups, calibration="isotonic")
    grouping = {"negative": ("sadness",), "rest": ("anger", "neutral")}
    save_ensemble(Ensemble(members, isotonic, {}, grouping, 0.75), str(tmp_path / "e"))
    loaded, _ = load_ensemble(str(tmp_path / "e"))
    assert loaded.fusion.calibration == isotonic.calibration
    np.testing.assert_array_equal(loaded.fusion(p), isotonic(p))
    assert (loaded.groups, loaded.negative, loaded.certain_from) == (grouping, ("sadness",), 0.75)
    edit(tmp_path / "e", groups=None, certain_from=None)
    loaded, _ = load_ensemble(str(tmp_path / "e"))
    assert loaded.groups == {"negative": ("anger", "sadness"), "neutral": ("neutral",)}
    assert (loaded.negative, loaded.certain_from) == (("anger", "sadness"), None)
    loud = dataclasses.replace(loaded, grouping={"high": ("anger",), "low": ("neutral", "sadness")})
    assert loud.negative == ("anger", "sadness")  # no group has that name


def test_labels_that_are_no_emotions_have_no_groups(members, tmp_path):
    sounds = {name: dataclasses.replace(m, labels=("dog", "rain", "siren")) for name, m in members.items()}
    save_ensemble(fused(sounds), str(tmp_path / "e"))
    loaded, _ = load_ensemble(str(tmp_path / "e"))
    assert (loaded.groups, loaded.negative) == ({}, ())


@pytest.mark.parametrize("rule", ["soft", STACKING])
def test_out_of_fold_is_calibrated_by_other_speakers(members, rule):
    p, y, groups, _ = aligned(members)
    fusion = fit_fusion(rule, p, y, groups, calibration="isotonic")
    honest = out_of_fold(fusion, p, y, groups)
    assert not np.allclose(honest, fusion(p))
    folds = grouped_folds(y, groups, 5, 0)
    fused = cross_fitted(p, y, groups) if rule == STACKING else normalise(RULES[rule](p))
    for fold in folds:
        again = fit_isotonic(fused[fold.train], y[fold.train])
        np.testing.assert_array_equal(honest[fold.test], again(fused[fold.test]))


@pytest.mark.parametrize("rule", ["self_confidence", STACKING])
def test_the_temperature_evens_the_members_out_before_the_rule(members, rule, tmp_path):
    p, y, groups, _ = aligned(members)
    fusion = fit_fusion(rule, p, y, groups, temperature=3.0)
    evened = p ** (1 / 3)
    evened /= evened.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(fusion(p), fit_fusion(rule, evened, y, groups)(evened), atol=1e-4)
    save_ensemble(Ensemble(members, fusion), str(tmp_path / "e"))
    loaded, _ = load_ensemble(str(tmp_path / "e"))
    np.testing.assert_allclose(loaded.fusion(p), fusion(p), atol=1e-12)
    edit(tmp_path / "e", temperature=None)  # as written before there was one
    assert load_ensemble(str(tmp_path / "e"))[0].fusion.temperature == 1.0


def test_every_feature_is_read_once(members):
    assert [f.spec for f in fused(members).features] == ["mfcc_stats", "mfcc_stats(n_mels=30)"]


def test_a_single_model_is_an_ensemble_of_one(members, tmp_path):
    save_model(members["svm"], str(tmp_path / "alone"))
    ensemble, _ = load_ensemble(str(tmp_path / "alone"))
    values = audio(ensemble)
    assert list(ensemble.members) == ["alone"]
    expected = members["svm"].predict_proba(next(iter(values.values())))
    np.testing.assert_allclose(ensemble.predict_proba(values), expected, atol=5e-6)


def test_the_fingerprint_follows_the_content_not_the_place(saved, tmp_path):
    first = load_ensemble(str(saved))[1]
    shutil.copytree(saved, tmp_path / "elsewhere")
    assert load_ensemble(str(tmp_path / "elsewhere"))[1] == first
    edit(saved, note="changed")
    assert load_ensemble(str(saved))[1] != first


def test_out_of_fold_predictions_are_matched_by_utterance(members):
    part = {"svm": make_model("svm", range(12, 60)), "xgboost": make_model("xgboost", range(47, -1, -1))}
    p, y, groups, ids = aligned(part)
    assert ids == [f"u{i}" for i in range(12, 48)]
    assert y.tolist() == [i % 3 for i in range(12, 48)]
    assert groups.tolist() == [f"s{i // 12}" for i in range(12, 48)]
    np.testing.assert_array_equal(p[0], part["svm"].out_of_fold.probabilities[:36])
    np.testing.assert_array_equal(p[1], part["xgboost"].out_of_fold.probabilities[35::-1])


def test_speakers_not_all_known_are_no_groups(members):
    oof = members["svm"].out_of_fold
    nameless = dataclasses.replace(oof, speakers=[None, *oof.speakers[1:]])
    p, _, groups, _ = aligned({"a": dataclasses.replace(members["svm"], out_of_fold=nameless)})
    assert groups is None
    assert p.shape == (1, 60, 3)


def other(model, **changes):
    return dataclasses.replace(model, **changes)


def test_members_that_cannot_be_fused_are_named_with_the_mend(members):
    svm, boosted = members["svm"], members["xgboost"]
    with pytest.raises(UsageError, match=r"a: anger, neutral, sadness; b: anger, fear\. Train them on one"):
        aligned({"a": svm, "b": other(boosted, labels=("anger", "fear"))})
    telephone = other(boosted, features=(features.get("mfcc_stats(band=telephone)"),))
    with pytest.raises(UsageError, match=r"a wide, b telephone\. Train them with the same --band"):
        aligned({"a": svm, "b": telephone})
    strangers = dataclasses.replace(boosted.out_of_fold, ids=[f"v{i}" for i in range(60)])
    with pytest.raises(UsageError, match=r"share no training utterance .* Train them on one manifest"):
        aligned({"a": svm, "b": other(boosted, out_of_fold=strangers)})
    relabelled = dataclasses.replace(boosted.out_of_fold, y=(boosted.out_of_fold.y + 1) % 3)
    with pytest.raises(UsageError, match=r"learned other emotions of one utterance"):
        aligned({"a": svm, "b": other(boosted, out_of_fold=relabelled)})


@pytest.mark.parametrize(
    "names",
    [
        ["../svm"],
        [".."],
        ["."],
        [""],
        ["/etc"],
        ["svm", "svm"],
        [],
        ["svm", "svm/../../../secret"],
        ["nobody"],
        [5],
        ["svm\x00"],
        "svm",
    ],
)
def test_members_are_read_from_plain_folder_names_only(saved, names):
    secret = saved.parent / "secret"
    shutil.copytree(saved / "members/svm", secret)
    edit(saved, members=names)
    assert str(saved) in refusal(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 9},
        {"format": None},
        {"rule": None},
        {"labels": ["anger", "neutral", "fear"]},
        {"band": "telephone"},
        {"members": ["xgboost"]},
        {"calibration": {"scale": -1.0}},
        {"calibration": 1},
        {"calibration": {"p": [[0.1]], "share": [[0.5]]}},
        {"groups": {"negative": ["anger"]}},
        {"groups": {"a": ["anger", "neutral"], "b": ["neutral", "sadness"]}},
        {"groups": {"all": ["anger", "neutral", "sadness", "fear"]}},
        {"groups": "negative"},
        {"certain_from": 1.5},
        {"certain_from": "sure"},
        {"temperature": 0},
        {"temperature": "hot"},
    ],
)
def test_an_edited_description_is_refused(saved, changes):
    edit(saved, **changes)
    assert str(saved) in refusal(saved)


def test_an_unknown_rule_is_answered_with_the_nearest(saved):
    edit(saved, rule="stackin")
    assert "Did you mean: stacking" in refusal(saved, UnknownName)


def test_lost_and_broken_files_are_refused(saved):
    weights = saved / "stacking.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-8])
    assert "corrupt" in refusal(saved)
    save_file({"weight": np.zeros((3, 3)), "bias": np.zeros(3)}, weights)
    assert "stacking weights (3, 3) for 2 members" in refusal(saved)
    weights.unlink()
    assert "stacking.safetensors" in refusal(saved)
    weights.write_bytes(content)
    (saved / "members/xgboost/model.json").unlink()
    assert "model.json" in refusal(saved)
    (saved / "ensemble.json").unlink()
    assert "not an ensemble or model directory" in refusal(saved)
    with pytest.raises(MissingInput, match="ensemble not found"):
        load_ensemble(str(saved / "no"))
