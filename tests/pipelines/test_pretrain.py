"""Pre-training through Ray: several workers, one that dies, waves from a store, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch

from ser_ray import cli, features, storage
from ser_ray.audio.decode import read_audio
from ser_ray.corpora import read_manifest, write_manifest
from ser_ray.corpora.manifest import SCHEMA
from ser_ray.errors import BadManifest, BadStore, OutputConflict, UsageError
from ser_ray.features.wav2vec_checkpoint import read_wav2vec
from ser_ray.pipelines.distributed import Workers
from ser_ray.pipelines.pretrain import pretrain
from ser_ray.pipelines.pretrain_job import PretrainJob

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.cluster]

SETTINGS = {"size": "tiny", "crop_s": 0.3, "batch": 8, "epochs": 5, "held_out": 0.2}
SETTINGS |= {"lr": 1e-3, "encoder_rate": 1.0}  # a few steps of all layers lower the loss more


@pytest.fixture(scope="module")
def speech(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A manifest of 24 utterances whose emotion nobody knows."""
    table = read_manifest(corpus).slice(0, 24)
    place = table.schema.get_field_index("emotion")
    table = table.set_column(place, SCHEMA.field("emotion"), pa.nulls(len(table), pa.string()))
    uri = str(tmp_path_factory.mktemp("speech") / "manifest.parquet")
    write_manifest(table, uri)
    return uri


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("waves") / "store")


def workers_alive() -> list[psutil.Process]:
    """Of this process's own Ray: other tests may run beside this one."""
    children = psutil.Process().children(recursive=True)
    return [p for p in children if "RayTrainWorker" in " ".join(p.cmdline() or [])]


def test_two_workers_of_which_one_is_killed_end_with_the_weights_of_one_alone(
    speech: str, store: str, tmp_path: Path
) -> None:
    manifest, place = read_manifest(speech), str(tmp_path / "checkpoints")
    alone, both = str(tmp_path / "alone.safetensors"), str(tmp_path / "both.safetensors")
    first = pretrain(manifest, alone, store, Workers(1, place), SETTINGS)
    killed: list[int] = []

    def kill_one(done: int, total: int, counted: str) -> None:
        if counted == "epochs" and 2 <= done < SETTINGS["epochs"] and not killed:
            victim = workers_alive()[-1]
            killed.append(victim.pid)
            victim.kill()

    second = pretrain(manifest, both, store, Workers(2, place), SETTINGS, progress=kill_one)
    assert killed
    for row, other in zip(first["curve"], second["curve"], strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    for name, tensor in read_wav2vec(alone).state_dict().items():
        torch.testing.assert_close(tensor, read_wav2vec(both).state_dict()[name], atol=1e-5, rtol=1e-4)
    assert not Path(place).exists()
    assert (first["utterances"], first["held_out"], first["left_out"]) == (19, 5, {})


def test_streamed_waves_are_all_heard_and_held_out_alike(speech: str, store: str, tmp_path: Path) -> None:
    out, together = str(tmp_path / "tiny.safetensors"), Workers(2, str(tmp_path / "c"), stream=True)
    card = pretrain(read_manifest(speech), out, store, together, {**SETTINGS, "epochs": 3, "lr": 2e-3})
    losses = [row["held_out_loss"] for row in card["curve"]]
    assert len(losses) == 3
    assert card["loss"] == min(losses) < losses[0]
    assert read_wav2vec(out).dim == card["dim"] == 64


def test_the_command_writes_a_checkpoint_that_the_feature_reads_and_its_card(
    speech: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny.safetensors"
    settings = ["--set", "size=tiny", "--set", "crop_s=1.9", "--set", "epochs=1", "--set", "batch=4"]
    command = ["ser-ray", "pretrain", speech, "-o", str(out), *settings, "--band", "telephone", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    card = json.loads(capsys.readouterr().out)
    assert card.pop("checkpoint") == str(out)
    assert card == json.loads((tmp_path / "tiny.safetensors.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {out.name, f"{out.name}.json"}
    short = card["left_out"]["shorter than 1.9 s"]
    assert short > 0
    assert card["utterances"] + card["held_out"] + short == 24
    assert (card["corpora"], card["band"], card["settings"]["crop_s"]) == (["synthetic"], "telephone", 1.9)
    assert card["hours"] * 3600 > 1.9 * card["utterances"]
    wave, _ = read_audio(read_manifest(speech)["uri"][0].as_py(), 16000)
    with torch.no_grad():
        context = read_wav2vec(str(out))(torch.from_numpy(wave)[None])[0].mean(dim=1)
    feature = features.get(f"wav2vec(checkpoint={out})")
    np.testing.assert_allclose(feature(wave), context.numpy(), atol=1e-5)
    with pytest.raises(OutputConflict, match=r"exists\. Choose another -o"):
        PretrainJob.of(manifest=speech, out=str(out)).run()


@pytest.mark.parametrize(
    ("settings", "workers", "error", "cause"),
    [
        ({"crop_s": 60}, 1, BadManifest, r"0 of 24 utterances last 60 s or longer.* lower crop_s"),
        ({"speed": 1}, 1, UsageError, "has no setting 'speed'"),
        ({"batch": 1}, 2, UsageError, "a batch of 1 is too small for 2 workers"),
        ({"start": "/no/such.pt"}, 1, UsageError, "not found: /no/such.pt"),
    ],
)
def test_what_cannot_be_pretrained_is_refused(
    speech: str, store: str, tmp_path: Path, settings: dict[str, Any], workers: int, error: type, cause: str
) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(error, match=cause):
        pretrain(read_manifest(speech), out, store, Workers(workers, str(tmp_path / "c")), settings)
    assert not storage.exists(out)


def test_manifests_without_audio_are_refused(speech: str, tmp_path: Path) -> None:
    together, table = Workers(1, str(tmp_path / "c")), read_manifest(speech)
    with pytest.raises(BadManifest, match="lists no utterance"):
        pretrain(table.slice(0, 0), str(tmp_path / "out"), str(tmp_path / "s"), together, SETTINGS)
    place = table.schema.get_field_index("uri")
    gone = table.set_column(place, SCHEMA.field("uri"), pa.array(["/no/such.wav"] * len(table)))
    with pytest.raises(BadStore, match="all 24 utterances failed"):
        pretrain(gone, str(tmp_path / "out"), str(tmp_path / "s"), together, SETTINGS)


def test_a_folder_is_no_checkpoint(speech: str, tmp_path: Path) -> None:
    with pytest.raises(OutputConflict, match="Name a file, such as"):
        PretrainJob.of(manifest=speech, out=str(tmp_path), overwrite=True).run()
