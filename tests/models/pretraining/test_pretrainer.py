"""Pre-training in one process: it learns, is resumed, and becomes a feature."""

import copy
import math

import numpy as np
import pytest
import torch

from ser_ray import features
from ser_ray.audio.decode import read_audio
from ser_ray.corpora.synthetic import make_corpus
from ser_ray.errors import UsageError
from ser_ray.features.wav2vec_checkpoint import write_wav2vec
from ser_ray.models.pretraining.crops import CropBatches, held_crops
from ser_ray.models.pretraining.pretrainer import Pretrainer, pretrain_options

FEW = {"size": "tiny", "crop_s": 0.3, "batch": 4, "epochs": 3, "lr": 2e-3, "encoder_rate": 1.0}


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    table = make_corpus(str(tmp_path_factory.mktemp("speech")), speakers=2, per_emotion=2)
    return [read_audio(uri, 16000)[0] for uri in table["uri"].to_pylist()]


def pretrain(waves, settings, state=None, report=None, seed=1, **share):
    options = pretrain_options(settings)
    parts, numbers = (waves[:-3], waves[-3:]), np.arange(len(waves))
    batches = CropBatches(parts[0], numbers[:-3], options.samples, options.batch, seed, **share)
    held = held_crops(parts[1], numbers[-3:], options.samples, seed)
    return Pretrainer(options, seed).learn(batches, held, report, state)


def test_on_speech_the_loss_falls_and_the_true_frame_is_told_better_than_by_chance(waves):
    trained = pretrain(waves, {**FEW, "epochs": 12})
    losses = [figures["held_out_loss"] for figures in trained.curve]
    assert [figures["epoch"] for figures in trained.curve] == list(range(1, len(losses) + 1))
    share = 1 / 11  # whoever knows only this pays 3.351 nats
    chance = -math.log(share) - 10 * math.log(1 - share)
    assert trained.best["held_out_loss"] == min(losses) < min(losses[0] - 0.3, chance)
    assert trained.best["held_out_accuracy"] > 1.2 * share


def test_resumed_after_any_epoch_the_weights_are_those_of_an_undisturbed_run(waves):
    states = []
    undisturbed = pretrain(waves, FEW, report=lambda _, state: states.append(copy.deepcopy(state)))
    for state in states[:-1]:
        resumed = pretrain(waves, FEW, state)
        assert resumed.curve == undisturbed.curve
        for name, tensor in undisturbed.network.state_dict().items():
            assert torch.equal(resumed.network.state_dict()[name], tensor), name
    restored = Pretrainer(undisturbed.options, 1)
    restored.restore(states[-1])
    assert restored.best == undisturbed.best
    assert pretrain(waves, FEW, seed=2).curve != undisturbed.curve


def test_batches_are_cut_alike_for_any_number_of_workers_and_anew_in_each_epoch(waves):
    given = (waves, range(len(waves)), 4800, 4, 7)
    alone, both = CropBatches(*given), [CropBatches(*given, rank, 2) for rank in range(2)]
    assert alone.steps == both[0].steps == 4
    epochs = []
    for epoch in range(2):
        whole = list(alone.epoch(epoch))
        for batch, *shares in zip(whole, *(each.epoch(epoch) for each in both), strict=True):
            assert batch.waves.shape == (4, 4800)
            for rank, share in enumerate(shares):
                assert torch.equal(share.waves, batch.waves[rank::2])
                assert torch.equal(share.candidates, batch.candidates[rank::2])
        epochs.append(torch.cat([batch.waves for batch in whole]))
    firsts = [{tuple(wave[:50].tolist()) for wave in waves} for waves in epochs]
    assert len(firsts[0]) == len(waves)
    assert not firsts[0] & firsts[1]
    held = held_crops(*given[:3], 7)
    assert torch.equal(next(held()).waves, next(held()).waves)
    shares = [next(held_crops(*given[:3], 7, rank, 2)()).waves for rank in range(2)]
    assert torch.equal(next(held()).waves[1::2], shares[1])


def test_the_checkpoint_is_a_feature_that_gives_the_networks_own_mean_context(waves, tmp_path):
    trained, place = pretrain(waves, {**FEW, "epochs": 1}), str(tmp_path / "tiny.safetensors")
    write_wav2vec(trained.wav2vec, place)
    feature = features.get(f"wav2vec(checkpoint={place})")
    with torch.no_grad():
        context = trained.wav2vec(torch.from_numpy(waves[0])[None])[0]
    assert feature.shape == (64,)
    np.testing.assert_allclose(feature(waves[0]), context.mean(dim=1).numpy(), atol=1e-5)
    again = pretrain(waves, {**FEW, "size": "large", "start": place, "epochs": 1})
    assert again.wav2vec.dim == 64
    assert again.curve[0]["loss"] < trained.curve[0]["loss"]


@pytest.mark.parametrize(
    ("setting", "mend"),
    [
        ({"sise": "tiny"}, "pretrain has no setting 'sise'. It has: epochs, batch"),
        ({"size": "small"}, "size=small is none of large, tiny"),
        ({"crop_s": "0.1"}, r"a crop takes 0\.17 s or more"),
        ({"encoder_rate": -1}, "encoder_rate=-1 will not do"),
        ({"held_out": 0}, "give a share between 0 and 1"),
        ({"epochs": "0"}, "epochs=0 will not do"),
        ({"lr": "fast"}, "lr='fast' should be of type float"),
    ],
)
def test_settings_that_will_not_do_are_refused(setting, mend):
    with pytest.raises(UsageError, match=mend):
        pretrain_options(setting)
