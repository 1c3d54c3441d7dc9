"""The independently recurrent network."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from common.recurrent.cells.simple import SimpleRNNCell
from common.recurrent.deferred import added


class IndRNNCell(SimpleRNNCell):
    """One step of an independently recurrent network (Li et al. 2018, eq. 2).

        h' = f(W x + u * h + b)

    Each unit sees its own past only: weight_hh (H,) is u, uniform in 0..1 at first.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
        nonlinearity: f.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: Literal["tanh", "relu"] = "relu",
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, nonlinearity, bias=bias)

    def recurrent_shape(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def reset_parameters(self) -> None:
        """As of every cell, but u."""
        super().reset_parameters()
        assert self.weight_hh is not None
        nn.init.uniform_(self.weight_hh)

    def recurrent_product(
        self, hidden: Tensor, rows: slice, bias: bool, onto: Tensor | None = None
    ) -> Tensor:
        """The product u * h. hidden: (B, H), of the units in `rows`."""
        return added(onto, self.scaled("weight_hh", hidden, rows))
