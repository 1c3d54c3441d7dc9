"""`Recurrent` against torch.nn, and our own scan against both."""

from __future__ import annotations

import torch
from torch import nn

from common.recurrent import GRUCell, LayerNormLSTMCell, LSTMCell, Recurrent, SimpleRNNCell
from common.recurrent.names import StandardCell
from experiments.benchmarks.harness import CPU, Comparison, compare

STANDARD: dict[StandardCell, tuple] = {
    "rnn": (nn.RNN, SimpleRNNCell),
    "gru": (nn.GRU, GRUCell),
    "lstm": (nn.LSTM, LSTMCell),
}


def standard_cell(
    cell: StandardCell,
    batch: int = 64,
    steps: int = 20,
    input_size: int = 256,
    hidden_size: int = 512,
    rounds: int = 9,
    device: torch.device = CPU,
) -> Comparison:
    """Forward and backward of one layer: torch.nn, `Recurrent` by name, `Recurrent` on our scan."""
    torch.manual_seed(0)
    fused, own = STANDARD[cell]
    reference = fused(input_size, hidden_size, batch_first=True).to(device)
    dispatched = Recurrent(cell, input_size, hidden_size).to(device)
    scanned = Recurrent(own, input_size, hidden_size).to(device)
    inputs = torch.randn(batch, steps, input_size).to(device).requires_grad_()
    variants = {
        f"torch.nn.{fused.__name__}": lambda: reference(inputs)[0].sum().backward(),
        f'Recurrent("{cell}")': lambda: dispatched(inputs)[0].sum().backward(),
        f"Recurrent({own.__name__}), our scan": lambda: scanned(inputs)[0].sum().backward(),
    }
    if cell == "lstm":
        normalised = Recurrent(LayerNormLSTMCell, input_size, hidden_size).to(device)
        variants["Recurrent(LayerNormLSTMCell)"] = lambda: normalised(inputs)[0].sum().backward()
    return compare(
        f"{cell}, batch {batch}, {steps} steps, {input_size} to {hidden_size}",
        variants,
        rounds=rounds,
        bar='Recurrent("...") at least 0.91x',
        device=device,
    )
