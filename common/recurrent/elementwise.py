"""Recurrences without a matrix product: a loop over time with its own backward, or all steps at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from common.recurrent.cells import LinearCell
from common.recurrent.padding import Padding
from common.recurrent.parallel import linear_recurrence
from common.recurrent.state import State

CHUNK = 2**18
"""How many gate inputs are computed at once: few enough to stay in a processor's cache."""


def unroll_linear(
    cell: LinearCell,
    inputs: Tensor,
    state: State,
    padding: Padding | None,
    reverse: bool,
    parallel: bool = False,
) -> tuple[Tensor, State]:
    """Unroll a cell whose recurrence is linear.

    Step by step, the gates are computed by the chunk, and the steps are one node of the graph. In
    parallel, all steps take as many rounds as their number has binary digits (`linear_recurrence`).

    Args:
        cell: a linear cell.
        inputs: (T, B, I).
        state: before the first step.
        padding: which steps are not real; they leave the state as it is.
        reverse: from the last real step to the first.
        parallel: all steps at once.

    Returns:
        The outputs (T, B, H), of any value at padding, and the state after the last real step.
    """
    size = max(1, CHUNK // (inputs.shape[1] * cell.gates * cell.hidden_size))
    size = len(inputs) if parallel else size
    chunks = inputs.split(size)
    # Forwards, padding comes last: what it does to a state of one tensor, nobody reads.
    passed = not reverse and len(state) == 1
    masks = None if padding is None or passed else padding.mask.split(size)
    end = 0 if reverse else -1
    hidden, parts = state[-1], list(chunks)
    order = range(len(parts))
    for index in reversed(order) if reverse else order:
        projected = cell.project(chunks[index]).to(hidden.dtype)
        update, candidate = cell.gate(projected)
        if masks is not None:
            update = update.masked_fill(masks[index], 0)
        if parallel:
            steps = linear_recurrence(1 - update, update * candidate, hidden, reverse)
        else:
            steps = _LinearRecurrence.apply(update, candidate, hidden, reverse)
        hidden = steps[end]
        parts[index] = cell.output(projected, steps)
    outputs = torch.cat(parts)
    if len(state) == 1:
        return outputs, (padding.last(outputs, state[0]) if padding and passed else hidden,)
    if padding is None:
        return outputs, (outputs[end], hidden)
    if reverse:
        return outputs, (torch.where(padding.mask[0], state[0], outputs[0]), hidden)
    return outputs, (padding.last(outputs, state[0]), hidden)


class _LinearRecurrence(torch.autograd.Function):
    """h' = (1 - z) * h + z * n over all steps, elementwise, as one node of the graph.

    What a step computes is still in the processor's cache when the next operation reads it.
    """

    @staticmethod
    def forward(
        ctx: Any, update: Tensor, candidate: Tensor, first: Tensor, reverse: bool
    ) -> Tensor:
        hidden = torch.empty_like(candidate)
        before = first
        for update_t, candidate_t, row in _steps(reverse, update, candidate, hidden):
            before = torch.lerp(before, candidate_t, update_t, out=row)
        ctx.reverse = reverse
        ctx.save_for_backward(update, candidate, first, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        update, candidate, first, hidden = ctx.saved_tensors
        against = not ctx.reverse
        befores = [*_steps(against, hidden)[1:], (first,)]
        # Into memory made once; but with create_graph each step is to be differentiated again.
        made = [torch.empty_like(update), torch.empty_like(update)]
        graph = torch.is_grad_enabled()
        rows = [(None, None)] * len(update) if graph else _steps(against, *made)
        found = []
        carried = torch.zeros_like(first)  # what the step after sends to this one's state
        for (update_t, candidate_t, gradient_t), (before,), (of_update, of_candidate) in zip(
            _steps(against, update, candidate, gradient), befores, rows, strict=True
        ):
            total = gradient_t + carried
            of_candidate = torch.mul(total, update_t, out=of_candidate)
            of_update = torch.mul(total, candidate_t - before, out=of_update)
            carried = total - of_candidate
            found.append((of_update, of_candidate))
        if graph:
            made = [
                torch.stack(part[::-1] if against else part) for part in zip(*found, strict=True)
            ]
        return *made, carried, None


def _steps(reverse: bool, *values: Tensor) -> list[tuple[Tensor, ...]]:
    """The steps of tensors (T, B, H), in the order of the loop."""
    steps = list(zip(*(each.unbind(0) for each in values), strict=True))
    return steps[::-1] if reverse else steps
