"""Recurrent layers over sequences of several lengths."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as dropped
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ser_ray.models.networks.parts.masking import silenced_frames
from ser_ray.models.networks.parts.settings import one_of, positive, share

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
_RUN: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "rnn": torch.rnn_tanh,
    "gru": torch.gru,
    "lstm": torch.lstm,
}
_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


class Recurrent(nn.Module):
    """A recurrent layer, each gate's matrices orthogonal at first, forget gates open.

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
        self.cell = cell
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
        every = self._packed(values, lengths) if values.is_cuda else self._turned(values, lengths)
        rows, half = torch.arange(len(values), device=values.device), self.layer.hidden_size
        return every, torch.cat(
            [every[rows, lengths.to(values.device) - 1, :half], every[:, 0, half:]], dim=1
        )

    def _packed(self, values: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(values, lengths.cpu(), batch_first=True, enforce_sorted=False)
        every: Tensor = pad_packed_sequence(
            self.layer(packed)[0], batch_first=True, total_length=values.shape[1]
        )[0]
        return every

    def _turned(self, values: Tensor, lengths: Tensor) -> Tensor:
        """The same without packing, whose training costs a CPU several times as much: what reads backwards
        reads each sequence turned round forwards."""
        frames = torch.arange(values.shape[1], device=values.device)
        ends = lengths.to(values.device)[:, None]
        order = torch.where(frames < ends, ends - 1 - frames, frames).unsqueeze(-1)

        def turn(sequences: Tensor) -> Tensor:
            return sequences.gather(1, order.expand(-1, -1, sequences.shape[2]))

        for number in range(self.layer.num_layers):
            if number:
                values = dropped(values, self.layer.dropout, self.training)
            onwards = self._direction(values, f"l{number}")
            values = torch.cat([onwards, turn(self._direction(turn(values), f"l{number}_reverse"))], dim=2)
        return silenced_frames(values, lengths)

    def _direction(self, values: Tensor, weights: str) -> Tensor:
        """States of one direction of one layer [batch, frames, units]."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        start = values.new_zeros(1, len(values), self.layer.hidden_size)
        given = (start, start) if self.cell == "lstm" else start
        own = [getattr(self.layer, f"{kind}_{weights}") for kind in kinds]
        return _RUN[self.cell](values, given, own, True, 1, 0.0, self.training, False, True)[0]


@torch.no_grad()
def _start_orthogonal(layer: nn.RNNBase, cell: str) -> None:
    for name, parameter in layer.named_parameters():
        gates = parameter.chunk(_GATES[cell])
        for gate in gates:
            nn.init.orthogonal_(gate) if gate.ndim == 2 else nn.init.zeros_(gate)
        if cell == "lstm" and name.startswith("bias_ih"):
            nn.init.ones_(gates[1])  # Jozefowicz et al. (2015)
