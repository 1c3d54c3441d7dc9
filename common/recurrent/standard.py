"""The standard cells by name: torch's module, and the cell that has the same equations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from common.recurrent.cells import CellFactory, GRUCell, LSTMCell, SimpleRNNCell

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The parameters of a layer and direction, as torch names and orders them."""


def standard_cell(
    name: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> tuple[nn.RNNBase, CellFactory]:
    """torch's module for a standard cell, and the cell that has the same equations.

    Raises:
        ValueError: there is no standard cell of that name.
    """
    kernels: dict[str, tuple[Any, CellFactory]] = {
        "rnn": (nn.RNN, SimpleRNNCell),
        "rnn_relu": (
            partial(nn.RNN, nonlinearity="relu"),
            partial(SimpleRNNCell, nonlinearity="relu"),
        ),
        "lstm": (nn.LSTM, LSTMCell),
        "gru": (nn.GRU, GRUCell),
    }
    if name not in kernels:
        raise ValueError(
            f"cell is one of {', '.join(kernels)}, or makes a Cell of (input_size, hidden_size); "
            f"not {name!r}"
        )
    kernel, cell = kernels[name]
    options = {"bidirectional": bidirectional, "dropout": dropout if num_layers > 1 else 0.0}
    return kernel(input_size, hidden_size, num_layers, **options), cell


def rename_torch_weights(
    state_dict: dict[str, Any], prefix: str, suffixes: Sequence[str], kernel: bool
) -> None:
    """Let a state dict of torch.nn load: weight_ih_l0 goes where `Recurrent` keeps it.

    Args:
        state_dict: changed in place.
        prefix: of the names of the network.
        suffixes: torch's, of every layer and direction.
        kernel: whether the weights are those of a module of torch.nn, or of our cells.
    """
    for suffix in suffixes:
        for name in WEIGHTS:
            torch_name = f"{name}_{suffix}"
            ours = f"kernel.{torch_name}" if kernel else f"cells.{suffix}.{name}"
            if prefix + torch_name in state_dict:
                state_dict[prefix + ours] = state_dict.pop(prefix + torch_name)
