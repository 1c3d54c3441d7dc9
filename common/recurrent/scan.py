"""Our own loop over time, for any cell."""

from __future__ import annotations

import torch
from torch import Tensor

from common.compute.device import is_gpu
from common.recurrent.cells import Cell, LinearCell
from common.recurrent.deferred import deferring, transformed
from common.recurrent.elementwise import unroll_linear
from common.recurrent.names import Mode
from common.recurrent.padding import Padding
from common.recurrent.state import State
from common.recurrent.watching import is_watched, watch_of


def scan(
    cell: Cell,
    inputs: Tensor,
    state: State,
    padding: Padding | None = None,
    reverse: bool = False,
    mode: Mode | None = None,
) -> tuple[Tensor, State]:
    """Unroll a cell over time: one input product for all steps, then one recurrent product a step.

    The recurrent weight gradient is one product after the loop has run backward (`Cell.deferred`).
    Linear cells have no such product, and a faster loop (`unroll_linear`).

    Args:
        cell: any cell.
        inputs: (T, B, I), 0 at padding; T is at least 1.
        state: before the first step.
        padding: which steps are not real; they leave the state as it is.
        reverse: from the last real step to the first.
        mode: of linear cells: step by step, or all steps at once; by default the faster of both, which
            is "parallel" on a GPU.

    Returns:
        The outputs (T, B, H), exactly 0 at padding, and the state after the last real step.
    """
    parallel = mode == "parallel" or (mode is None and is_gpu(inputs.device))
    exporting = torch.compiler.is_exporting()  # the number of steps is to stay open
    own_backward = not (torch.compiler.is_compiling() or transformed())
    at_once = own_backward or (mode == "parallel" and not exporting)
    if isinstance(cell, LinearCell) and at_once and not is_watched():
        outputs, state = unroll_linear(cell, inputs, state, padding, reverse, parallel)
    else:
        loop = _exported if exporting else _unrolled
        outputs, state = loop(cell, cell.project(inputs), state, padding, reverse)
    return outputs if padding is None else padding.clear(outputs), state


def _unrolled(
    cell: Cell, projected: Tensor, state: State, padding: Padding | None, reverse: bool
) -> tuple[Tensor, State]:
    if deferring():
        cell = cell.deferred()
    masks = None if padding is None else padding.mask.unbind(0)
    shortest = len(projected) if padding is None else padding.shortest
    outputs = list(projected.unbind(0))
    times = range(len(outputs))
    watch = watch_of(cell, reverse)
    for time in reversed(times) if reverse else times:
        after = cell.step(outputs[time], state)
        if masks is not None and time >= shortest:
            after = _held(masks[time], state, after)
        state = after if watch is None else watch(after, None if masks is None else masks[time])
        outputs[time] = state[0]
    return torch.stack(outputs), state


def _exported(
    cell: Cell, projected: Tensor, state: State, padding: Padding | None, reverse: bool
) -> tuple[Tensor, State]:
    """The loop as one operator of the exported graph, whose number of steps stays open."""
    from torch._higher_order_ops.scan import scan as loop

    def step(before: list[Tensor], inputs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        after = cell.step(inputs[0], tuple(before))
        if padding is not None:
            after = _held(inputs[1], tuple(before), after)
        after = tuple(new.to(old.dtype) for old, new in zip(before, after, strict=True))
        return [part.clone() for part in after], after[0].clone()  # the operator takes no aliases

    inputs = [projected] if padding is None else [projected, padding.mask]
    last, outputs = loop(step, [part.clone() for part in state], inputs, dim=0, reverse=reverse)
    return outputs, tuple(last)


def _held(mask: Tensor, before: State, after: State) -> State:
    """The state after a step, and that before it where the step is padding: mask (B, 1)."""
    return tuple(
        torch.where(mask.view(-1, *(1,) * (new.dim() - 1)), old.to(new.dtype), new)
        for old, new in zip(before, after, strict=True)
    )
