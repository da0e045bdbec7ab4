"""Embeddings of self-supervised speech encoders, through transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ser_ray.features.checkpoint import NetworkFeature
from ser_ray.features.extras import require_extra
from ser_ray.features.feature import Array, Batch
from ser_ray.features.inference import Moments, pool
from ser_ray.features.ssl_checkpoint import Source, identity, layout, locate, weight_files
from ser_ray.parameters import parameter

if TYPE_CHECKING:
    from ser_ray.features.ssl_encoder import Encoder

POOLING = {"mean": ("mean",), "mean_std": ("mean", "std")}


@dataclass(frozen=True, kw_only=True)
class Ssl(NetworkFeature):
    """Frames of a self-supervised encoder, pooled over an utterance: [columns], or twice as many.

    wav2vec 2.0 (Baevski et al., 2020), HuBERT (Hsu et al., 2021), WavLM (Chen et al., 2022), data2vec
    (Baevski et al., 2022) and the encoder of Whisper (Radford et al., 2023); one frame every 20 ms.
    A wave longer than 30 s is cut into windows of equal length that the network hears one by one; the
    statistics are over the frames of all. One shorter than a frame is filled up with zeros. Frames of
    padding never count. It needs the extra `ssl`; no code of a checkpoint is run.

    Attributes:
        checkpoint: Folder of a transformers checkpoint, or its name on the Hugging Face hub.
        revision: Branch, tag or commit on the hub. It becomes the commit, so that other workers and later
            runs take the same weights.
        layer: 0 for what enters the first transformer block, k for what leaves block k, -1 for the last
            (after the closing layer norm, where there is one), `mean` for the mean of all of them.
        pooling: `mean`, or `mean_std` for the standard deviation beside it.
    """

    name: ClassVar[str] = "ssl"
    example: ClassVar[str] = "microsoft/wavlm-base-plus"

    revision: str = parameter("")
    layer: str = parameter("-1")
    pooling: str = parameter("mean", choices=tuple(POOLING))

    def _check(self) -> None:
        super()._check()
        require_extra("ssl", "transformers", "feature ssl")
        source = locate(self.checkpoint, self.revision)
        self._settle(source.place, revision=source.commit)
        if not source.commit:
            weight_files(source)
        self._layer()

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (layout(self._source()).columns * len(POOLING[self.pooling]),)

    @property
    def names(self) -> tuple[str, ...]:
        columns = layout(self._source()).columns
        return tuple(f"{statistic}{k}" for statistic in POOLING[self.pooling] for k in range(columns))

    @property
    def weights(self) -> str:
        return identity(self._source())

    def _source(self) -> Source:
        return locate(self.checkpoint, self.revision)

    def _layer(self) -> int:
        """Number of the layer from 0, one above the last for the mean of all; raises UsageError."""
        blocks = layout(self._source()).blocks
        if self.layer == "mean":
            return blocks + 1
        try:
            number = int(self.layer)
        except ValueError:
            number = blocks + 1
        if not -blocks - 1 <= number <= blocks:
            reason = f"it must be `mean` or a number from {-blocks - 1} to {blocks}"
            raise self._refusal("layer", self.layer, reason)
        return number % (blocks + 1)

    def _encoder(self) -> Encoder:
        require_extra("ssl", "transformers", "feature ssl")
        from ser_ray.features.ssl_encoder import load_encoder

        return load_encoder(self._source(), self.weights)

    def _compute(self, batch: Batch) -> list[Array]:
        layer = self._layer()
        # One pass serves every feature of the network that asks for its last layer, or for a lower one.
        known: dict[int, list[Moments]] = batch.once((self.name, self.weights), dict)
        if layer > max(known, default=-1):
            encoder = self._encoder()
            waves = [encoder.prepare(wave) for wave in batch.waves]
            known[layer] = pool(waves, encoder.windows, lambda windows: encoder.run(windows, layer))
        return [self._vector(moments, layer) for moments in known[max(known)]]

    def _vector(self, moments: Moments, layer: int) -> Array:
        values = {"mean": moments.mean[layer], "std": np.sqrt(moments.variance[layer])}
        return np.concatenate([values[part] for part in POOLING[self.pooling]], dtype=np.float32)
