"""Cells whose recurrence is linear and elementwise: minGRU, minLSTM and HGRN."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from common.recurrent.cells.cell import Cell
from common.recurrent.state import State


class LinearCell(Cell):
    """A cell with the recurrence h' = (1 - z) * h + z * n, where z and n depend on the input alone.

    There is no recurrent product: weight_hh and bias_hh are None. A subclass defines `gate`, and
    `output` where that is not h. The last tensor of the state is h.
    """

    def recurrent_shape(self) -> None:
        return None

    def gate(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """z and n, each (..., H), of one step or of many. projected: (..., P)."""
        raise NotImplementedError

    def output(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """The output (..., H). projected: (..., P); hidden: h' (..., H)."""
        return hidden

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, P); state: (h,), or (output, h), each (B, H)."""
        # Autocast leaves a product in a short type: a gate that is all but shut needs a longer one.
        projected = projected.to(state[-1].dtype)
        update, candidate = self.gate(projected)
        hidden = torch.lerp(state[-1], candidate, update)
        return (self.output(projected, hidden), hidden)[-len(state) :]


class MinGRUCell(LinearCell):
    """One step of a minimal GRU (Feng et al. 2024, "Were RNNs all we needed?", section 3.1).

        z  = sigmoid(W_z x)                update gate: how much of the past is replaced
        n  = g(W_n x)                      candidate, with g(a) = a + 0.5 if a >= 0, else sigmoid(a)
        h' = (1 - z) * h + z * n

    g is the paper's (appendix B), which keeps states positive.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
    """

    gates = 2
    memory_gates = {0: -1}

    def gate(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """projected: (..., 2 H), the inputs of z and n."""
        update, candidate = projected.chunk(2, dim=-1)
        return update.sigmoid(), _positive(candidate)


class MinLSTMCell(LinearCell):
    """One step of a minimal LSTM (Feng et al. 2024, "Were RNNs all we needed?", section 3.2).

        f  = sigmoid(W_f x)                forget gate
        i  = sigmoid(W_i x)                input gate
        n  = g(W_n x)                      candidate, with g of `MinGRUCell`
        h' = f / (f + i) * h + i / (f + i) * n

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
    """

    gates = 3
    forget_gate: ClassVar[int | None] = 0
    memory_gates = {0: 1, 1: -1}

    def gate(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """projected: (..., 3 H), the inputs of f, i and n."""
        forget, written, candidate = projected.chunk(3, dim=-1)
        # i / (f + i) = sigmoid(log i - log f): defined where both gates underflow.
        update = (F.softplus(-forget) - F.softplus(-written)).sigmoid()
        return update, _positive(candidate)


class HGRNCell(LinearCell):
    """One step of a gated linear unit with a bounded forget gate (Qin et al. 2023, "HGRN").

        f  = lower_bound + (1 - lower_bound) sigmoid(W_f x)      forget gate
        n  = silu(W_n x)                                         candidate
        o  = sigmoid(W_o x)                                      output gate
        h' = f * h + (1 - f) * n
        y  = o * h'                                              the output

    The recurrence is real: the paper's phases are 0. The paper lets the bound grow from layer to
    layer, so that upper layers forget slowly. Its normalisation and output product are not of the
    cell. The state is (y, h).

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
        lower_bound: the least that the forget gate keeps, in 0..1.

    Raises:
        ValueError: lower_bound is not in 0..1.
    """

    gates = 3
    state_size = 2
    forget_gate: ClassVar[int | None] = 0
    memory_gates = {0: 1}

    def __init__(
        self, input_size: int, hidden_size: int, lower_bound: float = 0.0, *, bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        if not 0 <= lower_bound < 1:
            raise ValueError(f"lower_bound is at least 0 and below 1, not {lower_bound}")
        self.lower_bound = lower_bound

    def gate(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """projected: (..., 3 H), the inputs of f, n and o."""
        forget, candidate, _ = projected.chunk(3, dim=-1)
        return (1 - self.lower_bound) * forget.neg().sigmoid(), F.silu(candidate)  # 1 - f

    def output(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """projected: (..., 3 H); hidden: (..., H)."""
        return projected.chunk(3, dim=-1)[2].sigmoid() * hidden


def _positive(values: Tensor) -> Tensor:
    """a + 0.5 where a >= 0, else sigmoid(a): a third of the time of `torch.where`."""
    return values.relu() + F.hardtanh(values, -math.inf, 0.0).sigmoid()
