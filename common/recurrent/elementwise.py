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
    keep, candidate = cell.gate(projected)
    if padding is not None:
        keep = keep.masked_fill(padding.mask, 1)
    dtype = torch.promote_types(candidate.dtype, state[-1].dtype)
    hidden = _LinearRecurrence.apply(
        keep.to(dtype), candidate.to(dtype), state[-1].to(dtype), reverse
    )
    outputs = cell.output(projected, hidden)
    end = 0 if reverse else -1
    if len(state) == 1:
        return outputs, (hidden[end],)
    if padding is None:
        return outputs, (outputs[end], hidden[end])
    if reverse:
        return outputs, (torch.where(padding.mask[0], state[0], outputs[0]), hidden[0])
    return outputs, (padding.last(outputs, state[0]), hidden[-1])


class _LinearRecurrence(torch.autograd.Function):
    """h' = a * h + (1 - a) * n over all steps, elementwise, as one node of the graph.

    What a step reads is still in the processor's cache when the next operation reads it.
    """

    @staticmethod
    def forward(ctx: Any, keep: Tensor, candidate: Tensor, first: Tensor, reverse: bool) -> Tensor:
        hidden = torch.empty_like(candidate)
        before = first
        for keep_t, candidate_t, row in _steps(reverse, keep, candidate, hidden):
            before = torch.lerp(candidate_t, before, keep_t, out=row)
        ctx.reverse = reverse
        ctx.save_for_backward(keep, candidate, first, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        keep, candidate, first, hidden = ctx.saved_tensors
        against = not ctx.reverse
        befores = [*_steps(against, hidden)[1:], (first,)]
        # Into memory made once; but with create_graph, where each step is differentiated again.
        graph = torch.is_grad_enabled()
        made = None if graph else [torch.empty_like(keep), torch.empty_like(keep)]
        rows = [(None, None)] * len(keep) if made is None else _steps(against, *made)
        found = []
        carried = torch.zeros_like(first)  # dL/dh of the step after, times its a
        for (keep_t, candidate_t, gradient_t), (before,), (of_keep, of_candidate) in zip(
            _steps(against, keep, candidate, gradient), befores, rows, strict=True
        ):
            total = gradient_t + carried
            carried = total * keep_t
            of_candidate = torch.sub(total, carried, out=of_candidate)
            of_keep = torch.mul(total, before - candidate_t, out=of_keep)
            found.append((of_keep, of_candidate))
        if made is None:
            made = [torch.stack(part[::-1] if against else part) for part in zip(*found, strict=True)]
        return *made, carried, None


def _steps(reverse: bool, *values: Tensor) -> list[tuple[Tensor, ...]]:
    """The steps of tensors (T, B, H), in the order of the loop."""
    steps = list(zip(*(each.unbind(0) for each in values), strict=True))
    return steps[::-1] if reverse else steps
