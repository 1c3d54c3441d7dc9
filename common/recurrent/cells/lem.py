"""Long expressive memory."""

from __future__ import annotations

from torch import Tensor

from common.recurrent.cells.cell import Cell, mixed
from common.recurrent.state import State


class LEMCell(Cell):
    """One step of a long expressive memory (Rusch et al. 2022, eq. 3).

        s  = dt sigmoid(W_1 y + V_1 u)         step of the memory, of each unit
        s~ = dt sigmoid(W_2 y + V_2 u)         step of the output
        z' = (1 - s) * z + s * tanh(W_z y + V_z u)
        y' = (1 - s~) * y + s~ * tanh(W_y z' + V_y u)

    Two states with learnt time scales, the second driven by the first.

    Args:
        input_size: I, features of u.
        hidden_size: H, features of y and of z.
        dt: the longest step, in 0..1.
    """

    gates = 4
    memory_gates = {0: -1}
    state_size = 2
    joint_bias = True

    def __init__(
        self, input_size: int, hidden_size: int, dt: float = 1.0, *, bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.dt = dt

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, 4 H), the input part of s, s~, z, y; state: (y, z), each (B, H)."""
        output, memory = state
        size = self.hidden_size
        sizes = (2 * size, size)
        by_output, output_x = projected.split((3 * size, size), dim=1)
        by_output = self.recurrent(output, slice(0, 3 * size), onto=by_output)
        steps, memory_input = by_output.split(sizes, dim=1)
        of_memory, of_output = (self.dt * steps.sigmoid()).chunk(2, dim=1)
        memory = mixed(memory, memory_input.tanh(), of_memory)
        candidate = self.recurrent(memory, slice(3 * size, 4 * size), onto=output_x)
        return mixed(output, candidate.tanh(), of_output), memory
