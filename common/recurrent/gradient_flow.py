"""How much gradient reaches each time step: the vanishing and the exploding made visible."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from common.recurrent.cells import Cell
from common.recurrent.layer import Recurrent


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
        (T,) the norm of the gradient with respect to the whole state (all layers; h and c) after
        each step, averaged over the batch. The last entry is the loss's own gradient.

    Raises:
        ValueError: no steps, or a bidirectional network.
    """
    if inputs.dim() != 3 or inputs.shape[1] == 0:
        raise ValueError(f"inputs are (B, T, I) with T at least 1, not {tuple(inputs.shape)}")
    step = network if isinstance(network, Cell) else lambda x, state: network.step(x, state)[1]
    states = []
    with torch.enable_grad():
        # A leaf: without it the first state would have no gradient where all weights are frozen.
        first = network.initial_state(inputs.shape[0], inputs)
        state = tuple(part.clone().requires_grad_() for part in first)
        for inputs_t in inputs.unbind(1):
            # Views cut the graph between two steps: h is made from c, but here each stands for what
            # it alone sends on.
            state = tuple(part.view_as(part) for part in step(inputs_t, state))
            states.append(state)
        hidden = state[0]
        total = loss(hidden if isinstance(network, Cell) else hidden[:, -1])
        parts = [part for state in states for part in state]
        # An LSTM's last c reaches no loss: its gradient is 0.
        gradients = torch.autograd.grad(total, parts, materialize_grads=True)
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
    norms = norms.unflatten(0, (len(states), -1)).norm(dim=1)  # (T, B), over the parts of a state
    return norms.mean(dim=1)
