"""How much gradient reaches each time step: whether it vanishes or explodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from common.recurrent.cells import Cell
from common.recurrent.layer import Recurrent
from common.recurrent.state import map_state, state_tensors


def gradient_flow(
    network: Recurrent | Cell,
    inputs: Tensor,
    loss: Callable[[Tensor], Tensor] = torch.sum,
) -> Tensor:
    """The norm of the gradient that a loss at the last step sends to the state after each step.

    Through t steps back the gradient is multiplied by t Jacobians of the step: it vanishes where
    their norms are below 1 and may explode where they are above (Bengio, Simard and Frasconi 1994;
    Pascanu, Mikolov and Bengio 2013). The gradients of the parameters are not changed.

    Args:
        network: a cell, or a network of one direction.
        inputs: (B, T, I) without padding, T at least 1.
        loss: of the last output (B, H), a scalar.

    Returns:
        (T,) the norm of the gradient with respect to the whole state (all layers; all tensors of
        their states) after each step, averaged over the batch.

    Raises:
        ValueError: no steps, or a bidirectional network.
    """
    if inputs.dim() != 3 or inputs.shape[1] == 0:
        raise ValueError(f"inputs are (B, T, I) with T at least 1, not {tuple(inputs.shape)}")
    parts: list[Tensor] = []
    with torch.enable_grad():
        # Leaves: without them the first state would have no gradient where all weights are frozen.
        first = network.initial_state(inputs.shape[0], inputs)
        state: Any = map_state(lambda part: part.clone().requires_grad_(), first)
        for inputs_t in inputs.unbind(1):
            cell = isinstance(network, Cell)
            state = network(inputs_t, state) if cell else network.step(inputs_t, state)[1]
            # An LSTM makes h from c. The gradient of a view of c is what c alone passes to the next
            # step, without what passes through h.
            state = map_state(lambda part: part.view_as(part), state)
            parts += state_tensors(state)
        output = state if cell else state[-1:]  # of the top layer
        total = loss(next(state_tensors(output)))
        # The loss does not depend on an LSTM's last c: its gradient is 0.
        gradients = torch.autograd.grad(total, parts, materialize_grads=True)
    norms = torch.stack([g.reshape(len(g), -1).norm(dim=1) for g in gradients])
    norms = norms.unflatten(0, (inputs.shape[1], -1)).norm(dim=1)  # (T, B), over a state's parts
    return norms.mean(dim=1)
