"""Packed recurrent layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ser_ray.models.networks.parts.masking import silenced_frames
from ser_ray.models.networks.parts.settings import one_of, positive, share

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


class Recurrent(nn.Module):
    """A packed recurrent layer, each gate's matrices orthogonal at first, forget gates open.

    Args:
        inputs: columns.
        units: of each direction.
        cell: "rnn" (tanh), "gru" or "lstm".
        bidirectional: whether a second one reads from the end to the beginning.
        layers: one upon the other.
        dropout: between layers.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        cell: str = "lstm",
        bidirectional: bool = False,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kind = CELLS[one_of("cell", cell, CELLS)]
        self.columns = positive("units", units) * (2 if bidirectional else 1)
        self.layer = kind(
            inputs,
            units,
            num_layers=positive("layers", layers),
            batch_first=True,
            bidirectional=bidirectional,
            dropout=share("dropout", dropout) if layers > 1 else 0.0,
        )
        _start_orthogonal(self.layer, cell)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Every state and the last one.

        Returns:
            [batch, frames, columns], zeros beyond each length; and [batch, columns]: the state after the
            last valid frame, beside it the backward one's after the first.
        """
        if not self.layer.bidirectional:  # what follows a frame does not reach its state
            every = silenced_frames(self.layer(values)[0], lengths)
            rows = torch.arange(len(values), device=values.device)
            return every, every[rows, lengths.to(values.device) - 1]
        if int(lengths.min()) == values.shape[1]:
            every, last = self.layer(values)
        else:  # packed, which costs several times as much on a CPU
            packed = pack_padded_sequence(values, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, last = self.layer(packed)
            every, _ = pad_packed_sequence(states, batch_first=True, total_length=values.shape[1])
        last = last[0] if isinstance(last, tuple) else last  # an LSTM's hidden state, not its cell
        return every, torch.cat(list(last[-2:]), dim=1)


@torch.no_grad()
def _start_orthogonal(layer: nn.RNNBase, cell: str) -> None:
    for name, parameter in layer.named_parameters():
        gates = parameter.chunk(_GATES[cell])
        for gate in gates:
            nn.init.orthogonal_(gate) if gate.ndim == 2 else nn.init.zeros_(gate)
        if cell == "lstm" and name.startswith("bias_ih"):
            nn.init.ones_(gates[1])  # Jozefowicz et al. (2015)
