"""Gated recurrent units."""

from __future__ import annotations

import torch
from torch import Tensor

from common.recurrent.cells.cell import Cell
from common.recurrent.state import State


class GRUCell(Cell):
    """One step of a gated recurrent unit (Cho et al. 2014, eq. 5-8).

        r  = sigmoid(W_r x + U_r h)        reset gate: how much of the past the candidate sees
        z  = sigmoid(W_z x + U_z h)        update gate: how much of the past is kept
        n  = tanh(W_n x + r * (U_n h))     candidate
        h' = (1 - z) * n + z * h

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
        reset_after: apply r after the product with U_n (cuDNN, PyTorch) or before it, U_n (r * h)
            (the paper).
    """

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, reset_after: bool = True, *, bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.reset_after = reset_after

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 3 H), the input part of r, z, n; state: (h,) with h (B, H)."""
        (hidden,) = state
        size = self.hidden_size
        sizes = (2 * size, size)
        gates_x, candidate_x = projected.split(sizes, dim=1)
        if self.reset_after:
            gates_h, candidate_h = self.recurrent(hidden).split(sizes, dim=1)
            reset, update = (gates_x + gates_h).sigmoid().chunk(2, dim=1)
            candidate = (candidate_x + reset * candidate_h).tanh()
        else:
            gates_h = self.recurrent(hidden, slice(0, 2 * size))
            reset, update = (gates_x + gates_h).sigmoid().chunk(2, dim=1)
            candidate_h = self.recurrent(reset * hidden, slice(2 * size, 3 * size))
            candidate = (candidate_x + candidate_h).tanh()
        # (1 - z) n + z h in one pass; autocast does not cast the arguments of lerp to one dtype.
        return (torch.lerp(candidate, hidden.to(candidate.dtype), update.to(candidate.dtype)),)
