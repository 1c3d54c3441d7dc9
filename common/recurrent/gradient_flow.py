"""How much gradient reaches each time step: the vanishing and the exploding made visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from common.recurrent.cells import Cell
from common.recurrent.layer import Recurrent
from common.recurrent.state import NestedState, map_state, state_tensors


def gradient_flow(
    network: Recurrent | Cell,
    inputs: Tensor,
    loss: Callable[[Tensor], Tensor] = torch.sum,
) -> Tensor:
    """The norm of the gradient that a loss at the last step sends to the state after each step.

    Through t steps back the gradient is multiplied by t Jacobians of the step: where these shrink
    it vanishes, where they stretch it explodes (Bengio, Simard and Frasconi 1994; Pascanu, Mikolov
    and Bengio 2013). The parameters' own gradients are left alone.

    Args:
        network: a cell, or a network of one direction.
        inputs: (B, T, I) without padding, T at least 1.
        loss: of the last output (B, H), a scalar.

    Returns:
        (T,) the norm of the gradient with respect to the whole state (all layers; all tensors of
        their states) after each step, averaged over the batch. The last entry is the loss's own.

    Raises:
        ValueError: no steps, or a bidirectional network.
    """
    if inputs.dim() != 3 or inputs.shape[1] == 0:
        raise ValueError(f"inputs are (B, T, I) with T at least 1, not {tuple(inputs.shape)}")
    parts: list[Tensor] = []
    with torch.enable_grad():
        # Leaves: without them the first state would have no gradient where all weights are frozen.
        first = network.initial_state(inputs.shape[0], inputs)
        state: NestedState = map_state(lambda part: part.clone().requires_grad_(), first)
        for inputs_t in inputs.unbind(1):
            after = _step(network, inputs_t, state)
            # Views cut the graph between two steps: h is made from c, but here each stands for what
            # it alone sends on.
            state = map_state(lambda part: part.view_as(part), after)
            parts += state_tensors(state)
        output = state if isinstance(network, Cell) else state[-1:]  # of the top layer
        total = loss(next(state_tensors(output)))
        # An LSTM's last c reaches no loss: its gradient is 0.
        gradients = torch.autograd.grad(total, parts, materialize_grads=True)
    norms = torch.stack([g.reshape(len(g), -1).norm(dim=1) for g in gradients])
    norms = norms.unflatten(0, (inputs.shape[1], -1)).norm(dim=1)  # (T, B), over a state's parts
    return norms.mean(dim=1)


def _step(network: Recurrent | Cell, inputs: Tensor, state: Any) -> NestedState:
    return network(inputs, state) if isinstance(network, Cell) else network.step(inputs, state)[1]
