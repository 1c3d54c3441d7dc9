"""The coupled oscillatory network."""

from __future__ import annotations

import torch
from torch import Tensor

from common.recurrent.cells.cell import Cell
from common.recurrent.state import State


class CoRNNCell(Cell):
    """One step of a coupled oscillatory network (Rusch and Mishra 2021, eq. 3).

        z' = z + dt (tanh(W_y y + W_z z + V u + b) - gamma y - epsilon z)      velocity
        y' = y + dt z'                                                       position, the output

    These are H damped oscillators, driven by the input u; the damping term is explicit. With small
    steps, gradients neither vanish nor explode. weight_hh (H, 2 H) is W_y beside W_z.

    Args:
        input_size: I, features of u.
        hidden_size: H, oscillators.
        dt: length of a time step.
        gamma: frequency of the oscillators, squared.
        epsilon: their damping. The defaults are the authors' for sequential MNIST.
    """

    state_size = 2
    joint_bias = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.dt = dt
        self.gamma = gamma
        self.epsilon = epsilon

    def recurrent_shape(self) -> tuple[int, ...]:
        return self.hidden_size, 2 * self.hidden_size

    def swing_freely_(self, phases: Tensor) -> None:
        """Let every oscillator swing by itself at first, in place: W_y is diagonal, W_z and b are 0.

        Without damping (epsilon 0), the state is then turned at every step and hardly shrinks, as by an
        orthogonal matrix: what was read at different times stays apart, and is remembered.

        Args:
            phases: (H,) by how many radians each turns in a step, in 0..pi.
        """
        with torch.no_grad():
            stiffness = (2 / self.dt * (phases / 2).sin()).square()  # gamma - W_y, near y = 0
            for parameter in (self.weight_hh, self.bias_ih, self.bias_hh):
                if parameter is not None:
                    parameter.zero_()
            assert self.weight_hh is not None
            self.weight_hh[:, : self.hidden_size] = torch.diag(self.gamma - stiffness)

    def step(self, projected: Tensor, state: State) -> State:
        """projected: (B, H), the input part of the force; state: (y, z), each (B, H)."""
        position, velocity = state
        force = self.recurrent(torch.cat(state, dim=1), onto=projected).tanh().to(velocity.dtype)
        # z' = (1 - dt epsilon) z - dt gamma y + dt force
        damped = (1 - self.dt * self.epsilon) * velocity
        pulled = torch.add(damped, position, alpha=-self.dt * self.gamma)
        velocity = torch.add(pulled, force, alpha=self.dt)
        return torch.add(position, velocity, alpha=self.dt), velocity
