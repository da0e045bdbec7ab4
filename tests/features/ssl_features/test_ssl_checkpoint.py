import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")

from ser_ray import errors, features  # noqa: E402


def weights_of(folder) -> dict:
    from safetensors.torch import load_file

    return load_file(f"{folder}/model.safetensors")


def as_bin(folder, weights) -> None:
    Path(folder, "model.safetensors").unlink()
    torch.save(weights, f"{folder}/pytorch_model.bin")


def test_older_checkpoints_load_with_tensors_alone(folder, folders, get, noise):
    old = {"original0": "weight_g", "original1": "weight_v"}
    weights = weights_of(folder)
    for name in [name for name in weights if "parametrizations" in name]:
        prefix, _, which = name.partition(".parametrizations.weight.")
        weights[f"{prefix}.{old[which]}"] = weights.pop(name)
    as_bin(folder, weights)
    np.testing.assert_array_equal(get(folder)(noise(4000)), get(folders["wav2vec2_layer"])(noise(4000)))


def test_shards_are_read_and_missing_ones_named(folder, folders, get, build, noise):
    build("wav2vec2_layer").save_pretrained(folder, max_shard_size="20KB")
    Path(folder, "model.safetensors").unlink()
    shards = sorted(Path(folder).glob("model-*.safetensors"))
    assert len(shards) > 1
    np.testing.assert_array_equal(get(folder)(noise(4000)), get(folders["wav2vec2_layer"])(noise(4000)))
    shards[0].unlink()
    with pytest.raises(errors.MissingInput, match=shards[0].name):
        get(folder)


class Payload:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_pickled_weights_is_refused_and_not_run(folder, tmp_path, get, noise):
    as_bin(folder, {"masked_spec_embed": Payload(tmp_path / "ran")})
    with pytest.raises(errors.BadModel, match=r"asks for posix\.mkdir"):
        get(folder)(noise(4000))
    assert not (tmp_path / "ran").exists()


def test_python_files_of_a_checkpoint_are_not_run(folder, tmp_path, get, noise):
    config = json.loads(Path(folder, "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    Path(folder, "config.json").write_text(json.dumps(config))
    Path(folder, "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    assert get(folder)(noise(4000)).shape == (16,)
    assert not (tmp_path / "ran").exists()


def test_weights_that_the_encoder_lacks_are_named_and_others_not_missed(folder, get, noise):
    from safetensors.torch import save_file

    weights = weights_of(folder)
    weights.pop("masked_spec_embed")
    save_file(weights, f"{folder}/model.safetensors", {"format": "pt"})
    assert get(folder)(noise(4000)).shape == (16,)
    weights.pop("encoder.layers.1.attention.k_proj.weight")
    save_file(weights, f"{folder}/model.safetensors", {"format": "pt"})
    with pytest.raises(errors.BadModel, match=r"lacks 1 .*encoder.layers.1.attention.k_proj.weight"):
        get(folder)(noise(4000))


def test_weights_that_are_not_finite_are_named(folder, get, noise):
    from safetensors.torch import save_file

    weights = weights_of(folder)
    weights["encoder.layer_norm.weight"][3] = float("nan")
    save_file(weights, f"{folder}/model.safetensors", {"format": "pt"})
    with pytest.raises(errors.BadModel, match=r"NaN or infinite weights \(encoder.layer_norm.weight\)"):
        get(folder)(noise(4000))


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_weights_cut_short_are_a_bad_model(folder, kept, get, noise):
    path = Path(folder, "model.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(errors.BadModel, match="copy it again"):
        get(folder)(noise(4000))


def test_weights_of_another_size_are_a_bad_model(folder, get, noise):
    config = json.loads(Path(folder, "config.json").read_text()) | {"intermediate_size": 30}
    Path(folder, "config.json").write_text(json.dumps(config))
    with pytest.raises(errors.BadModel, match="checkpoint"):
        get(folder)(noise(4000))


def test_fingerprint_follows_weights_and_settings_not_the_path(folder, folders, tmp_path, get, save):
    feature = get(folder)
    assert feature.fingerprint == get(folders["wav2vec2_layer"]).fingerprint
    config = json.loads(Path(folder, "config.json").read_text()) | {"transformers_version": "9"}
    Path(folder, "config.json").write_text(json.dumps(config))
    assert get(folder).fingerprint == feature.fingerprint
    others = {
        save("wav2vec2_layer", tmp_path / "seed", seed=1),
        save("wav2vec2_layer", tmp_path / "plain", do_normalize=False),
    }
    prints = {get(other).fingerprint for other in others}
    prints |= {get(folder, layer=layer).fingerprint for layer in (0, "mean")}
    prints |= {get(folder, pooling="mean_std").fingerprint, feature.with_band("telephone").fingerprint}
    assert len(prints | {feature.fingerprint}) == 7


def test_new_weights_at_one_path_are_noticed(folder, tmp_path, get, save, noise):
    feature, wave = get(folder), noise(4000)
    before, vector = feature.fingerprint, feature(wave)
    shutil.copy(save("wav2vec2_layer", tmp_path / "new", seed=1) + "/model.safetensors", folder)
    os.utime(f"{folder}/model.safetensors", ns=(1, 1))
    assert feature.fingerprint != before
    assert not np.allclose(feature(wave), vector, atol=1e-3)


def in_cache(root, name: str, commit: str, folder: str) -> None:
    """Lay a checkpoint into a cache of the hub, as its client does."""
    repository = root / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)


@pytest.fixture
def hub(tmp_path, monkeypatch, folders):
    """A machine that cannot reach the hub and has one checkpoint in its cache."""
    from huggingface_hub import constants

    from ser_ray.features import ssl_checkpoint

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    in_cache(tmp_path / "hub", "someone/encoder", "c" * 40, folders["wav2vec2_layer"])
    yield
    ssl_checkpoint._on_hub.cache_clear()


def test_a_name_on_the_hub_becomes_its_commit(hub, folders, get, noise):
    feature = get("someone/encoder")
    assert feature.spec == f"ssl(checkpoint=someone/encoder,revision={'c' * 40})"
    assert features.get(feature.spec).fingerprint == feature.fingerprint
    np.testing.assert_array_equal(feature(noise(4000)), get(folders["wav2vec2_layer"])(noise(4000)))


class HubRequests(http.server.SimpleHTTPRequestHandler):
    """`/NAME/resolve/REVISION/FILE`, answered as the hub does, from a folder at commit ddd..."""

    def translate_path(self, path: str) -> str:
        return str(self.server.folder / path.rsplit("/", 1)[1])

    def end_headers(self) -> None:
        self.send_header("X-Repo-Commit", "d" * 40)
        self.send_header("ETag", '"' + self.path.rsplit("/", 1)[1] + '"')
        super().end_headers()

    def send_error(self, code, *about) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, *about) -> None:
        self.server.asked.append(f"{self.command} {self.path.rsplit('/', 1)[1]}")


@pytest.fixture
def server(tmp_path, monkeypatch, folder):
    """A hub with one checkpoint, and a machine with nothing in its cache."""
    from huggingface_hub import constants

    from ser_ray.features import ssl_checkpoint

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubRequests) as server:
        server.folder, server.asked = Path(folder), []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        template = constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server
        server.shutdown()
    ssl_checkpoint._on_hub.cache_clear()


@pytest.mark.parametrize("form", ["one file", "shards", "pickle"])
def test_weights_are_fetched_from_the_hub_when_first_needed(server, folders, build, get, noise, form):
    if form == "shards":
        build("wav2vec2_layer").save_pretrained(server.folder, max_shard_size="20KB")
        (server.folder / "model.safetensors").unlink()
    elif form == "pickle":
        as_bin(server.folder, weights_of(server.folder))
    feature = get("someone/encoder")
    assert feature.revision == "d" * 40
    assert feature.shape == (16,)
    assert not any("model" in request for request in server.asked)
    np.testing.assert_array_equal(feature(noise(4000)), get(folders["wav2vec2_layer"])(noise(4000)))
    asked = len(server.asked)
    assert get("someone/encoder", revision="d" * 40)(noise(4000)).shape == (16,)
    assert len(server.asked) == asked


def test_a_checkpoint_without_weights_on_the_hub_is_refused(server, get, noise):
    (server.folder / "model.safetensors").unlink()
    with pytest.raises(errors.MissingInput, match="someone/encoder lacks its weights"):
        get("someone/encoder")(noise(4000))


@pytest.mark.parametrize("parameters", [{}, {"revision": "v2"}])
def test_a_name_that_cannot_be_reached_is_refused_at_once(hub, parameters, get):
    name = "someone/encoder" if parameters else "someone/other"
    with pytest.raises(errors.MissingInput, match=f"{name} .*no folder here.*Check the path or the name"):
        get(name, **parameters)


def edited(name: str, **values):
    def edit(folder) -> None:
        path = Path(folder, name)
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return edit


WRONG = {
    "no weights": (lambda f: Path(f, "model.safetensors").unlink(), "lacks its weights"),
    "no config": (lambda f: Path(f, "config.json").unlink(), "has no config.json"),
    "no extractor": (lambda f: Path(f, "preprocessor_config.json").unlink(), "no preprocessor_config.json"),
    "broken config": (lambda f: Path(f, "config.json").write_text("{"), "is not JSON"),
    "list": (lambda f: Path(f, "config.json").write_text("[]"), "holds no settings"),
    "bert": (edited("config.json", model_type="bert"), "of type bert. Give one of type wav2vec2"),
    "8 kHz": (edited("preprocessor_config.json", sampling_rate=8000), "at 8000 Hz"),
    "renamed": (edited("config.json", transformers_weights="x.bin"), "renames its weights"),
    "words": (edited("config.json", hidden_size="large"), "config.json of"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_folder_that_is_no_such_checkpoint_is_refused_at_once(folder, wrong, get):
    spoil, message = WRONG[wrong]
    spoil(folder)
    with pytest.raises(errors.UsageError, match=message):
        get(folder)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ssl", r"Name them: ssl\(checkpoint=microsoft/wavlm-base-plus\)"),
        ("ssl(checkpoint=/no/such/folder)", "checkpoint not found: /no/such/folder"),
        ("ssl(checkpoint=s3://bucket/wavlm)", "cannot read s3://bucket/wavlm in place"),
        (f"ssl(checkpoint={__file__})", "is a file. Give the folder"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_refused_at_once(spec, message):
    with pytest.raises(errors.UsageError, match=message):
        features.get(spec)


def test_whisper_with_another_extractor_is_refused(tmp_path, get, save, noise):
    with pytest.raises(errors.BadModel, match="2 s in 20 mel bands"):
        get(save("whisper", tmp_path / "whisper", feature_size=30))(noise(4000))


def test_settings_of_the_input_may_lie_within_those_of_a_processor(folder, folders, get, noise):
    path = Path(folder, "preprocessor_config.json")
    settings = {"feature_extractor": json.loads(path.read_text()), "processor_class": "Wav2Vec2Processor"}
    Path(folder, "processor_config.json").write_text(json.dumps(settings))
    path.unlink()
    np.testing.assert_array_equal(get(folder)(noise(4000)), get(folders["wav2vec2_layer"])(noise(4000)))
