"""Padding at the end of sequences: setting it to 0, finding the last real step, reversing the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from common.compute.device import upload

Lengths: TypeAlias = Tensor | np.ndarray | Sequence[int]
"""(B,) real steps of each sequence of a batch."""


@dataclass(eq=False)
class Padding:
    """Where the sequences of a right-padded, time-major batch end; made by `Padding.of`.

    Args:
        given: (B,) real steps of each sequence, on the host or on the device of the batch.
        steps: T, the steps of the batch.
        shortest: the smallest length if the host knows it, else 0.
        device: of the batch.
    """

    given: Tensor
    steps: int
    shortest: int
    device: torch.device

    @cached_property
    def lengths(self) -> Tensor:
        """(B,) the lengths on the device of the batch."""
        return upload(self.given, self.device).long()

    @cached_property
    def mask(self) -> Tensor:
        """(T, B, 1), True at padding."""
        times = torch.arange(self.steps, device=self.device).unsqueeze(1)
        return (times >= self.lengths).unsqueeze(2)

    @classmethod
    def of(
        cls, lengths: Lengths | None, batch: int, steps: int, device: torch.device
    ) -> Self | None:
        """The padding of a batch (B, T, ...), or None if the host can see that there is none.

        Lengths on the CPU are checked. Lengths on an accelerator are not: the host would have to wait.

        Raises:
            ValueError: lengths of the wrong shape or type, or outside 0..T.
        """
        if lengths is None:
            return None
        if not isinstance(lengths, Tensor):
            lengths = torch.as_tensor(lengths, device="cpu")
        if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.is_complex():
            raise ValueError(
                f"lengths is a tensor of {batch} whole numbers, one for each sequence, "
                f"not {lengths.dtype} of shape {tuple(lengths.shape)}"
            )
        shortest = 0
        on_host = lengths.device.type == "cpu" and not torch.compiler.is_compiling()
        if on_host and batch > 0:
            low, high = lengths.aminmax()
            shortest = int(low)
            if shortest < 0 or int(high) > steps:
                raise ValueError(
                    f"lengths lie between 0 and the {steps} steps of the batch, "
                    f"not between {shortest} and {int(high)}"
                )
            if shortest == steps:
                return None
        return cls(lengths, steps, shortest, device)

    def clear(self, values: Tensor) -> Tensor:
        """values: (T, B, F). Returns them with exact zeros at padding, even of NaN."""
        return values.masked_fill(self.mask, 0)

    def last(self, values: Tensor, first: Tensor) -> Tensor:
        """values: (T, B, F) of each step; first: (B, F). Returns (B, F) of the last real step, `first`
        where there is none."""
        index = (self.lengths - 1).clamp(min=0).view(1, -1, 1).expand(1, -1, values.shape[2])
        last = values.gather(0, index).squeeze(0)
        if self.shortest > 0:
            return last
        return torch.where(self.lengths.unsqueeze(1) > 0, last, first.to(last.dtype))

    def reverse(self, values: Tensor) -> Tensor:
        """values: (T, B, F). Returns them with the real steps in reverse order, padding unmoved."""
        steps, batch, _ = values.shape
        times = torch.arange(steps, device=values.device).unsqueeze(1)
        source = torch.where(self.mask.squeeze(2), times, self.lengths - 1 - times)  # (T, B)
        rows = source * batch + torch.arange(batch, device=values.device)
        return _Permute.apply(values.flatten(0, 1), rows.flatten()).unflatten(0, (steps, batch))


class _Permute(torch.autograd.Function):
    """Reorders rows by a permutation that is its own inverse.

    So the backward is the same cheap gather, where autograd would add rows into zeros.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return values.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return _Permute.apply(gradient, rows), None
