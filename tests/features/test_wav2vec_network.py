import math

import numpy as np
import pytest
import torch

from ser_ray.features.wav2vec_network import (
    HOP,
    OFFSET,
    RECEPTIVE_FIELD,
    STEPS,
    Wav2Vec,
    contrastive_loss,
    draw_negatives,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small lose more by waiting for a second one
    yield
    torch.set_num_threads(threads)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


FIRST = "feature_extractor.conv_layers.0.0.weight"


def tiny(seed: int = 0) -> Wav2Vec:
    torch.manual_seed(seed)
    return Wav2Vec("tiny")


def test_large_has_the_tensors_of_the_public_checkpoint():
    with torch.device("meta"):
        tensors = Wav2Vec("large").state_dict()
    assert len(tensors) == 71
    assert sum(tensor.numel() for tensor in tensors.values()) == 32_537_088
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes[FIRST] == (512, 1, 10)
    assert shapes["feature_extractor.conv_layers.6.2.bias"] == (512,)
    assert shapes["feature_aggregator.conv_layers.11.1.weight"] == (512, 512, 13)
    assert shapes["feature_aggregator.conv_layers.0.3.weight"] == (512,)
    assert shapes["wav2vec_predictions.project_to_steps.weight"] == (512, 512, 1, 12)


def test_a_second_gives_98_frames_of_10_ms_that_see_465_samples():
    assert (HOP, RECEPTIVE_FIELD, OFFSET) == (160, 465, 3)
    network = tiny()
    assert network(torch.zeros(1, 16000)).shape == (1, 64, 98)
    assert network(torch.zeros(1, RECEPTIVE_FIELD)).shape == (1, 64, 1)
    wave = torch.from_numpy(noise(3200))[None].requires_grad_()
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.GroupNorm)):
        norm.forward = lambda x: x  # it lets every sample reach every frame
    latent = network.feature_extractor(wave)
    seen = torch.autograd.grad(latent[0, :, 4].sum(), wave)[0][0].nonzero()
    assert seen.min() >= 4 * HOP
    assert seen.max() < 4 * HOP + RECEPTIVE_FIELD


def test_a_context_frame_sees_no_later_latent_frame():
    network = tiny()
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.GroupNorm)):
        norm.forward = lambda x: x
    latent = torch.rand(1, 64, 120, requires_grad=True)
    seen = torch.autograd.grad(network.feature_aggregator(latent)[0, :, 100].sum(), latent)[0]
    frames = seen.abs().sum(dim=(0, 1)).nonzero()
    # Kernels 2 to 13 reach 1 + 2 + ... + 12 = 78 frames back.
    assert (frames.min(), frames.max()) == (100 - 78, 100)


def test_latent_frames_are_log_compressed_and_skips_scaled_by_the_root_of_a_half():
    network = tiny()
    wave = torch.from_numpy(noise(4000))[None]
    x = wave[:, None]
    for conv, _, norm, _ in network.feature_extractor.conv_layers:
        x = torch.relu(norm(conv(x)))
    latent = torch.log(x.abs() + 1)
    np.testing.assert_allclose(network.feature_extractor(wave).detach(), latent.detach(), atol=1e-6)
    y = latent
    for pad, conv, _, norm, _ in network.feature_aggregator.conv_layers:
        behind = torch.cat([y[..., :1].expand(-1, -1, pad.padding[0]), y], dim=2)
        y = (torch.relu(norm(conv(behind))) + y) / math.sqrt(2)
    np.testing.assert_allclose(network(wave).detach(), y.detach(), atol=1e-5)


def test_zero_logits_cost_eleven_bits_a_target():
    network = tiny()
    for weight in network.wav2vec_predictions.parameters():
        torch.nn.init.zeros_(weight)
    loss = contrastive_loss(network, torch.from_numpy(noise(16000))[None])
    assert loss.item() == pytest.approx(11 * math.log(2), abs=1e-4)
    assert loss.item() == pytest.approx(7.625, abs=1e-3)


def test_loss_is_the_cross_entropy_of_the_right_frames():
    network, waves = tiny(), torch.from_numpy(np.stack([noise(4000), noise(4000, 1)]))
    latent = network.feature_extractor(waves)
    guess = network.wav2vec_predictions(network.feature_aggregator(latent))
    frames = latent.shape[2]
    false = draw_negatives(latent, 10, torch.Generator().manual_seed(7))
    costs, targets = [], 0
    for wave in range(2):
        for step in range(STEPS):
            for t in range(frames - 3 - step):
                ahead = t + 3 + step
                logits = [guess[wave, :, t, step] @ latent[wave, :, ahead]]
                logits += [guess[wave, :, t, step] @ false[wave, n, :, ahead] for n in range(10)]
                labels = torch.tensor([1.0] + [0.0] * 10)
                cost = torch.nn.functional.binary_cross_entropy_with_logits(
                    torch.stack(logits), labels, reduction="sum"
                )
                costs, targets = [*costs, cost], targets + 1
    loss = contrastive_loss(network, waves, generator=torch.Generator().manual_seed(7))
    assert loss.item() == pytest.approx((torch.stack(costs).sum() / targets).item(), rel=1e-5)


def test_negatives_are_other_frames_of_the_same_wave():
    latent = torch.arange(2 * 1 * 20.0).view(2, 1, 20)
    drawn = draw_negatives(latent, 50)
    assert drawn.shape == (2, 50, 1, 20)
    assert not (drawn == latent[:, None]).any()
    assert set(drawn[0].flatten().tolist()) == set(range(20))
    assert set(drawn[1].flatten().tolist()) == set(range(20, 40))


def test_training_on_one_chirp_tells_its_frames_apart():
    chirp = np.sin(2 * np.pi * np.cumsum(np.linspace(100, 4000, 4800)) / 16000)
    waves = torch.from_numpy(0.3 * chirp.astype(np.float32))[None]
    network, draw = tiny(), torch.Generator().manual_seed(0)
    moments = [
        (weight, torch.zeros_like(weight), torch.zeros_like(weight)) for weight in network.parameters()
    ]
    losses = []
    for step in range(1, 41):
        loss = contrastive_loss(network, waves, generator=draw)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():  # Adam by hand, because torch.optim takes seconds to import
            for weight, first, second in moments:
                first.lerp_(weight.grad, 0.1)
                second.lerp_(weight.grad**2, 0.001)
                size = (second / (1 - 0.999**step)).sqrt() + 1e-8
                weight -= 1e-3 * first / (1 - 0.9**step) / size
        losses.append(loss.item())
    share = 1 / 11  # whoever knows only this pays 3.35 nats
    assert losses[0] > 7
    assert np.mean(losses[-5:]) < -math.log(share) - 10 * math.log(1 - share) - 0.1


def test_waves_too_short_to_predict_from_are_refused():
    with pytest.raises(ValueError, match="take 4 frames"):
        contrastive_loss(tiny(), torch.zeros(1, RECEPTIVE_FIELD + 2 * HOP))
