"""The minimal gated unit."""

from __future__ import annotations

from torch import Tensor

from common.recurrent.cells.cell import Cell, mixed
from common.recurrent.state import State


class MGUCell(Cell):
    """One step of a minimal gated unit (Zhou et al. 2016, "Minimal gated unit for RNNs").

        f  = sigmoid(W_f x + U_f h)            how much of the past the candidate sees, and is replaced
        n  = tanh(W_n x + U_n (f * h))         candidate
        h' = (1 - f) * h + f * n

    The paper calls f the forget gate; it forgets where it is open, so `initialize_` does not open it.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
    """

    gates = 2
    joint_bias = True
    memory_gates = {0: -1}

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 2 H), the input part of f and n; state: (h,) with h (B, H)."""
        (hidden,) = state
        size = self.hidden_size
        gate_x, candidate_x = projected.chunk(2, dim=1)
        forget = self.recurrent(hidden, slice(0, size), onto=gate_x).sigmoid()
        candidate = self.recurrent(forget * hidden, slice(size, 2 * size), onto=candidate_x)
        return (mixed(hidden, candidate.tanh(), forget),)
