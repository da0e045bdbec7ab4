"""Speech encoders of transformers as parts of a network that trains them.

They start from a checkpoint, which `features.ssl_encoder` reads, and are built again from their plan alone.
No code of a checkpoint is run. While they train, no block is skipped (layer drop) and no frame is masked,
which transformers would draw from a generator that no seed of ours reaches.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ser_ray.errors import BadModel, UsageError
from ser_ray.features.inference import RATE, TOGETHER, count_frames, receptive_field
from ser_ray.features.ssl_checkpoint import KINDS, identity, locate
from ser_ray.models.networks.network import valid
from ser_ray.models.networks.parts import silenced

EXTRACTOR = ("do_normalize", "feature_size", "hop_length", "chunk_length", "n_fft")
LEFT_OUT: Mapping[str, Any] = {  # parts of transformers' networks that are not used here
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "add_adapter": False,
    "decoder_layers": 1,
}
UNUSED = ("masked_spec_embed", "adapter.")  # their weights
LEVEL = 1e-7  # added to the variance of a wave, as transformers has it


@dataclass(frozen=True)
class EncoderPlan:
    """All that is needed to build an encoder, weights apart.

    Attributes:
        kind: one of `ssl_checkpoint.KINDS`.
        configuration: what transformers builds it from.
        extractor: how waves are prepared.
        origin: of its first weights: their hash, or name and commit on the hub.
    """

    kind: str
    configuration: Mapping[str, Any]
    extractor: Mapping[str, Any]
    origin: str

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncoderPlan:
        """Read what `to_json` wrote.

        Raises:
            BadModel: it is not of that form.
        """
        try:
            plan = cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise BadModel("the saved encoder has no readable plan. Train the model again.") from error
        if plan.kind not in KINDS:
            raise BadModel(f"the saved encoder is of the unknown kind {plan.kind!r}. Train the model again.")
        return plan

    def build(self) -> SpeechEncoder:
        """The encoder with random weights; raises `BadModel` where transformers refuses the plan."""
        import transformers

        try:
            known = _settings_of(self.kind)
            given = {k: v for k, v in {**self.configuration, **LEFT_OUT}.items() if k in known}
            network = transformers.AutoModel.from_config(
                transformers.AutoConfig.for_model(self.kind, **given),
                trust_remote_code=False,
                attn_implementation="eager" if self.kind == "wavlm" else "sdpa",
            )
            if self.kind == "whisper":
                return MelEncoder(network.encoder, self.extractor)
            return WaveEncoder(network, self.kind, self.extractor)
        except Exception as error:  # each kind and version has errors of its own
            raise BadModel(
                f"transformers cannot build the encoder ({type(error).__name__}). Train the model again, or "
                "use the version named in its model.json."
            ) from error


class SpeechEncoder(nn.Module, ABC):
    """Waves to frames.

    Attributes:
        columns: of the frames.
        padded: waves of different lengths may share a batch, because padding changes no valid frame.
    """

    columns: int
    padded: bool

    def __init__(self, network: nn.Module, extractor: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.normalises = bool(extractor.get("do_normalize"))

    @abstractmethod
    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, samples] -> the last layer [batch, frames, columns], and the frames of each on the CPU."""

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """Its parts in order: convolutions, what else comes before the blocks, each block, what follows."""

    @abstractmethod
    def least(self, lengths: Tensor) -> Tensor:
        """`lengths`, those too short made as long as the encoder needs; raises `UsageError` on too long."""

    def prepared(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """[batch, samples], zeros beyond each length, at zero mean and unit variance if it wants them so."""
        waves = silenced(waves, lengths)
        if not self.normalises:
            return waves
        inside = valid(lengths, waves.shape[1]).to(waves.device)
        wide, count = waves.double(), lengths.to(waves.device)[:, None]
        centred = (wide - wide.sum(1, keepdim=True) / count) * inside
        variance = centred.square().sum(1, keepdim=True) / count
        return (centred / torch.sqrt(variance + LEVEL)).float()

    @property
    def room(self) -> int:
        """Samples that pass through it at once."""
        return TOGETHER[next(self.parameters()).device.type]


class WaveEncoder(SpeechEncoder):
    """wav2vec 2.0, HuBERT, WavLM, data2vec."""

    def __init__(self, network: Any, kind: str, extractor: Mapping[str, Any]) -> None:
        from ser_ray.features.ssl_encoder import PADDED

        super().__init__(network, extractor)
        configuration = network.config
        self.columns = int(configuration.hidden_size)
        self.convolutions = tuple(zip(configuration.conv_kernel, configuration.conv_stride, strict=True))
        self.padded = kind in PADDED and configuration.feat_extract_norm == "layer"
        self.norm_is_last = bool(getattr(configuration, "do_stable_layer_norm", False))

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = valid(lengths, waves.shape[1])
        mask = None if bool(inside.all()) else inside.long().to(waves.device)
        frames: Tensor = self.network(waves, attention_mask=mask).last_hidden_state
        counts = [count_frames(length, self.convolutions) for length in lengths.tolist()]
        return frames, torch.tensor(counts)

    def stages(self) -> list[list[nn.Module]]:
        network: Any = self.network
        before = [network.feature_projection, network.encoder.pos_conv_embed, network.encoder.dropout]
        norm = [network.encoder.layer_norm]
        blocks = [[block] for block in network.encoder.layers]
        first = before if self.norm_is_last else before + norm
        return [[network.feature_extractor], first, *blocks, norm if self.norm_is_last else []]

    def least(self, lengths: Tensor) -> Tensor:
        return lengths.clamp(min=receptive_field(self.convolutions))


class MelEncoder(SpeechEncoder):
    """The encoder of Whisper, which fills each wave up to its window (30 s) by itself."""

    padded = True

    def __init__(self, network: Any, extractor: Mapping[str, Any]) -> None:
        from transformers import WhisperFeatureExtractor

        super().__init__(network, extractor)
        self.columns = int(network.config.d_model)
        self.mel = WhisperFeatureExtractor(**{k: v for k, v in extractor.items() if k in EXTRACTOR[1:]})
        self.hop = 2 * self.mel.hop_length  # its second convolution halves the frames
        self.longest = network.config.max_source_positions * self.hop

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        given = [wave[:length].cpu().numpy() for wave, length in zip(waves, lengths.tolist(), strict=True)]
        mel = self.mel(given, sampling_rate=RATE, return_tensors="pt", do_normalize=False).input_features
        counts = (lengths + self.hop - 1) // self.hop
        together = max(1, self.room // self.longest)  # each fills the whole window
        parts = mel.float().to(waves.device).split(together)
        frames = torch.cat([self.network(part).last_hidden_state for part in parts])
        return frames[:, : int(counts.max())], counts

    def stages(self) -> list[list[nn.Module]]:
        network: Any = self.network
        front = [network.conv1, network.conv2, network.embed_positions]  # which are sines, never learned
        return [front, [], *([block] for block in network.layers), [network.layer_norm]]

    def least(self, lengths: Tensor) -> Tensor:
        if int(lengths.max()) > self.longest:
            seconds = self.longest // RATE
            raise UsageError(
                f"the encoder hears at most {seconds} s at once, and an utterance is longer. Give it "
                f"waveform_16k(seconds={seconds})."
            )
        return lengths


def pretrained_encoder(checkpoint: str, revision: str) -> tuple[SpeechEncoder, EncoderPlan]:
    """The encoder of a checkpoint, trainable, on the CPU, and its plan.

    Args:
        checkpoint: folder, or name on the Hugging Face hub.
        revision: branch, tag or commit on the hub; empty for `main`, or for a folder.

    Raises:
        MissingInput: it is not there.
        UsageError: a revision of a folder, or a remote folder.
        BadModel: it is of another kind, damaged, asks for code, or lacks weights.
    """
    from ser_ray.features.ssl_encoder import load_encoder

    source = locate(checkpoint, revision)
    origin = identity(source)
    loaded = load_encoder(source, origin)
    extractor = {k: getattr(loaded.extractor, k) for k in EXTRACTOR if hasattr(loaded.extractor, k)}
    network: Any = loaded.network
    kind = network.config.model_type
    known = _settings_of(kind)
    configuration = {k: v for k, v in network.config.to_dict().items() if k in known}
    plan = EncoderPlan(kind, configuration, extractor, origin)
    encoder = plan.build()
    weights = {k: v for k, v in network.state_dict().items() if not k.startswith(UNUSED)}
    encoder.network.load_state_dict(weights)
    return encoder, plan


def _settings_of(kind: str) -> set[str]:
    """What transformers lets one set of a kind of network, beside what it lets one set of all."""
    import transformers

    own: set[str] = set(transformers.AutoConfig.for_model(kind).to_dict())
    return own - set(transformers.PretrainedConfig().to_dict())
