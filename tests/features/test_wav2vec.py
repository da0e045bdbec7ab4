import argparse
import dataclasses
import math
import os
import pickle
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch

from ser_ray import errors, features
from ser_ray.features.wav2vec_checkpoint import read_wav2vec, write_wav2vec
from ser_ray.features.wav2vec_network import RECEPTIVE_FIELD, Wav2Vec
from tests.threads import one_thread  # noqa: F401

FIRST = "feature_extractor.conv_layers.0.0.weight"


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def tiny(seed: int = 0) -> Wav2Vec:
    torch.manual_seed(seed)
    return Wav2Vec("tiny")


def save(path, model, zipped: bool = True, **others) -> str:
    args = argparse.Namespace(arch="wav2vec", conv_feature_layers="[(512, 10, 5)]", dropout=0.0)
    torch.save({"args": args, "model": model, **others}, path, _use_new_zipfile_serialization=zipped)
    return str(path)


@pytest.fixture
def checkpoint(tmp_path):
    return save(tmp_path / "wav2vec_tiny.pt", tiny().state_dict())


@pytest.fixture
def feature(checkpoint):
    return features.get(f"wav2vec(checkpoint={checkpoint})")


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_checkpoint_gives_back_the_network_it_was_saved_from(tmp_path, form):
    network, path = tiny(), str(tmp_path / "checkpoint")
    if form == "safetensors":
        write_wav2vec(network, path)
    else:
        save(path, network.state_dict(), zipped=form == "zip", optimizer_history=[{"num_updates": 3}])
    found = read_wav2vec(path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_half_precision_weights_are_read_as_floats(tmp_path):
    model = {name: tensor.half() for name, tensor in tiny().state_dict().items()}
    found = read_wav2vec(save(tmp_path / "half.pt", model)).state_dict()
    assert all(tensor.dtype == torch.float32 and torch.equal(tensor, model[n]) for n, tensor in found.items())


class Payload:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["args", "model", "beside"])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, zipped, place):
    payload, content = Payload(tmp_path / "ran"), {"args": argparse.Namespace(), "model": tiny().state_dict()}
    content["args" if place == "args" else "extra"] = argparse.Namespace(x=payload)
    if place == "model":
        content["model"] = {"weight": payload}
    torch.save(content, tmp_path / "bad.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(errors.BadModel, match=r"asks for posix.mkdir.*nothing of it was run"):
        features.get(f"wav2vec(checkpoint={tmp_path / 'bad.pt'})")
    assert not (tmp_path / "ran").exists()
    assert pickle.loads(pickle.dumps(payload)) is None  # the payload itself works
    assert (tmp_path / "ran").exists()


def test_only_namespaces_are_allowed_and_only_while_reading(checkpoint):
    read_wav2vec(checkpoint)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def changed(change) -> dict:
    model = dict(tiny().state_dict())
    change(model)
    return model


DAMAGES = {
    "missing": (lambda m: m.pop(FIRST), [f"{FIRST} is missing"]),
    "extra": (lambda m: m.update(extra=torch.zeros(2)), ["extra is unknown"]),
    "renamed": (lambda m: m.update(first=m.pop(FIRST)), [f"{FIRST} is missing", "first is unknown"]),
    "transposed": (
        lambda m: m.update({FIRST: m[FIRST].permute(2, 1, 0)}),
        [f"{FIRST} is [10, 1, 64], not [64, 1, 10]"],
    ),
    "integers": (lambda m: m.update({FIRST: m[FIRST].long()}), [f"{FIRST} holds torch.int64"]),
    "nan": (lambda m: m.update({FIRST: m[FIRST] * math.nan}), ["NaN or infinite weights", FIRST]),
    "all": (lambda m: m.clear(), ["is missing", "and 68 more"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_tensors_that_do_not_fit_are_named(tmp_path, damage):
    change, named = DAMAGES[damage]
    with pytest.raises(errors.BadModel) as caught:
        read_wav2vec(save(tmp_path / "bad.pt", changed(change)))
    assert all(text in str(caught.value) for text in named), caught.value


def test_safetensors_are_checked_alike(tmp_path):
    model = changed(lambda m: m.pop(FIRST))
    safetensors.torch.save_file(model, tmp_path / "bad.safetensors")
    with pytest.raises(errors.BadModel, match=f"{FIRST} is missing"):
        read_wav2vec(str(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 1000, 0.5, 0.999])
def test_a_file_cut_short_is_a_bad_model(tmp_path, form, kept):
    path = tmp_path / "whole"
    if form == "safetensors":
        write_wav2vec(tiny(), str(path))
    else:
        save(path, tiny().state_dict(), zipped=form == "zip")
    whole = path.read_bytes()
    (tmp_path / "cut").write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(errors.BadModel, match=r"copy it again|Give the path"):
        read_wav2vec(str(tmp_path / "cut"))


@pytest.mark.parametrize("content", [[1, 2], {"weights": {}}, {"model": [1]}, {"model": {"a": 1}}])
def test_a_file_without_a_model_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(errors.BadModel, match="no `model` with tensors"):
        read_wav2vec(str(tmp_path / "other.pt"))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "song.wav").write_bytes(b"RIFF" + bytes(2000))
    with pytest.raises(errors.BadModel, match="neither a PyTorch nor a safetensors file"):
        read_wav2vec(str(tmp_path / "song.wav"))


def test_the_feature_is_the_mean_of_the_context(feature, checkpoint):
    wave = noise(16000)
    with torch.no_grad():
        context = read_wav2vec(checkpoint).eval()(torch.from_numpy(wave)[None])[0]
    assert feature.shape == (64,)
    assert feature.names[:2] + feature.names[-1:] == ("c0", "c1", "c63")
    np.testing.assert_allclose(feature(wave), context.mean(dim=1).numpy(), atol=1e-6)


def test_a_batch_equals_single_calls(feature):
    waves = [noise(n, seed) for seed, n in enumerate((16000, 1, 8000, 464, 16000, 465, 8000, 8001))]
    for wave, vector in zip(waves, feature.batch(waves), strict=True):
        np.testing.assert_allclose(vector, feature(wave), atol=1e-5)


def test_a_wave_shorter_than_a_frame_is_filled_up_with_zeros(feature):
    short = noise(100)
    np.testing.assert_array_equal(feature(short), feature(np.pad(short, (0, RECEPTIVE_FIELD - 100))))


def test_a_long_wave_is_the_mean_over_its_windows(feature):
    wave = noise(31 * 16000)
    halves = [feature(wave[: len(wave) // 2]), feature(wave[len(wave) // 2 :])]
    np.testing.assert_allclose(feature(wave), np.mean(halves, axis=0), atol=1e-5)


def test_extreme_samples_are_unreadable_rather_than_nan(feature):
    with pytest.raises(errors.UnreadableAudio) as caught:
        feature(np.full(1000, 1e38, np.float32) * (-1) ** np.arange(1000))
    assert caught.value.kind == "not_finite"


def test_a_checkpoint_may_lie_wherever_fsspec_opens_it(feature):
    write_wav2vec(tiny(), "memory://models/tiny.safetensors")
    remote = features.get("wav2vec(checkpoint=memory://models/tiny.safetensors)")
    np.testing.assert_array_equal(remote(noise(4000)), feature(noise(4000)))
    with pytest.raises(errors.MissingInput, match=r"memory://models/none\.pt"):
        features.get("wav2vec(checkpoint=memory://models/none.pt)")


def test_fingerprint_follows_the_weights_not_the_path(tmp_path, feature, checkpoint):
    moved = shutil.copy(checkpoint, tmp_path / "elsewhere.pt")
    assert features.get(f"wav2vec(checkpoint={moved})").fingerprint == feature.fingerprint
    before, vector = feature.fingerprint, feature(noise(4000))
    save(checkpoint, tiny(1).state_dict())
    os.utime(checkpoint, ns=(1, 1))
    assert feature.fingerprint != before
    assert not np.allclose(feature(noise(4000)), vector)


def test_fingerprint_changes_with_band_and_version(feature):
    newer = type("Newer", (type(feature),), {"version": 2})(checkpoint=feature.checkpoint)
    prints = {feature.fingerprint, feature.with_band("telephone").fingerprint, newer.fingerprint}
    assert len(prints) == 3


def test_the_telephone_variant_stays_at_16_khz(feature):
    narrow = feature.with_band("telephone")
    assert (narrow.band, narrow.rate, narrow.checkpoint) == ("telephone", 16000, feature.checkpoint)
    assert narrow.with_band("wide") == feature
    with pytest.raises(errors.UsageError, match="rate=8000"):
        dataclasses.replace(feature, rate=8000)


def test_spec_is_read_back_from_any_folder(monkeypatch, tmp_path, feature, checkpoint):
    monkeypatch.chdir(tmp_path)
    relative = features.get("wav2vec(checkpoint=wav2vec_tiny.pt)")
    monkeypatch.chdir("/")
    assert features.get(relative.spec) == feature
    assert relative.fingerprint == feature.fingerprint


def test_it_travels_without_its_weights(feature):
    sent = pickle.dumps(feature)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)(noise(4000)), feature(noise(4000)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("wav2vec", r"needs the weights.*wav2vec\(checkpoint=/models/wav2vec_large.pt\)"),
        ("wav2vec(checkpoint=/no/such/file.pt)", "checkpoint not found: /no/such/file.pt"),
        ("wav2vec(checkpoint=/)", "is a folder. Name the file"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_refused_at_once(spec, message):
    with pytest.raises(errors.UsageError, match=message):
        features.get(spec)


def test_a_working_folder_with_brackets_is_refused(monkeypatch, tmp_path, checkpoint):
    (tmp_path / "a(b)").mkdir()
    shutil.copy(checkpoint, tmp_path / "a(b)" / "tiny.pt")
    monkeypatch.chdir(tmp_path / "a(b)")
    with pytest.raises(errors.UsageError, match="brackets and commas"):
        features.get("wav2vec(checkpoint=tiny.pt)")
