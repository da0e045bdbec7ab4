"""The contrastive task of wav2vec: what it costs, and whom a frame is told from."""

import math

import numpy as np
import pytest
import torch

from ser_ray.features.wav2vec_network import HOP, NEGATIVES, RECEPTIVE_FIELD, STEPS, Wav2Vec
from ser_ray.models.networks import workers
from ser_ray.models.networks.loop import OptimiserOptions, _groups
from ser_ray.models.pretraining.contrastive import Contrast, Contrastive, target_losses
from ser_ray.models.pretraining.crops import SHORTEST, crop, draw_candidates

CONTRAST = Contrast(torch.device("cpu"))


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def tiny(seed: int = 0) -> Contrastive:
    torch.manual_seed(seed)
    return Contrastive(Wav2Vec("tiny"))


def crops(count: int = 2, samples: int = 4000):
    return crop([noise(samples + 100 * k, k) for k in range(count)], range(count), samples, seed=0, epoch=1)


def test_zero_logits_cost_eleven_ln_2_nats_a_target():
    """Schneider et al. (2019): binary cross-entropy of one true and ten false frames."""
    network = tiny()
    for weight in network.wav2vec.wav2vec_predictions.parameters():
        torch.nn.init.zeros_(weight)
    logits = network(crops())
    assert not logits.any()
    torch.testing.assert_close(target_losses(logits), torch.full(logits.shape[:2], 11 * math.log(2)))
    assert CONTRAST.loss(network, crops(), torch.Generator()).item() == pytest.approx(7.625, abs=1e-3)
    _, figures = CONTRAST.measure(network, [crops()])
    assert figures["held_out_loss"] == pytest.approx(11 * math.log(2), abs=1e-4)
    assert figures["held_out_accuracy"] == 0  # a draw tells nothing


def test_loss_is_the_cross_entropy_of_the_right_frames():
    network, batch = tiny(), crops()
    latent = network.wav2vec.feature_extractor(batch.waves)
    guess = network.wav2vec.wav2vec_predictions(network.wav2vec.feature_aggregator(latent))
    costs, hits, frames = [], [], latent.shape[2]
    for wave in range(2):
        for step in range(STEPS):
            for t in range(frames - 3 - step):
                ahead = t + 3 + step
                told = [ahead, *batch.candidates[wave, ahead, 1:].tolist()]
                logits = torch.stack([guess[wave, :, t, step] @ latent[wave, :, k] for k in told])
                labels = torch.tensor([1.0] + [0.0] * 10)
                entropy = torch.nn.functional.binary_cross_entropy_with_logits
                costs.append(entropy(logits, labels, reduction="sum"))
                hits.append(float(logits[0] > logits[1:].max()))
    wanted = torch.stack(costs).mean().item()
    assert CONTRAST.loss(network, batch, torch.Generator()).item() == pytest.approx(wanted, rel=1e-5)
    merit, figures = CONTRAST.measure(network, [batch])
    assert figures["held_out_loss"] == pytest.approx(wanted, rel=1e-5) == -merit
    assert figures["held_out_accuracy"] == pytest.approx(np.mean(hits))


def test_negatives_are_other_frames_of_the_same_utterance():
    drawn = draw_candidates(20, np.random.default_rng(0))
    assert drawn.shape == (20, 1 + NEGATIVES)
    assert (drawn[:, 0] == np.arange(20)).all()
    assert not (drawn[:, 1:] == drawn[:, :1]).any()
    assert set(drawn[:, 1:].ravel().tolist()) == set(range(20))
    network, batch = tiny(), crops()
    other = batch._replace(waves=torch.stack([batch.waves[0], torch.zeros(4000)]))
    torch.testing.assert_close(network(other)[0], network(batch)[0])  # nothing of the second is in it


def test_the_shortest_crop_has_a_frame_for_every_step():
    assert SHORTEST == RECEPTIVE_FIELD + 14 * HOP == 2705
    assert tiny()(crops(1, SHORTEST)).shape == (1, sum(range(1, 13)), 11)


def test_the_encoder_alone_learns_at_a_rate_of_its_own():
    network = Contrastive(Wav2Vec("tiny"), encoder_rate=0.25)
    groups = _groups(network, OptimiserOptions())
    count = len(list(network.wav2vec.feature_extractor.parameters()))
    assert {group["scale"]: len(group["params"]) for group in groups} == {
        0.25: count,
        1.0: len(list(network.parameters())) - count,
    }


def test_the_mean_over_workers_is_the_loss_of_the_whole_batch(monkeypatch):
    network, batch = tiny(), crops(5)
    whole = CONTRAST.loss(network, batch, torch.Generator())
    whole.backward()
    wanted = [weight.grad.clone() for weight in network.parameters()]
    network.zero_grad()
    monkeypatch.setattr(workers, "world", lambda: 2)
    monkeypatch.setattr(workers, "summed", lambda count: torch.tensor(5.0))
    shares = [type(batch)(*(part[rank::2] for part in batch)) for rank in range(2)]
    losses = [CONTRAST.loss(network, share, torch.Generator()) for share in shares]
    mean = sum(losses) / 2
    mean.backward()
    assert mean.item() == pytest.approx(whole.item(), rel=1e-6)
    for weight, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(weight.grad, gradient, atol=1e-6, rtol=1e-4)
