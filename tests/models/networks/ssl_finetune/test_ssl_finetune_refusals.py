"""What no network is made of: foreign code, spoilt plans, settings and waves that make no sense."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import torch

from ser_ray.errors import BadModel, MissingInput, UsageError
from ser_ray.models.networks.classifier import all_settings
from ser_ray.models.networks.network import Padded
from ser_ray.models.networks.ssl_finetune import PLAN
from tests.models.networks.ssl_finetune.checkpoints import KIND, build

pytest.importorskip("transformers", reason="the extra ssl is not installed")


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
