"""First biases with which gates keep a memory for as long as a task needs it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.recurrent.cells import Cell, GRUCell, LSTMCell


def chrono_(module: nn.Module, longest: int) -> None:
    """Set the biases of gates so that memories last 1 to `longest` steps from the start, in place.

    A gate that keeps u / (1 + u) of a memory lets it last about u steps; for each unit u is drawn
    uniformly from 1 to `longest` - 1, and the bias is log u, or -log u where the gate replaces the
    memory ("chrono initialisation", Tallec and Ollivier 2018). With the usual biases near 0, nothing
    is left of a gradient after some ten steps, and what is to be kept for a thousand is not found.

    Args:
        module: a `Cell`, a `Recurrent`, a `torch.nn.LSTM` or `GRU`, or any module that has some. Cells
            without biases, or whose `memory_gates` are not known, stay as they are.
        longest: steps, at least 2.

    Raises:
        ValueError: fewer steps, or no such cell.
    """
    if longest < 2:
        raise ValueError(f"memories last at least 2 steps, not {longest}")
    layers = [layer for child in module.modules() for layer in _layers(child)]
    if not layers:
        raise ValueError(f"{type(module).__name__} has no gates with biases that keep a memory")
    for cell, size, (bias, *others) in layers:
        lasting = torch.empty_like(bias[:size]).uniform_(1, longest - 1).log_()
        for gate, sign in cell.memory_gates.items():
            rows = slice(gate * size, (gate + 1) * size)
            bias[rows] = sign * lasting
            for other in others:  # the biases are added up
                other[rows] = 0


def _layers(module: nn.Module) -> list[tuple[Cell | type[Cell], int, list[Tensor]]]:
    """Of a module itself: for each layer and direction, what cell it is, its H, and its biases."""
    cell: Cell | type[Cell]
    each: Sequence[Sequence[Tensor | None]]
    if isinstance(module, Cell):
        cell, each = module, [[module.bias_ih, module.bias_hh]]
    elif isinstance(module, nn.LSTM | nn.GRU):
        cell = LSTMCell if isinstance(module, nn.LSTM) else GRUCell
        each = [weights[2:4] if module.bias else [] for weights in module.all_weights]
    else:
        return []
    there = [[bias.detach() for bias in biases if bias is not None] for biases in each]
    size = int(module.hidden_size)
    return [(cell, size, biases) for biases in there if biases and cell.memory_gates]
