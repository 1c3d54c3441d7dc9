"""`Recurrent` against torch.nn, and our own scan against both."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

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
        bars={f'Recurrent("{cell}")': 1.05},
        device=device,
    )


def padded_standard_cell(
    cell: StandardCell,
    batch: int = 64,
    steps: int = 20,
    input_size: int = 256,
    hidden_size: int = 512,
    rounds: int = 9,
    device: torch.device = CPU,
) -> Comparison:
    """The same of a padded batch, which torch.nn takes packed; and what it takes to read the padding."""
    torch.manual_seed(0)
    fused, _ = STANDARD[cell]
    reference = fused(input_size, hidden_size, batch_first=True).to(device)
    ours = Recurrent(cell, input_size, hidden_size).to(device)
    ours.load_state_dict(reference.state_dict())
    inputs = torch.randn(batch, steps, input_size).to(device).requires_grad_()
    lengths = lengths_of(batch, steps)

    def packed() -> torch.Tensor:
        given = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(reference(given)[0], batch_first=True, total_length=steps)[0]

    torch.testing.assert_close(ours(inputs, lengths)[0], packed(), rtol=1e-3, atol=1e-4)
    return compare(
        f"{cell}, batch {batch}, {steps} steps, half to all of them real, "
        f"{input_size} to {hidden_size}",
        {
            f"torch.nn.{fused.__name__}, packed": lambda: packed().sum().backward(),
            f'Recurrent("{cell}") with lengths': lambda: ours(inputs, lengths)[0].sum().backward(),
            f"torch.nn.{fused.__name__}, without lengths": lambda: (
                reference(inputs)[0].sum().backward()
            ),
        },
        rounds=rounds,
        bars={f'Recurrent("{cell}") with lengths': 1.05},
        device=device,
    )


def lengths_of(batch: int, steps: int) -> torch.Tensor:
    """Lengths from half the steps to all of them, on the host."""
    lengths = torch.randint((steps + 1) // 2, steps + 1, (batch,), device="cpu")
    lengths[0] = steps
    return lengths
