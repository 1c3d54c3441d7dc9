"""Our own loop over time, for any cell."""

from __future__ import annotations

import torch
from torch import Tensor

from common.recurrent.cells import Cell
from common.recurrent.padding import Padding
from common.recurrent.state import State


def scan(
    cell: Cell,
    inputs: Tensor,
    state: State,
    padding: Padding | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Unroll a cell over time: one input product for all steps, then one recurrent product a step.

    The recurrent weight gradient is one product after the loop has run backward (`Cell.deferred`).

    Args:
        cell: any cell.
        inputs: (T, B, I), 0 at padding; T is at least 1.
        state: before the first step.
        padding: which steps are not real; they leave the state as it is.
        reverse: from the last real step to the first.

    Returns:
        The outputs (T, B, H), exactly 0 at padding, and the state after the last real step.
    """
    projected = cell.project(inputs)  # (T, B, P)
    if torch.is_grad_enabled():
        cell = cell.deferred()
    masks = None if padding is None else padding.mask.unbind(0)
    shortest = len(inputs) if padding is None else padding.shortest
    outputs = list(projected.unbind(0))
    times = range(len(outputs))
    for time in reversed(times) if reverse else times:
        after = cell.step(outputs[time], state)
        if masks is not None and time >= shortest:
            after = tuple(
                torch.where(masks[time].view(-1, *(1,) * (new.dim() - 1)), old.to(new.dtype), new)
                for old, new in zip(state, after, strict=True)
            )
        state = after
        outputs[time] = state[0]
    stacked = torch.stack(outputs)
    return stacked if padding is None else padding.clear(stacked), state
