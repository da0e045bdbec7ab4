"""Speech probabilities of many recordings at once, by the network of Silero VAD.

Silero VAD (Silero Team, 2024, https://github.com/snakers4/silero-vad, MIT) judges chunks of 32 ms.
All of its network but one LSTM layer looks at a single chunk. So that part is computed here for all
chunks of all lanes together, and only the LSTM steps through time, all lanes abreast. The weights
are those of the installed package, and so are the probabilities, to rounding.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ser_ray.errors import UsageError

State = tuple[Tensor, Tensor]  # the LSTM's hidden and cell state, [1, lanes, units] each

SLICE = 1024  # chunks computed together: some 16 MB at work, at any number and length of legs
STRIDES = (1, 2, 2, 1)  # of the encoder's convolutions
PREFIXES = {8000: "_model_8k.", 16000: "_model."}  # of each rate's network within the package's weights


class LaneVad:
    """Speech probabilities of many legs at once, one lane each.

    State is carried from stretch to stretch: a leg pushed in pieces is judged as if pushed whole.

    Args:
        rate: sample rate in Hz, 8000 or 16000.
        lanes: number of legs.

    Attributes:
        hop: samples that one probability stands for (32 ms).

    Raises:
        UsageError: there is no network for `rate`.
    """

    def __init__(self, rate: int, lanes: int) -> None:
        self._network = _load_network(rate)
        self.hop = self._network.hop
        self._context = np.zeros((lanes, self._network.context), np.float32)
        self._state = (torch.zeros(1, lanes, self._network.units), torch.zeros(1, lanes, self._network.units))

    @torch.inference_mode()
    def push(self, stretch: np.ndarray) -> np.ndarray:
        """The speech probabilities of the next stretch of every leg.

        The same stretches in the same shapes give the same bits; in other shapes, the same to rounding.

        Args:
            stretch: float32 [lanes, samples], full scale 1.0, samples a multiple of `hop`.

        Returns:
            float32 [lanes, samples // hop].

        Raises:
            ValueError: `stretch` is not of that shape and type.
        """
        lanes = len(self._context)
        fits = stretch.ndim == 2 and len(stretch) == lanes and stretch.shape[1] % self.hop == 0
        if not fits or stretch.dtype != np.float32:
            wanted = f"float32 [{lanes}, a multiple of {self.hop}]"
            raise ValueError(f"a stretch of {stretch.dtype} {list(stretch.shape)} is not {wanted}")
        probabilities = np.empty((lanes, stretch.shape[1] // self.hop), np.float32)
        steps = max(1, SLICE // max(1, lanes))
        for first in range(0, probabilities.shape[1] if lanes else 0, steps):
            samples = stretch[:, first * self.hop : (first + steps) * self.hop]
            probabilities[:, first : first + steps] = self._push_slice(samples)
        return probabilities

    def keep(self, lanes: Sequence[int]) -> None:
        """Go on with these lanes only, in this order; the legs of the others have ended."""
        kept = np.asarray(lanes, np.intp)
        self._context = self._context[kept]
        self._state = (self._state[0][:, kept], self._state[1][:, kept])

    def _push_slice(self, samples: np.ndarray) -> np.ndarray:
        context = self._network.context
        wave = np.concatenate([self._context, samples], axis=1)
        self._context = wave[:, -context:].copy()
        chunks = torch.from_numpy(wave).unfold(1, context + self.hop, self.hop).transpose(0, 1)
        probabilities, self._state = self._network(chunks, self._state)
        return np.asarray(probabilities.T)


class SileroNetwork(nn.Module):
    """The network of Silero VAD v6 for one rate: magnitude spectrum, four convolutions, LSTM, logistic unit.

    Args:
        rate: sample rate in Hz, 8000 or 16000.
        weights: the network's weights, named as in the package.
    """

    def __init__(self, rate: int, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.window = rate * 16 // 1000  # samples of one spectrum
        self.taper = torch.hann_window(self.window)
        self.hop = 2 * self.window
        self.context = self.window // 4  # samples before a chunk that are judged with it
        layers = [f"encoder.{i}.reparam_conv" for i in range(len(STRIDES))]
        self.kernels = [weights[f"{layer}.weight"].permute(2, 1, 0).contiguous() for layer in layers]
        self.biases = [weights[f"{layer}.bias"] for layer in layers]
        self.units = weights["decoder.rnn.weight_hh"].shape[1]
        self.lstm = nn.LSTM(self.kernels[-1].shape[-1], self.units).requires_grad_(False)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.lstm.load_state_dict({f"{name}_l0": weights[f"decoder.rnn.{name}"] for name in names})
        self.output = weights["decoder.decoder.2.weight"].flatten()
        self.output_bias = weights["decoder.decoder.2.bias"]

    def forward(self, chunks: Tensor, state: State) -> tuple[Tensor, State]:
        """Probabilities [steps, lanes] of chunks [steps, lanes, context + hop], and the state after them."""
        frames = self._spectra(chunks)
        for kernel, bias, stride in zip(self.kernels, self.biases, STRIDES, strict=True):
            frames = _convolve(frames, kernel, bias, stride)
        hidden, state = self.lstm(frames.view(*chunks.shape[:2], -1), state)
        return torch.sigmoid(hidden.relu_() @ self.output + self.output_bias), state

    def _spectra(self, chunks: Tensor) -> Tensor:
        """Magnitude spectra [steps * lanes, 4, bins]; the package's STFT basis is a Hann-windowed DFT."""
        wave = pad(chunks.flatten(0, 1), (0, self.context), mode="reflect")
        frames = wave.unfold(1, self.window, self.window // 2) * self.taper
        bins = torch.fft.rfft(frames)
        return torch.addcmul(bins.real.square(), bins.imag, bins.imag).sqrt_()


def _convolve(frames: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
    """ReLU of a convolution over frames, as a matrix product for each of the few frames of the result.

    On so few frames this is faster than `conv1d`: nothing is copied, and no zero padding is multiplied.

    Args:
        frames: [n, frames, channels], contiguous; taken as padded by one zero frame on both sides.
        kernel: [3, channels, out_channels].
        bias: [out_channels].
        stride: hop of the kernel in frames.

    Returns:
        [n, ceil(frames / stride), out_channels].
    """
    n, length, channels = frames.shape
    flat = frames.view(n, length * channels)
    result = frames.new_empty(n, -(-length // stride), len(bias))
    for i in range(result.shape[1]):
        centre = i * stride
        first, end = max(centre - 1, 0), min(centre + 2, length)
        taps = kernel[first - centre + 1 : end - centre + 1].flatten(0, 1)
        torch.addmm(bias, flat[:, first * channels : end * channels], taps, out=result[:, i])
    return result.relu_()


@lru_cache
def _load_network(rate: int) -> SileroNetwork:
    if rate not in PREFIXES:
        raise UsageError(f"no voice activity network for {rate} Hz: resample to 8000 or 16000 Hz.")
    spec = importlib.util.find_spec("silero_vad")  # found, not imported: importing sets torch's thread count
    if spec is None or spec.origin is None:
        raise UsageError("silero-vad is not installed: pip install silero-vad")
    path = Path(spec.origin).parent / "data" / "silero_vad.jit"  # the only file with the network for 8 kHz
    weights = torch.jit.load(str(path), "cpu").state_dict()  # type: ignore[no-untyped-call]
    prefix = PREFIXES[rate]
    own = {name.removeprefix(prefix): w.detach() for name, w in weights.items() if name.startswith(prefix)}
    return SileroNetwork(rate, own).eval()
