"""wav2vec embeddings: the context network's output, averaged over an utterance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ser_ray import errors, storage
from ser_ray.features.checkpoint import NetworkFeature, digest
from ser_ray.features.feature import Array, Batch
from ser_ray.features.inference import Windows, device, pool

if TYPE_CHECKING:
    import torch

    from ser_ray.features.wav2vec_network import Wav2Vec as Network


@dataclass(frozen=True, kw_only=True)
class Wav2Vec(NetworkFeature):
    """Mean context vector [512] of wav2vec (Schneider et al., 2019), one frame every 10 ms.

    The network normalises over time, so only waves of one length share a batch; one longer than 30 s
    is cut into windows of equal length, and the mean is over the frames of all. One shorter than a
    frame (465 samples) is filled up with zeros.

    Attributes:
        checkpoint: fairseq's `wav2vec_large.pt`, or safetensors of the same tensors; any URI.
    """

    name: ClassVar[str] = "wav2vec"
    example: ClassVar[str] = "/models/wav2vec_large.pt"

    def _check(self) -> None:
        super()._check()
        place = storage.require(self.checkpoint, "wav2vec checkpoint")
        if storage.is_local(place) and not storage.local_path(place).is_file():
            raise errors.MissingInput(
                f"wav2vec checkpoint {place} is a folder. Name the file in it, such as wav2vec_large.pt "
                "(folders of transformers checkpoints are read by the feature ssl)."
            )
        self._settle(place)
        self._network()

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (self._network().dim,)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"c{k}" for k in range(self._network().dim))

    @property
    def weights(self) -> str:
        return digest(self.checkpoint)

    def _network(self) -> Network:
        from ser_ray.features.wav2vec_checkpoint import frozen_wav2vec

        return frozen_wav2vec(self.checkpoint, self.weights)

    def _compute(self, batch: Batch) -> list[Array]:
        import torch

        from ser_ray.features.wav2vec_network import RECEPTIVE_FIELD

        network = self._network().to(device())

        def run(waves: list[Array]) -> Iterable[list[torch.Tensor]]:
            context: torch.Tensor = network(torch.from_numpy(np.stack(waves)).to(device()))
            return [[frames] for frames in context.transpose(1, 2)]

        pooled = pool(batch.waves, Windows(RECEPTIVE_FIELD), run)
        return [moments.mean[0].astype(np.float32) for moments in pooled]
