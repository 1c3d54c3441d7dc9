"""Simple recurrent networks."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from common.recurrent.cells.cell import Cell
from common.recurrent.state import State


class SimpleRNNCell(Cell):
    """One step of a simple recurrent network (Elman 1990).

        h' = f(W_x x + b_x + W_h h + b_h)

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
        nonlinearity: f.
    """

    joint_bias = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, H); state: (h,) with h (B, H)."""
        total = self.recurrent(state[0], onto=projected)
        return (total.tanh() if self.nonlinearity == "tanh" else total.relu(),)
