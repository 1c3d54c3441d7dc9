"""Linear recurrences with all steps at once: an associative scan."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from common.recurrent.deferred import transformed


def linear_recurrence(
    keep: Tensor, written: Tensor, first: Tensor, reverse: bool = False
) -> Tensor:
    """h_t = a_t * h_(t-1) + b_t for all t, in about log2 T rounds (Hillis and Steele 1986).

    Two steps are one step of the same kind: (a, b) and then (a', b') are (a a', a' b + b'). So each
    round joins every step with those before it, twice as many as the round before. That is more
    arithmetic than a loop, in far fewer calls: for a GPU.

    Args:
        keep: a (T, B, H).
        written: b (T, B, H).
        first: h_0 (B, H), the state before the first step.
        reverse: from the last step to the first: h_t = a_t * h_(t+1) + b_t.

    Returns:
        (T, B, H), the state after each step.
    """
    if torch.compiler.is_compiling() or transformed():
        return _rounds(keep, written, first, reverse)
    return _LinearRecurrence.apply(keep, written, first, reverse)


def _rounds(keep: Tensor, written: Tensor, first: Tensor, reverse: bool) -> Tensor:
    steps = len(keep)
    start = steps - 1 if reverse else 0
    begin = written[start] + keep[start] * first
    rest = written[:-1] if reverse else written[1:]
    parts = [rest, begin.unsqueeze(0)] if reverse else [begin.unsqueeze(0), rest]
    written = torch.cat(parts)
    distance = 1
    while distance < steps:
        # Of each step that has one so far before it: the later one, the earlier one, and the others.
        ahead, behind = slice(distance, None), slice(None, -distance)
        later, earlier = (behind, ahead) if reverse else (ahead, behind)
        ends = slice(-distance, None) if reverse else slice(None, distance)
        joined = [written[ends], torch.addcmul(written[later], keep[later], written[earlier])]
        products = [keep[ends], keep[later] * keep[earlier]]
        written, keep = (torch.cat(p[::-1] if reverse else p) for p in (joined, products))
        distance *= 2
    return written


class _LinearRecurrence(torch.autograd.Function):
    """The gradient of the states is a linear recurrence too, against time: no round is kept for it."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, written: Tensor, first: Tensor, reverse: bool) -> Tensor:
        hidden = _rounds(keep, written, first, reverse)
        ctx.reverse = reverse
        ctx.save_for_backward(keep, first, hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        keep, first, hidden = ctx.saved_tensors
        # What step t sends to the state before it is a_t times what reaches h_t.
        none = torch.zeros_like(first).unsqueeze(0)
        if ctx.reverse:
            following, before = [none, keep[:-1]], [hidden[1:], first.unsqueeze(0)]
        else:
            following, before = [keep[1:], none], [first.unsqueeze(0), hidden[:-1]]
        total = linear_recurrence(torch.cat(following), gradient, none[0], not ctx.reverse)
        start = -1 if ctx.reverse else 0
        return total * torch.cat(before), total, keep[start] * total[start], None
