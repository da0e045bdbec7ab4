import math

import numpy as np
import torch

from ser_ray.features.wav2vec_network import HOP, OFFSET, RECEPTIVE_FIELD, Wav2Vec
from tests.threads import one_thread  # noqa: F401


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
