"""A loop over time for recurrences without a matrix product, with its own backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from common.recurrent.cells import LinearCell
from common.recurrent.padding import Padding
from common.recurrent.state import State


def unroll_linear(
    cell: LinearCell, projected: Tensor, state: State, padding: Padding | None, reverse: bool
) -> tuple[Tensor, State]:
    """Unroll a cell whose recurrence is linear: all that is not the recurrence is one call.

    Args:
        cell: a linear cell.
        projected: (T, B, P) from `project`.
        state: before the first step.
        padding: which steps are not real; they leave the state as it is.
        reverse: from the last real step to the first.

    Returns:
        The outputs (T, B, H), of any value at padding, and the state after the last real step.
    """
    keep, written = cell.coefficients(projected)
    if padding is not None:
        keep, written = keep.masked_fill(padding.mask, 1), written.masked_fill(padding.mask, 0)
    dtype = torch.promote_types(written.dtype, state[-1].dtype)
    states = _LinearRecurrence.apply(
        keep.to(dtype), written.to(dtype), state[-1].to(dtype), reverse
    )
    hidden, last = (states[:-1], states[0]) if reverse else (states[1:], states[-1])
    outputs = cell.output(projected, hidden)
    if len(state) == 1:
        return outputs, (last,)
    if padding is None:
        return outputs, (outputs[0 if reverse else -1], last)
    if reverse:
        return outputs, (torch.where(padding.mask[0], state[0], outputs[0]), last)
    return outputs, (padding.last(outputs, state[0]), last)


class _LinearRecurrence(torch.autograd.Function):
    """h_t = a_t * h_(t-1) + b_t, elementwise, as one node of the graph.

    Returns all states (T + 1, B, H), the first included: before the steps, or behind them if the
    time is reversed. So the backward is the same recurrence, against the time.
    """

    @staticmethod
    def forward(ctx: Any, keep: Tensor, written: Tensor, first: Tensor, reverse: bool) -> Tensor:
        states = written.new_empty(len(written) + 1, *written.shape[1:])
        steps = list(zip(keep.unbind(0), written.unbind(0), strict=True))
        rows = list(states.unbind(0))
        if reverse:
            steps.reverse()
            rows.reverse()
        before = rows[0].copy_(first)
        for (keep_t, written_t), row in zip(steps, rows[1:], strict=True):
            before = torch.addcmul(written_t, keep_t, before, out=row)
        ctx.reverse = reverse
        ctx.save_for_backward(keep, states)
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        keep, states = ctx.saved_tensors
        last, others = (0, slice(1, None)) if ctx.reverse else (-1, slice(None, -1))
        total = _LinearRecurrence.apply(
            keep, gradient[others], gradient[last], not ctx.reverse
        )
        # A step's coefficients lie between the state before it and the one after it.
        before, after = (states[1:], total[:-1]) if ctx.reverse else (states[:-1], total[1:])
        first = total[-1 if ctx.reverse else 0]
        return after * before, after, first, None
