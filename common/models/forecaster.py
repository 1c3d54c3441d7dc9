"""The next values of a series, by a recurrent network that reads the window before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from common.compute.device import map_tensors, upload
from common.recurrent import Recurrent
from common.recurrent.cells import CellFactory
from common.recurrent.dropout import Dropout
from common.recurrent.names import CellName
from common.training.loss import Loss

Linear: TypeAlias = Literal["linear"]
Error: TypeAlias = Literal["absolute", "squared"]


@dataclass(frozen=True)
class SeriesBatch:
    """Windows of series, and what follows them.

    Args:
        inputs: (B, T, F) features of the steps before each origin.
        base: (B, H) what a simpler model forecasts; zeros for none.
        targets: (B, H) the values.
    """

    inputs: Tensor
    base: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> SeriesBatch:
        """The batch on a device."""
        return SeriesBatch(
            *(upload(each, device) for each in (self.inputs, self.base, self.targets))
        )

    def pin_memory(self) -> SeriesBatch:
        return map_tensors(self, Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.targets)


class Forecaster(nn.Module):
    """Reads a window to its end, and adds to a simpler model's forecast what that leaves unexplained.

        h_1 ... h_T = Recurrent(x_1 ... x_T)        y = base + W h_T + b

    W and b begin as zeros: an untrained forecaster gives the simpler model's forecast.

    Args:
        input_size: F, features of a step.
        horizon: H, values that are forecast.
        window: T, steps, of which "linear" needs the same number always.
        hidden_size: features of the hidden state.
        cell: as `Recurrent` takes it; "linear": in its place one linear map of the whole window, which
            tells what the recurrence is worth.
        num_layers: stacked layers.
        dropout: probability of dropping a feature of the hidden state in training.
        error: whose mean over all values is the loss: "absolute", which outliers hardly move, or
            "squared".
    """

    def __init__(
        self,
        input_size: int,
        horizon: int,
        window: int,
        *,
        hidden_size: int = 32,
        cell: CellName | Linear | CellFactory = "gru",
        num_layers: int = 1,
        dropout: float = 0.0,
        error: Error = "absolute",
    ) -> None:
        super().__init__()
        self.error = error
        self.recurrent: Recurrent | None = None
        self.linear: nn.Module | None = None
        if cell == "linear":
            self.linear = nn.Sequential(nn.Flatten(), nn.Linear(window * input_size, hidden_size))
        else:
            self.recurrent = Recurrent(
                cell, input_size, hidden_size, num_layers=num_layers, dropout=dropout
            )
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden_size, horizon)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, inputs: Tensor, base: Tensor) -> Tensor:
        """The forecasts (B, H) of windows (B, T, F) and of a simpler model's forecasts (B, H)."""
        if self.recurrent is None:
            assert self.linear is not None
            last = self.linear(inputs)
        else:
            last = self.recurrent(inputs)[0][:, -1]
        return base + self.output(self.dropout(last))

    def loss(self, batch: SeriesBatch) -> Loss:
        """The mean error over all values."""
        error = (self(batch.inputs, batch.base) - batch.targets).float()
        error = error.abs() if self.error == "absolute" else error.square()
        return Loss(error.mean(), torch.full((), error.numel(), device=error.device))

    def predict(self, batch: SeriesBatch) -> Tensor:
        """The forecasts (B, H)."""
        return self(batch.inputs, batch.base)
