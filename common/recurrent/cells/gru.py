"""Gated recurrent units, plain and layer-normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.recurrent.cells.cell import ALL, Cell, mixed
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
    memory_gates = {1: 1}

    def __init__(
        self, input_size: int, hidden_size: int, reset_after: bool = True, *, bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.reset_after = reset_after
        self.joint_bias = not reset_after

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
            gates = self.recurrent(hidden, slice(0, 2 * size), onto=gates_x)
            reset, update = gates.sigmoid().chunk(2, dim=1)
            seen, rows = reset * hidden, slice(2 * size, 3 * size)
            candidate = self.recurrent(seen, rows, onto=candidate_x).tanh()
        return (mixed(candidate, hidden, update),)


class LayerNormGRUCell(Cell):
    """One step of a layer-normalised GRU (Ba, Kiros and Hinton 2016, supplement).

        r, z = sigmoid(LN(W_rz x) + LN(U_rz h))          reset and update gate
        n    = tanh(LN(W_n x) + r * LN(U_n h))           candidate
        h'   = (1 - z) * n + z * h

    Each LN has its own gain and, in bias_ih or bias_hh, its own shift. It runs over all that it is
    given: the 2 H inputs of the gates together, or the H inputs of the candidate.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
        eps: added to the variances.
    """

    gates = 3
    memory_gates = {1: 1}

    def __init__(self, input_size: int, hidden_size: int, eps: float = 1e-5) -> None:
        super().__init__(input_size, hidden_size)
        self.eps = eps
        self.gain_ih = nn.Parameter(torch.ones(3 * hidden_size))
        self.gain_hh = nn.Parameter(torch.ones(3 * hidden_size))

    def project(self, inputs: Tensor, columns: slice = ALL, bias: bool = True) -> Tensor:
        """As `Cell.project`, but without the bias, which `step` adds after the normalisation."""
        return super().project(inputs, columns, bias=False)

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 3 H), the input part of r, z, n; state: (h,) with h (B, H)."""
        (hidden,) = state
        gates_x, candidate_x = self._norm(projected, self.gain_ih, self.bias_ih)
        product = self.recurrent(hidden, bias=False)
        gates_h, candidate_h = self._norm(product, self.gain_hh, self.bias_hh)
        reset, update = (gates_x + gates_h).sigmoid().chunk(2, dim=1)
        return (mixed((candidate_x + reset * candidate_h).tanh(), hidden, update),)

    def _norm(self, values: Tensor, gain: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """values: (B, 3 H). Returns those of the gates (B, 2 H) and of the candidate (B, H)."""
        assert bias is not None
        sizes = (2 * self.hidden_size, self.hidden_size)
        gates, candidate = (
            F.layer_norm(part, part.shape[1:], each_gain, each_bias, self.eps)
            for part, each_gain, each_bias in zip(
                values.split(sizes, dim=1), gain.split(sizes), bias.split(sizes), strict=True
            )
        )
        return gates, candidate
