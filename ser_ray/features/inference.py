"""How the networks behind features are run: on what, in what batches, and pooled over what.

Nothing here depends on which waves share a batch: each window of a wave gives the same frames alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_ray import errors
from ser_ray.features.feature import Array

if TYPE_CHECKING:
    import torch

RATE = 16000  # Hz, of every network here
LONGEST = 30 * RATE  # samples that pass through a network at once; attention grows with their square
TOGETHER = {"cpu": 30 * RATE, "cuda": 300 * RATE}  # samples in a batch: fewer cost speed, more cost memory

Convolutions = Sequence[tuple[int, int]]  # (kernel, stride) of each layer


class Windows(NamedTuple):
    """What lengths a network takes.

    Attributes:
        shortest: samples; less is filled up with zeros.
        longest: samples; more is cut into windows of equal length.
        padded: windows of different lengths may share a batch, because padding changes no valid frame.
        fixed: the network fills each window up to the longest by itself.
    """

    shortest: int
    longest: int = LONGEST
    padded: bool = False
    fixed: bool = False


class Moments(NamedTuple):
    """Mean and variance [layers, columns] over the frames of a window, or of a whole wave."""

    frames: int
    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]


def pool(
    waves: Sequence[Array], windows: Windows, run: Callable[[list[Array]], Iterable[Sequence[torch.Tensor]]]
) -> list[Moments]:
    """Mean and variance over all frames of each wave, layer by layer.

    Args:
        waves: float32 [samples] each.
        windows: what lengths the network takes.
        run: computes, for each of some windows, the valid frames [frames, columns] of each layer.

    Raises:
        UnreadableAudio: `not_finite`: the network gives no finite values for a wave.
    """
    pieces = [(n, part) for n, wave in enumerate(waves) for part in cut(wave, windows)]
    found: list[list[Moments]] = [[] for _ in waves]
    lengths = [windows.longest if windows.fixed else len(part) for _, part in pieces]
    with exact():
        for group in groups(lengths, TOGETHER[device().type], windows.padded):
            for k, layers in zip(group, run([pieces[k][1] for k in group]), strict=True):
                found[pieces[k][0]].append(moments(layers))
    return [merge(parts) for parts in found]


def cut(wave: Array, windows: Windows) -> list[Array]:
    """A wave in windows of equal length (within a sample), filled up where it is too short."""
    filled = np.pad(wave, (0, max(0, windows.shortest - len(wave))))
    return np.array_split(filled, -(-len(filled) // windows.longest))


def groups(lengths: Sequence[int], room: int, padded: bool) -> Iterator[list[int]]:
    """Which windows go together.

    Args:
        lengths: samples of each window.
        room: samples of a batch, padding included; one window may have more.
        padded: whether different lengths may go together.

    Yields:
        Indices of the windows of a batch, the longest first.
    """
    group: list[int] = []
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        longest = lengths[group[0]] if group else 0
        full = (len(group) + 1) * longest > room
        if group and (full or not (padded or lengths[k] == longest)):
            yield group
            group = []
        group.append(k)
    if group:
        yield group


def moments(layers: Sequence[torch.Tensor]) -> Moments:
    """Mean and variance (over N, not N - 1) of each layer's frames [frames, columns]."""
    mean = np.stack([frames.mean(dim=0).double().cpu().numpy() for frames in layers])
    variance = np.stack([frames.var(dim=0, correction=0).double().cpu().numpy() for frames in layers])
    return Moments(len(layers[0]), mean, variance)


def merge(parts: Sequence[Moments]) -> Moments:
    """Mean and variance over the frames of all parts (Chan, Golub and LeVeque, 1979)."""
    total = sum(part.frames for part in parts)
    shares = [part.frames / total for part in parts]
    mean = sum(
        (share * part.mean for share, part in zip(shares, parts, strict=True)), np.zeros_like(parts[0].mean)
    )
    spread = [part.variance + np.square(part.mean - mean) for part in parts]
    variance = sum((share * s for share, s in zip(shares, spread, strict=True)), np.zeros_like(mean))
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        raise errors.UnreadableAudio(
            "not_finite", "the network gives no finite values: samples far beyond 1.0? Decode the wave again."
        )
    return Moments(total, mean, variance)


def receptive_field(layers: Convolutions) -> int:
    """Samples that one frame depends on."""
    field, hop = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * hop
        hop *= stride
    return field


def count_frames(samples: int, layers: Convolutions) -> int:
    """Frames of so many samples, without padding."""
    for kernel, stride in layers:
        samples = (samples - kernel) // stride + 1
    return samples


def device() -> torch.device:
    """The GPU that this process sees, or the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def exact() -> Iterator[None]:
    """No gradients, and on a GPU no rounding to TF32, which costs four digits."""
    import torch

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if torch.cuda.is_available():
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        yield


def check_finite(tensors: Iterable[tuple[str, torch.Tensor]], place: str) -> None:
    """Refuse weights that are NaN or infinite; raises `errors.BadModel`."""
    import torch

    for name, tensor in tensors:
        if not torch.isfinite(tensor).all():
            raise errors.BadModel(
                f"{place} holds NaN or infinite weights ({name}). Take the checkpoint from its source again."
            )
