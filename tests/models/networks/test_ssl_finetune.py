from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ser_ray import features
from ser_ray.errors import BadModel, MissingInput, UsageError
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.loop import LoopOptions, _groups
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.ssl_finetune import NETWORKS, PLAN

transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")

from ser_ray.features.ssl_checkpoint import KINDS  # noqa: E402
from ser_ray.features.ssl_encoder import load_encoder  # noqa: E402

[KIND] = NETWORKS
TINY = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8,) * 7, "num_conv_pos_embedding_groups": 2, "vocab_size": 8, "hidden_dropout": 0.1,
}  # fmt: skip
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 9}
GROUP = {"feat_extract_norm": "group", "num_conv_pos_embeddings": 8}
WHISPER = {
    "d_model": 16, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "num_mel_bins": 20,
    "max_source_positions": 100, "vocab_size": 8, "pad_token_id": 0, "bos_token_id": 0,
    "eos_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
MODELS = {
    "wav2vec2_group": ("Wav2Vec2", TINY | GROUP),
    "wav2vec2_layer": ("Wav2Vec2", TINY | STABLE | {"mask_time_length": 2, "layerdrop": 0.5}),
    "hubert_layer": ("Hubert", TINY | STABLE),
    "wavlm_group": ("WavLM", TINY | GROUP),
    "wavlm_layer": ("WavLM", TINY | STABLE | {"add_adapter": True}),
    "data2vec": ("Data2VecAudio", TINY | {"num_conv_pos_embeddings": 2}),
    "whisper": ("Whisper", WHISPER | {"encoder_layerdrop": 0.5}),
}
every_encoder = pytest.mark.parametrize("name", list(MODELS))
LENGTHS = [16000, 9000, 12345, 16000, 2000, 400, 399, 1]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A tiny checkpoint of each kind with random weights, in the format of the Hugging Face hub."""
    root = tmp_path_factory.mktemp("checkpoints")
    for name, (family, sizes) in MODELS.items():
        torch.manual_seed(1)
        model = getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")(**sizes))
        model.save_pretrained(root / name)
        if name == "whisper":
            extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2)
        else:
            extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
        extractor.save_pretrained(root / name)
    return {name: str(root / name) for name in MODELS}


@pytest.fixture
def folder(folders, tmp_path):
    """A checkpoint to be spoilt."""
    return shutil.copytree(folders["wav2vec2_layer"], tmp_path / "checkpoint")


def build(checkpoint: Any, seed: int = 0, **changes: Any) -> nn.Module:
    torch.manual_seed(seed)
    settings = {**all_settings(KIND), "hidden": "12", "checkpoint": str(checkpoint), **changes}
    return KIND.build([(None, 1)], 3, settings)


def waves(lengths: list[int], beyond: float = 0.0, extra: int = 0) -> Padded:
    """The same utterances whatever lies beyond them."""
    drawn = 0.02 + 0.1 * torch.randn(len(lengths), 17000, 1, generator=torch.Generator().manual_seed(0))
    values = drawn[:, : max(lengths) + extra].clone()
    for row, length in zip(values, lengths, strict=True):
        row[length:] = beyond
    return Padded(values, torch.tensor(lengths))


def one(lengths: list[int], row: int) -> Padded:
    return Padded(waves(lengths).values[row : row + 1, : lengths[row]], torch.tensor([lengths[row]]))


def test_it_reads_eight_seconds_at_16_khz_whatever_the_band():
    [spec] = KIND.features
    for feature in (features.get(spec), features.with_band(spec, "telephone")):
        assert feature.rate == 16000
        assert feature(np.zeros(200_000, np.float32)).shape == (128_000, 1)


def test_defaults_and_space_are_plain_data_that_network_or_loop_know():
    assert json.loads(json.dumps([KIND.defaults, KIND.space])) == [dict(KIND.defaults), dict(KIND.space)]
    assert set(KIND.space) <= set(KIND.defaults) | {f.name for f in fields(LoopOptions)}


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@every_encoder
@torch.no_grad()
def test_padding_changes_no_logit(folders, name, pooling):
    network = build(folders[name], pooling=pooling).eval()
    network.head.logits.weight *= 10.0
    together = network((waves(LENGTHS, beyond=1000.0, extra=7),))
    for row in range(len(LENGTHS)):
        assert torch.allclose(network((one(LENGTHS, row),))[0], together[row], atol=1e-5)
    assert together.std(0).min() > 0.1  # utterances differ, so do their logits


@every_encoder
@torch.no_grad()
def test_the_mean_over_its_frames_is_the_feature_ssl(folders, name):
    network, pooled = build(folders[name]).eval(), []
    network.head.pooling.register_forward_hook(lambda module, given, result: pooled.append(result[0]))
    feature = features.get(f"ssl(checkpoint={folders[name]})")
    for row in range(len(LENGTHS)):
        network((one(LENGTHS, row),))
        expected = feature(one(LENGTHS, row).values.flatten().numpy())
        np.testing.assert_allclose(pooled[row], expected, atol=1e-5)


@every_encoder
def test_convolutions_keep_their_weights_and_all_else_is_tuned(folders, name):
    network = build(folders[name], dropout=0.0)
    options = LoopOptions(lr=1e-3)
    optimiser = torch.optim.AdamW(
        [{**group, "lr": 1e-3 * group["scale"]} for group in _groups(network, options)], weight_decay=0.0
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    assert not network.encoder.stages()[0][0].training
    nn.functional.cross_entropy(network((waves([3000, 5000, 3000]),)), torch.tensor([0, 1, 2])).backward()
    optimiser.step()
    front = ("conv1.", "conv2.", "embed_positions.") if name == "whisper" else ("feature_extractor.",)
    for key, parameter in network.named_parameters():
        moved = (parameter - before[key]).abs().max().item()
        if key.removeprefix("encoder.network.").startswith(front):
            assert (moved, parameter.requires_grad, parameter.grad) == (0.0, False, None), key
        elif "k_proj.bias" not in key:  # which moves no attention: a softmax minds no shift
            # A first step of Adam is as long as the rate.
            assert moved == pytest.approx(2e-5 if key.startswith("encoder.") else 1e-3, rel=0.3), key


def tuned(network: nn.Module) -> set[str]:
    """Parts of the encoder with a gradient, blocks by number."""
    names = {key for key, value in network.encoder.network.named_parameters() if value.requires_grad}
    short = {name.removeprefix("encoder.").replace("layers.", "block ") for name in names}
    return {" ".join(name.split(".")[:1]) for name in short}


BEFORE = {"feature_projection", "pos_conv_embed"}


@pytest.mark.parametrize(
    ("name", "below", "expected"),
    [
        ("wav2vec2_group", 0, {*BEFORE, "layer_norm", "block 0", "block 1", "block 2"}),
        ("wav2vec2_group", 1, {"block 0", "block 1", "block 2"}),
        ("wav2vec2_group", 3, {"block 2"}),
        ("wav2vec2_group", 4, set()),
        ("wav2vec2_layer", 0, {*BEFORE, "layer_norm", "block 0", "block 1", "block 2"}),
        ("wav2vec2_layer", 2, {"block 1", "block 2", "layer_norm"}),  # which closes the stack
        ("wav2vec2_layer", 4, set()),
        ("data2vec", 1, {"block 0", "block 1", "block 2"}),
        ("whisper", 0, {"block 0", "block 1", "block 2", "layer_norm"}),
        ("whisper", 3, {"block 2", "layer_norm"}),
        ("whisper", 4, set()),
    ],
)
def test_what_lies_below_the_chosen_block_is_frozen(folders, name, below, expected):
    network = build(folders[name], frozen_below=below).train()
    assert tuned(network) == expected
    for module in network.encoder.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            assert not module.training
    if below and name != "whisper":
        assert not network.encoder.network.encoder.dropout.training
    assert any(module.training for module in network.encoder.modules()) == bool(expected)
    assert all(p.requires_grad for p in network.head.parameters())


@pytest.mark.parametrize("name", ["wav2vec2_layer", "whisper"])
def test_training_draws_from_the_seed_alone_and_skips_no_block(folders, name):
    def trained(chance: int) -> dict[str, torch.Tensor]:
        np.random.seed(chance)  # from which transformers would draw masks
        if chance == 1:
            load_encoder.cache_clear()  # which draws weights while it loads
        network = build(folders[name]).train()
        torch.manual_seed(7)
        network((waves([16000, 9000]),)).square().sum().backward()
        return {key: p.grad for key, p in network.named_parameters() if p.requires_grad}

    first, second = trained(1), trained(2)
    for key, gradient in first.items():
        assert torch.equal(gradient, second[key]), key
        assert gradient.abs().max() > 0 or "k_proj.bias" in key, key


@pytest.mark.parametrize("name", ["wav2vec2_group", "wavlm_layer", "whisper"])
def test_a_saved_network_needs_no_checkpoint(folders, name, tmp_path):
    place = shutil.copytree(folders[name], tmp_path / "gone")
    network = build(place).eval()
    shutil.rmtree(place)
    again = build(place, seed=1, **network.rebuilt_with).eval()
    inputs = (waves(LENGTHS),)
    with torch.no_grad():
        assert not torch.allclose(again(inputs), network(inputs), atol=1e-3)
        again.load_state_dict(network.state_dict())
        assert torch.equal(again(inputs), network(inputs))
    assert again.rebuilt_with == network.rebuilt_with
    assert json.loads(json.dumps(network.rebuilt_with)) == network.rebuilt_with


def test_it_learns_and_is_the_same_to_the_bit_after_saving(folders, tmp_path):
    rng = np.random.default_rng(0)
    X, y = np.empty(8, object), np.arange(8) % 2
    for row in range(8):
        wave = rng.normal(0, 0.1, 2400 + 40 * row)
        if y[row]:
            wave = np.convolve(wave, np.ones(16) / 4, "same")  # of lower pitch
        X[row] = wave.astype(np.float32)[:, None]
    given = {"checkpoint": folders["hubert_layer"], "epochs": 25, "patience": 25, "held_out": 0.0}
    settings = {**all_settings(KIND), **given, "dropout": 0.0, "encoder_rate": 1.0, "lr": 5e-3, "batch": 4}
    classifier = NetworkClassifier(KIND, settings, 0).fit(X, y)
    right = classifier.predict_proba(X)[np.arange(8), y]
    assert right.min() > 0.5
    assert -np.log(right).mean() < 0.5 * np.log(2)
    classifier.save(tmp_path)
    Path(folders["hubert_layer"]).rename(tmp_path / "moved")  # what is saved needs no checkpoint
    loaded = NetworkClassifier.load(KIND, tmp_path)
    Path(tmp_path / "moved").rename(folders["hubert_layer"])
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_training_leaves_the_encoder_of_the_feature_as_it_was(folders):
    feature, wave = features.get(f"ssl(checkpoint={folders['hubert_layer']})"), np.ones(4000, np.float32)
    wave[::7] = -1.0
    before = feature(wave)
    network = build(folders["hubert_layer"])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1
    np.testing.assert_array_equal(feature(wave), before)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_weights_is_refused_and_not_run(folder, tmp_path):
    Path(folder, "model.safetensors").unlink()
    torch.save({"masked_spec_embed": Payload(tmp_path / "ran")}, Path(folder, "pytorch_model.bin"))
    with pytest.raises(BadModel, match=r"asks for posix\.mkdir"):
        build(folder)
    assert not (tmp_path / "ran").exists()


def test_python_files_of_a_checkpoint_are_not_run(folder, tmp_path):
    place = Path(folder, "config.json")
    evil = {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    place.write_text(json.dumps({**json.loads(place.read_text()), **evil}))
    Path(folder, "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    network = build(folder)
    assert "evil" not in network.rebuilt_with[PLAN]
    assert not (tmp_path / "ran").exists()


def test_a_spoilt_plan_is_refused_and_what_it_should_not_hold_is_passed_over(folders):
    network = build(folders["hubert_layer"])
    plan = json.loads(network.rebuilt_with[PLAN])
    more = {"auto_map": {"AutoModel": "evil.Model"}, "_attn_implementation": "someone/kernels", "name": 3}
    spoilt = {**plan, "configuration": {**plan["configuration"], **more}}
    again = build("", **{PLAN: json.dumps(spoilt)})
    configuration = again.encoder.network.config
    assert configuration._attn_implementation == "sdpa"
    assert not hasattr(configuration, "auto_map")
    again.load_state_dict(network.state_dict())
    for wrong, message in [
        ("{", "no readable plan"),
        ("[]", "no readable plan"),
        (json.dumps({**plan, "more": 1}), "no readable plan"),
        (json.dumps({**plan, "kind": "bert"}), "unknown kind 'bert'"),
        (json.dumps({**plan, "kind": ["bert"]}), "unknown kind"),
        (json.dumps({**plan, "configuration": {"hidden_size": "wide"}}), "cannot build the encoder"),
        (json.dumps({**plan, "configuration": 3}), "cannot build the encoder"),
    ]:
        with pytest.raises(BadModel, match=message):
            build("", **{PLAN: wrong})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": ""}, "Name them: checkpoint=microsoft/wavlm-base-plus"),
        ({"frozen_below": 5}, r"blocks 1 to 3; set it to 0 .* to 4"),
        ({"frozen_below": -1}, "frozen_below=-1"),
        ({"pooling": "first"}, "pooling='first' does not exist"),
        ({"hidden": "wide"}, "Write them like"),
        ({"revision": "main"}, "is a folder: it has no revision main"),
    ],
)
def test_settings_that_make_no_sense_are_refused(folders, changes, message):
    with pytest.raises(UsageError, match=message):
        build(**{"checkpoint": folders["hubert_layer"], **changes})


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInput, match="checkpoint not found"):
        build(tmp_path / "none")


def test_features_that_are_no_samples_are_refused(folders):
    settings = {**all_settings(KIND), "checkpoint": folders["hubert_layer"]}
    with pytest.raises(UsageError, match="Give it the feature waveform_16k"):
        KIND.build([(None, 40)], 3, settings)


def test_a_wave_beyond_whispers_window_is_refused(folders):
    network = build(folders["whisper"]).eval()
    network((Padded(torch.zeros(1, 32000, 1), torch.tensor([32000])),))
    with pytest.raises(UsageError, match=r"at most 2 s.*waveform_16k\(seconds=2\)"):
        network((Padded(torch.zeros(2, 32001, 1), torch.tensor([32001, 9])),))


def test_without_transformers_the_command_that_installs_it_is_told(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'ser-ray\[ssl\]'"):
        build(folders["hubert_layer"])


def test_every_kind_is_among_those_tried(folders):
    found = {json.loads(Path(folder, "config.json").read_text())["model_type"] for folder in folders.values()}
    assert found == set(KINDS)
