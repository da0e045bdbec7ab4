from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_ray import features
from ser_ray.errors import BadModel, MissingInput, UsageError
from ser_ray.models import Model, OutOfFold, check_source, family, load_model, save_model
from ser_ray.models import normalisation as normalisations
from ser_ray.models.inputs import stacked
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.loop import LoopOptions, _groups
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.transfer_cnn import NETWORKS, TransferCnn
from ser_ray.models.training import fit
from tests.models.networks.batches import frames_first

[KIND] = NETWORKS
FEATURE = features.get("logmel")
SMALL = {"channels": "4-6", "hidden": 8, "epochs": 3, "batch": 8, "frames": 30}
WIDE, NARROW = (None, 64), (None, 40)


def frames_of(classes: int, rows: int = 24, seed: int = 0, level: float = -40.0) -> tuple[np.ndarray, Any]:
    """Log-mel frames [20 to 40, 64], each class louder than the one before in all bands."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    X = [rng.normal(level + 6 * k, 5.0, (rng.integers(20, 40), 64)).astype(np.float32) for k in y]
    return stacked(X), y


def train(X: np.ndarray, y: np.ndarray, seed: int = 0, **settings: Any) -> Model:
    kind = family("transfer_cnn")
    full = kind.settings({**SMALL, **settings})
    classes = int(y.max()) + 1
    trained = fit(kind, full, X, y, None, classes, seed, folds=1)
    ids = [f"u{row}" for row in trained.predicted]
    oof = OutOfFold(ids, [None] * len(ids), y[trained.predicted], trained.out_of_fold)
    labels = tuple(f"class{k}" for k in range(classes))
    return Model("transfer_cnn", full, (FEATURE,), labels, trained.classifier, trained.calibration, oof)


def network_of(model: Model) -> TransferCnn:
    assert isinstance(model.classifier, NetworkClassifier)
    assert isinstance(model.classifier.network, TransferCnn)
    return model.classifier.network


def moved(model: Model, start: Model) -> dict[str, float]:
    """Largest change of each tensor of the body."""
    before = network_of(start).body.state_dict()
    return {k: (v - before[k]).abs().max().item() for k, v in network_of(model).body.state_dict().items()}


@pytest.fixture(scope="module")
def source_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of five kinds of sounds."""
    uri = str(tmp_path_factory.mktemp("transfer") / "sounds")
    save_model(train(*frames_of(5, rows=40)), uri)
    return uri


@pytest.fixture(scope="module")
def source(source_uri: str) -> Model:
    return load_model(source_uri)


def build(shape: tuple[int | None, ...] = WIDE, classes: int = 4, **changes: Any) -> TransferCnn:
    torch.manual_seed(0)
    network = KIND.build([shape], classes, {**all_settings(KIND), **changes})
    assert isinstance(network, TransferCnn)
    return network


def test_it_reads_64_bands_of_25_ms_frames_every_10_ms():
    (feature,) = [features.get(spec) for spec in KIND.features]
    assert (feature.window, feature.hop, feature.n_fft, feature.bands, feature.rate) == (
        400,
        160,
        512,
        64,
        16000,
    )
    assert KIND.defaults["frames"] * feature.hop / feature.rate == 3.0


def test_defaults_and_space_are_plain_data_that_network_or_loop_know():
    assert json.loads(json.dumps([KIND.defaults, KIND.space])) == [dict(KIND.defaults), dict(KIND.space)]
    assert set(KIND.space) <= set(KIND.defaults) | {f.name for f in fields(LoopOptions)}
    full = all_settings(KIND)
    assert (full["lr"], full["batch"], full["held_out"]) == (1e-3, 64, 0.1)


def test_layers_and_their_parameters_are_those_of_the_specification():
    network = build(classes=41)
    convolutions = 9 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256)
    normalisations_ = 2 * (32 + 64 + 128 + 256)
    dense, logits = 257 * 128, 129 * 41
    body = sum(p.numel() for p in network.body.parameters())
    assert body == convolutions + normalisations_ + dense == 421_216
    assert sum(p.numel() for p in network.parameters()) == body + logits == 426_505
    assert network.dropout.p == 0.5
    assert network.body.window.frames == 300


@torch.no_grad()
def test_logits_are_the_linear_layer_of_a_mean_over_bands_and_frames():
    network = build(channels="4-6", hidden=8).eval()
    values, lengths = frames_first([30, 40], 64)
    x = values[1:, :40].transpose(1, 2).unsqueeze(1)
    for block in network.body.blocks.blocks:
        x = torch.relu(block.normalisation(torch.conv2d(x, block.convolution.weight, padding=1), lengths[1:]))
        x = torch.max_pool2d(x, 2)
    expected = network.logits(torch.relu(network.body.dense(x.mean((2, 3)))))
    assert torch.allclose(network((Padded(values, lengths),))[1:], expected, atol=1e-5)


@torch.no_grad()
def test_neither_padding_nor_what_follows_the_first_3_s_changes_a_logit():
    network = build(channels="4-6", hidden=8).eval()
    network.logits.weight *= 20.0
    values, lengths = frames_first([7, 300, 120, 500], 64)
    together = network((Padded(values, lengths),))
    for row, length in enumerate(lengths.tolist()):
        cut = min(length, 300)
        alone = network((Padded(values[row : row + 1, :cut], torch.tensor([cut])),))
        assert torch.allclose(alone[0], together[row], atol=1e-5)
    assert together.std(0).min() > 1e-3


def test_frozen_leaves_the_body_to_the_bit_and_learns_the_classification_layer(source, source_uri):
    model = train(*frames_of(3, seed=1), transfer="frozen", source=source_uri, lr=0.01)
    changes = moved(model, source)
    assert {name.rsplit(".", 1)[1] for name in changes} >= {"weight", "running_mean", "running_var"}
    assert set(changes.values()) == {0.0}
    network = network_of(model)
    start = network_of(replace_classes(model, source_uri))
    assert (network.logits.weight - start.logits.weight).abs().max() > 1e-3
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {
        "logits.weight",
        "logits.bias",
    }


def replace_classes(model: Model, source_uri: str) -> Model:
    """The model as its training began."""
    classifier = NetworkClassifier(KIND, model.settings, 0)
    classifier.classes_, classifier.shapes = np.arange(3), (WIDE,)
    classifier.network = classifier.built()
    return replace(model, classifier=classifier)


def test_only_what_is_frozen_is_in_evaluation_while_the_rest_learns(source_uri):
    frozen = build(**SMALL, transfer="frozen", source=source_uri).train()
    assert not any(module.training for module in frozen.body.modules())
    assert frozen.dropout.training
    tuned = build(**SMALL, transfer="fine_tune", source=source_uri).train()
    assert all(module.training for module in tuned.modules())


def test_fine_tune_moves_the_body_a_tenth_as_far_as_the_classification_layer(source, source_uri):
    model = train(*frames_of(3, seed=1), transfer="fine_tune", source=source_uri, epochs=1, batch=24)
    changes = moved(model, source)
    learned = {name for name, _ in network_of(model).body.named_parameters()}
    assert max(changes[name] for name in learned) == pytest.approx(
        1e-4, rel=0.1
    )  # a step of Adam is its rate
    assert min(changes[name] for name in learned) > 0.0
    assert changes["blocks.blocks.0.normalisation.running_mean"] > 0.0
    start = network_of(replace_classes(model, source_uri)).logits.weight
    assert (network_of(model).logits.weight - start).abs().max().item() == pytest.approx(1e-3, rel=0.1)


def test_from_scratch_all_layers_learn_at_one_rate():
    (group,) = _groups(build(**SMALL), LoopOptions())
    assert group["scale"] == 1.0
    assert len(group["params"]) == len(list(build(**SMALL).parameters()))


def test_the_seed_alone_draws_the_classification_layer(source_uri):
    scratch = build(**SMALL)
    for transfer in ("frozen", "fine_tune"):
        network = build(**SMALL, transfer=transfer, source=source_uri)
        assert torch.equal(network.logits.weight, scratch.logits.weight)
        assert not torch.equal(network.body.dense.weight, scratch.body.dense.weight)


@pytest.mark.parametrize("transfer", ["frozen", "fine_tune"])
def test_inputs_are_standardised_as_the_source_did(transfer, source, source_uri):
    X, y = frames_of(3, seed=1, level=-70.0)
    classifier = train(X, y, transfer=transfer, source=source_uri).classifier
    theirs = source.classifier.scaling  # type: ignore[attr-defined]
    for ours, given in zip(classifier.scaling.means, theirs.means, strict=True):
        np.testing.assert_array_equal(ours, given)
    for ours, given in zip(classifier.scaling.deviations, theirs.deviations, strict=True):
        np.testing.assert_array_equal(ours, given)
    own = train(X, y).classifier.scaling
    assert np.abs(own.means[0] - theirs.means[0]).min() > 10.0


@pytest.mark.parametrize("transfer", ["frozen", "fine_tune"])
def test_a_saved_model_needs_no_source(transfer, source_uri, tmp_path):
    shutil.copytree(source_uri, tmp_path / "sounds")
    X, y = frames_of(3, seed=1)
    model = train(X, y, transfer=transfer, source=str(tmp_path / "sounds"))
    save_model(model, str(tmp_path / "emotions"))
    shutil.rmtree(tmp_path / "sounds")
    loaded = load_model(str(tmp_path / "emotions"))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.settings["transfer"] == transfer
    again = load_model(str(tmp_path / "emotions"))
    save_model(again, str(tmp_path / "copy"))
    np.testing.assert_array_equal(load_model(str(tmp_path / "copy")).predict_proba(X), model.predict_proba(X))


def test_a_model_that_came_from_a_source_can_be_one(source, source_uri, tmp_path):
    save_model(train(*frames_of(3, seed=1), transfer="frozen", source=source_uri), str(tmp_path / "second"))
    third = train(*frames_of(2, seed=2), transfer="frozen", source=str(tmp_path / "second"))
    assert set(moved(third, source).values()) == {0.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer": "frozen"}, "transfer=frozen starts from a model of general sounds.*source=MODEL"),
        ({"transfer": "fine_tune"}, "transfer=fine_tune starts from a model of general sounds"),
        ({"source": "there"}, "transfer=scratch starts from no source. Set transfer to frozen or fine_tune"),
        (
            {"transfer": "half"},
            "transfer='half' does not exist. Set it to one of: scratch, frozen, fine_tune",
        ),
        ({"dropout": 1.0}, "dropout=1.0 is no share"),
        ({"hidden": 0}, "hidden=0 is too small"),
        ({"frames": -1}, "is no window"),
        ({"shape": (None,)}, "reads frames of columns"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_set_instead(changes, message):
    with pytest.raises(UsageError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 9}, "has hidden=8, this network hidden=9. Set hidden=8"),
        ({"channels": "4-8"}, "has channels=4-6, this network channels=4-8. Set channels=4-6"),
        ({"shape": NARROW}, r"the source reads inputs of \[\(None, 64\)\], not \[\(None, 40\)\]"),
    ],
)
def test_a_source_of_another_shape_is_refused(changes, message, source_uri):
    with pytest.raises(UsageError, match=message):
        build(**{**SMALL, **changes, "transfer": "frozen", "source": source_uri})


def test_a_source_that_is_missing_of_another_family_or_corrupt_is_refused(source_uri, tmp_path, models):
    options = {**SMALL, "transfer": "fine_tune"}
    with pytest.raises(MissingInput, match="model not found"):
        build(**options, source=str(tmp_path / "nowhere"))
    save_model(models["svm"], str(tmp_path / "svm"))
    with pytest.raises(UsageError, match=r"is a svm\. Give a transfer_cnn: ser-ray train transfer_cnn"):
        build(**options, source=str(tmp_path / "svm"))
    shutil.copytree(source_uri, tmp_path / "cut")
    weights = Path(tmp_path / "cut" / "network.safetensors")
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(BadModel, match="corrupt"):
        build(**options, source=str(tmp_path / "cut"))


@pytest.mark.parametrize(
    ("spec", "normalise", "message"),
    [
        ("logmel(bands=40)", "none", r"reads logmel, and to read logmel\(bands=40\) itself"),
        ("logmel(band=telephone)", "none", "the same --feature and --band"),
        ("logmel", "cmvn", "Train both without --normalise"),
    ],
)
def test_features_that_the_source_did_not_read_are_refused(spec, normalise, message, source_uri):
    kind, chosen = family("transfer_cnn"), (features.get(spec),)
    settings = kind.settings({**SMALL, "transfer": "frozen", "source": source_uri})
    with pytest.raises(UsageError, match=message):
        check_source(kind, settings, chosen, normalisations.get(normalise))
    check_source(kind, settings, (FEATURE,), None)
    check_source(
        kind, kind.settings(SMALL), chosen, normalisations.get(normalise)
    )  # from scratch all will do
