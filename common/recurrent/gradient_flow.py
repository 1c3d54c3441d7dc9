"""How much gradient reaches each time step: whether it vanishes or explodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast, overload

import torch
from torch import Tensor, nn

from common.compute.device import generator_state, set_generator_state, to_host
from common.recurrent.cells import Cell
from common.recurrent.layer import Recurrent
from common.recurrent.state import State, map_state, state_tensors
from common.recurrent.watching import OnStep, watching

_NAME = "_gradient_flow_name"
"""Attribute of the cells of a model while it is watched; the views that a pass makes of them have it."""


@overload
def gradient_flow(model: nn.Module, of: Callable[[], Tensor]) -> dict[str, Tensor]: ...
@overload
def gradient_flow(
    model: Recurrent | Cell, of: Tensor, loss: Callable[[Tensor], Tensor] = torch.sum
) -> Tensor: ...
def gradient_flow(
    model: nn.Module,
    of: Callable[[], Tensor] | Tensor,
    loss: Callable[[Tensor], Tensor] = torch.sum,
) -> dict[str, Tensor] | Tensor:
    """The norm of the gradient that a loss sends to the state after each step.

        gradient_flow(model, lambda: model.loss(batch).value)["recurrent.l0"]      (T,)

    Through t steps back the gradient is multiplied by t Jacobians of the step: it vanishes where
    their norms are below 1 and may explode where they are above (Bengio, Simard and Frasconi 1994;
    Pascanu, Mikolov and Bengio 2013).

    All that has a `Recurrent` is a model: the loss is computed once, with every cell step by step, by
    whatever kernel it is trained. Nothing changes by it: no gradient of a parameter, no buffer, no
    random generator of the model's device or of the host.

    Args:
        model: holds one `Recurrent` or several, at any depth.
        of: computes the loss, a scalar, with the model. Or inputs (B, T, I) without padding, at least
            one step, of a cell or of a `Recurrent` of one direction: the loss is then of its last
            output alone, and the norm that of the states of all layers together.
        loss: of the last output (B, H), a scalar.

    Returns:
        For each layer and direction that ran, by the name of its `Recurrent` in the model and torch's
        suffix ("encoder.recurrent.l0_reverse", or "l0" where the model is the `Recurrent`), (T,) norms
        on the host. Each is that of the gradient with respect to all tensors of the state together (h
        and c of an LSTM), through later steps, layers above, and the outputs; averaged over the
        sequences that have the step, 0 where none has. Of a mean over B sequences, the gradients are
        B times smaller than of a sum. Where a network runs several times, as one step at a time, its
        steps follow each other; where a mask has holes or there are resets, steps are counted from the
        first real one and from each reset. Given inputs: (T,), of the whole state.

    Raises:
        ValueError: no `Recurrent` ran, or the loss does not depend on its states; no steps, or a
            bidirectional network that was given inputs.
    """
    if isinstance(of, Tensor):
        return _of_whole_state(cast("Recurrent | Cell", model), of, loss)
    passes: list[tuple[str, bool, list[tuple[State, Tensor | None]]]] = []

    def on_pass(cell: nn.Module, reverse: bool) -> OnStep | None:
        name = getattr(getattr(cell, "cell", cell), _NAME, None)  # with zoneout, it is within
        if name is None:  # of another model
            return None
        steps: list[tuple[State, Tensor | None]] = []
        passes.append((name, reverse, steps))

        def on_step(state: State, padding: Tensor | None) -> State:
            state = map_state(_node, state)
            steps.append((state, padding))
            return state

        return on_step

    with _named_cells(model), _unchanged(model), torch.enable_grad(), watching(on_pass):
        total = of()
    parts = [part for *_, steps in passes for state, _ in steps for part in state]
    if not parts or not total.requires_grad:
        raise ValueError("the loss does not depend on the steps of a Recurrent in the model")
    gradients = iter(torch.autograd.grad(total, parts, materialize_grads=True))
    flow: dict[str, list[Tensor]] = {}
    for name, reverse, steps in passes:
        norms = [_mean_norm([next(gradients) for _ in state], padding) for state, padding in steps]
        flow.setdefault(name, []).append(torch.stack(norms[::-1] if reverse else norms))
    return to_host({name: torch.cat(found) for name, found in flow.items()})


def _node(part: Tensor) -> Tensor:
    """A node of the graph, also where all weights are frozen.

    A view: an LSTM makes h from c, and the gradient of its c is to be what c alone passes to the next
    step, without what passes through h.
    """
    return part.view_as(part) if part.requires_grad else part.detach().requires_grad_()


def _mean_norm(gradients: Sequence[Tensor], padding: Tensor | None = None) -> Tensor:
    """The norm over the parts of a state, a mean over its rows without padding (B, 1): ()."""
    flat = torch.cat([gradient.reshape(len(gradient), -1) for gradient in gradients], dim=1)
    # Scaled: the squares of a gradient that has all but vanished are 0.
    largest = flat.abs().amax(1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
    rows = (flat / largest).norm(dim=1, keepdim=True) * largest
    if padding is None:
        return rows.mean()
    return rows.masked_fill(padding, 0).sum() / (~padding).sum().clamp(min=1)


@contextmanager
def _named_cells(model: nn.Module) -> Iterator[None]:
    """Within the block, the cells of every `Recurrent` in a model have a name."""
    cells: list[Cell] = []
    for name, network in model.named_modules():
        if isinstance(network, Recurrent):
            own: Any = network.cells.values() if network.kernel is None else network._kernel_cells
            for suffix, cell in zip(network._suffixes, own, strict=True):
                cell.__dict__[_NAME] = f"{name}.{suffix}".lstrip(".")
                cells.append(cell)
    try:
        yield
    finally:
        for cell in cells:
            cell.__dict__.pop(_NAME, None)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """After the block, the buffers of a model and the random generators are what they were before."""
    device = next(model.parameters()).device
    generators = torch.get_rng_state(), generator_state(device)
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        torch.set_rng_state(generators[0])
        set_generator_state(device, generators[1])
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):  # a graph may have saved it as it is
                    buffer.copy_(value)


def _of_whole_state(
    network: Recurrent | Cell, inputs: Tensor, loss: Callable[[Tensor], Tensor]
) -> Tensor:
    """(T,) for inputs (B, T, I): the state of all layers as one."""
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
            state = map_state(_node, state)
            parts += state_tensors(state)
        output = state if cell else state[-1:]  # of the top layer
        total = loss(next(state_tensors(output)))
        # The loss does not depend on an LSTM's last c: its gradient is 0.
        gradients = torch.autograd.grad(total, parts, materialize_grads=True)
    tensors = len(parts) // inputs.shape[1]  # of a state
    every = (gradients[at : at + tensors] for at in range(0, len(parts), tensors))
    return torch.stack([_mean_norm(each) for each in every])
