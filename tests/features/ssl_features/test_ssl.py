import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")

from ser_ray import errors, features  # noqa: E402
from ser_ray.features import inference  # noqa: E402
from ser_ray.features.ssl_checkpoint import KINDS  # noqa: E402

NAMES = (
    *("wav2vec2_group", "wav2vec2_layer", "hubert_group", "hubert_layer", "wavlm_group", "wavlm_layer"),
    *("data2vec", "whisper"),
)
WAVES = [2000, 16000, 1, 399, 9000, 16000, 2000, 12345, 400, 16001]


def hidden(name: str, folder: str, wave: np.ndarray) -> list[np.ndarray]:
    """Valid frames of each layer, as transformers gives them for one wave of less than 2 s."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(wave, sampling_rate=16000, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder)
    if name == "whisper":
        out = model.eval().encoder(inputs.input_features, output_hidden_states=True)
    else:
        out = model.eval()(inputs.input_values, output_hidden_states=True)
    # In transformers 5 the last of `hidden_states` may lack the closing layer norm.
    states = [*out.hidden_states[:-1], out.last_hidden_state]
    valid = -(-len(wave) // 320) if name == "whisper" else states[0].shape[1]
    return [state[0, :valid].detach().numpy() for state in states]


@pytest.mark.parametrize("name", NAMES)
def test_each_layer_is_the_mean_over_the_frames_that_transformers_gives(folders, name, get, noise):
    wave = noise(8000)
    states = hidden(name, folders[name], wave)
    assert len(states) == 4
    for layer in (0, 1, 2, 3):
        found = get(folders[name], layer=layer)(wave)
        np.testing.assert_allclose(found, states[layer].mean(axis=0), atol=1e-5)
        assert not np.allclose(found, states[layer - 1].mean(axis=0), atol=1e-3)
    np.testing.assert_array_equal(get(folders[name])(wave), get(folders[name], layer=3)(wave))
    np.testing.assert_array_equal(get(folders[name], layer=-3)(wave), get(folders[name], layer=1)(wave))


@pytest.mark.parametrize("name", ["wav2vec2_layer", "wavlm_layer", "whisper"])
def test_the_mean_of_layers_is_over_all_of_them(folders, name, get, noise):
    wave = noise(8000)
    frames = np.mean(hidden(name, folders[name], wave), axis=0)
    np.testing.assert_allclose(get(folders[name], layer="mean")(wave), frames.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("name", ["wav2vec2_layer", "whisper"])
def test_features_of_one_network_share_a_pass(folders, name, monkeypatch, get, noise):
    chosen = [
        {"layer": "mean"},
        {},
        {"pooling": "mean_std"},
        {"layer": 1},
        {"layer": 0, "pooling": "mean_std"},
    ]
    chosen = [get(folders[name], **parameters) for parameters in chosen]
    alone, waves = [feature(noise(8000)) for feature in chosen], [noise(8000)]
    encoder, passes = chosen[0]._encoder(), []
    run = encoder.run
    monkeypatch.setattr(encoder, "run", lambda waves, layer: passes.append(layer) or run(waves, layer))
    for order in (chosen, chosen[::-1]):
        found = features.together(order, waves)
        expected = alone if order is chosen else alone[::-1]
        for [vector], single in zip(found, expected, strict=True):
            np.testing.assert_allclose(vector, single, atol=1e-6)
    assert passes == [4, 0, 1, 3, 4]  # from the top once, from the bottom as far as each needs


@pytest.mark.parametrize("name", ["wav2vec2_group", "whisper"])
def test_mean_and_standard_deviation_stand_side_by_side(folders, name, get, noise):
    wave = noise(8000)
    frames = hidden(name, folders[name], wave)[-1]
    feature = get(folders[name], pooling="mean_std")
    expected = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
    assert feature.shape == (32,)
    assert (feature.names[0], feature.names[31]) == ("mean0", "std15")
    np.testing.assert_allclose(feature(wave), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", ["-1", "mean"])
def test_a_batch_equals_single_calls(folders, name, layer, get, noise):
    feature = get(folders[name], layer=layer, pooling="mean_std")
    waves = [noise(samples, seed) for seed, samples in enumerate(WAVES)]
    for wave, vector in zip(waves, feature.batch(waves), strict=True):
        np.testing.assert_allclose(vector, feature(wave), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "together"),
    [("wav2vec2_layer", 3), ("wavlm_layer", 3), ("whisper", 3), ("wav2vec2_group", 2), ("data2vec", 2)],
)
def test_different_lengths_share_a_batch_only_where_padding_does_no_harm(
    folders, name, together, monkeypatch, get, noise
):
    feature = get(folders[name])
    encoder = feature._encoder()
    sizes, run = [], encoder.run
    monkeypatch.setattr(encoder, "run", lambda waves, layer: sizes.append(len(waves)) or run(waves, layer))
    feature.batch([noise(3000), noise(5000), noise(5000)])
    assert max(sizes) == together


def test_padding_would_change_the_frames_of_models_that_get_none(folders, get, noise):
    for name in ("wav2vec2_group", "data2vec"):
        encoder = get(folders[name])._encoder()
        short, long = encoder.prepare(noise(5000)), encoder.prepare(noise(16000))
        with torch.no_grad():
            alone, padded = encoder.run([short], 3)[0][3], encoder.run([short, long], 3)[0][3]
        assert alone.shape == padded.shape
        assert (alone - padded).abs().max() > 1e-3, name


@pytest.mark.parametrize("name", ["wav2vec2_group", "wav2vec2_layer", "data2vec"])
def test_a_wave_shorter_than_a_frame_is_filled_up(folders, name, get, save, noise):
    feature = get(folders[name])
    short = noise(100)
    level = (short - short.mean()) / np.sqrt(short.var() + 1e-7)
    plain = get(save(name, Path(folders[name] + "_plain"), do_normalize=False))
    np.testing.assert_allclose(feature(short), plain(np.pad(level, (0, 300))), atol=1e-5)


@pytest.mark.parametrize("name", ["hubert_group", "hubert_layer", "whisper"])
def test_a_long_wave_is_pooled_over_all_its_windows(folders, name, monkeypatch, get, noise):
    feature, wave = get(folders[name], pooling="mean_std"), noise(40000)
    encoder = feature._encoder()
    monkeypatch.setattr(encoder, "windows", encoder.windows._replace(longest=32000))
    monkeypatch.setitem(inference.TOGETHER, "cpu", 20000)
    level = encoder.prepare(wave)
    with torch.no_grad():
        frames = np.concatenate([encoder.run([half], 3)[0][3] for half in (level[:20000], level[20000:])])
    expected = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
    np.testing.assert_allclose(feature(wave), expected, atol=1e-5)


def test_waves_are_normalised_where_the_checkpoint_says_so(folders, tmp_path, get, save, noise):
    plain = get(save("wav2vec2_layer", tmp_path / "plain", do_normalize=False))
    normal, wave = get(folders["wav2vec2_layer"]), noise(8000)
    np.testing.assert_allclose(normal(4 * wave + 0.1), normal(wave), atol=1e-4)
    assert not np.allclose(plain(4 * wave + 0.1), plain(wave), atol=1e-4)
    level = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    np.testing.assert_allclose(plain(level), normal(wave), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_silence_gives_finite_values(folders, name, get):
    feature = get(folders[name], pooling="mean_std")
    assert np.isfinite(feature(np.zeros(5000, np.float32))).all()


def test_a_checkpoint_with_a_head_gives_its_encoder(tmp_path, folders, get, noise):
    config = transformers.AutoConfig.from_pretrained(folders["wav2vec2_layer"])
    torch.manual_seed(0)
    model = transformers.Wav2Vec2ForCTC(config).eval()
    model.save_pretrained(tmp_path)
    shutil.copy(folders["wav2vec2_layer"] + "/preprocessor_config.json", tmp_path)
    level = torch.from_numpy(noise(8000))[None]
    level = (level - level.mean()) / (level.var(correction=0) + 1e-7).sqrt()
    with torch.no_grad():
        expected = model.wav2vec2(level).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(get(tmp_path)(noise(8000)), expected, atol=1e-5)


def test_the_telephone_variant_stays_at_16_khz(folders, get):
    feature = get(folders["hubert_group"], layer=2)
    narrow = feature.with_band("telephone")
    assert (narrow.band, narrow.rate, narrow.layer) == ("telephone", 16000, "2")
    assert narrow.with_band("wide") == feature
    assert features.get(narrow.spec) == narrow


def test_it_travels_without_its_weights(folders, get, noise):
    feature = get(folders["hubert_group"], pooling="mean_std")
    sent = pickle.dumps(feature)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)(noise(4000)), feature(noise(4000)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer": 4}, "layer=4 will not do, it must be `mean` or a number from -4 to 3"),
        ({"layer": -5}, "layer=-5 will not do"),
        ({"layer": "top"}, "layer=top will not do"),
        ({"pooling": "max"}, "one of mean, mean_std"),
        ({"revision": "main"}, "is a folder: it has no revision main"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(folders, parameters, message, get):
    with pytest.raises(errors.UsageError, match=message):
        get(folders["wav2vec2_layer"], **parameters)


def test_without_transformers_the_command_that_installs_it_is_told(folders, monkeypatch, get):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(errors.UsageError, match=r"pip install 'ser-ray\[ssl\]'"):
        get(folders["wav2vec2_group"])


def test_every_kind_is_among_those_tried(build):
    assert {build(name).config.model_type for name in NAMES} == set(KINDS)
