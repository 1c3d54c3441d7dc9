"""Masks with holes and resets, turned into rows of real steps that end in padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from common.compute.device import upload
from common.recurrent.deferred import transformed
from common.recurrent.padding import Lengths, Padding
from common.recurrent.state import RecurrentState


@dataclass(eq=False)
class Rearrangement:
    """Where the real steps of a batch lie in rows without holes; made by `Rearrangement.of`.

    A step that is not real leaves the state as it is, and a reset begins with the first state. So the
    real steps from one reset to the next are a sequence by itself, and every way to unroll a cell
    serves it: kernels, scans and directions know nothing of masks and resets.

    Args:
        index: (T', N) the step of the batch, b T + t, at each step of each row; -1 at padding.
        inverse: (B, T) the step of the rows, t' N + n, of each step of the batch; -1 where it is not
            real.
        lengths: (N,) real steps of each row.
        firsts: for each direction (N,), the sequence whose state a row begins with; B: the first state.
        lasts: for each direction (B,), the row whose last state is that of a sequence; N + b where
            sequence b has no real step, and so keeps its state.
    """

    index: Tensor
    inverse: Tensor
    lengths: Tensor
    firsts: tuple[Tensor, Tensor] | None = None
    lasts: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, real: Tensor, resets: Tensor | None) -> Self:
        """The rows of a batch.

        Args:
            real: (B, T) True at real steps.
            resets: (B, T) True where a step begins with the first state; at a step that is not real,
                this holds for the next real one.
        """
        if resets is None or not real.any():
            return cls._packed_left(real)
        return cls._by_segment(real, resets)

    @classmethod
    def _packed_left(cls, real: Tensor) -> Self:
        """Without resets: as many rows as sequences, each with its real steps first."""
        batch, steps = real.shape
        order = (~real).to(torch.uint8).argsort(dim=1, stable=True)  # (B, T) real steps first
        rows = torch.arange(batch, device=real.device).unsqueeze(1)
        real_first = real.gather(1, order)
        index = (rows * steps + order).masked_fill(~real_first, -1)
        places = order.argsort(dim=1)  # (B, T) where each step went
        inverse = (places * batch + rows).masked_fill(~real, -1)
        return cls(index.t(), inverse, real.sum(1))

    @classmethod
    def _by_segment(cls, real: Tensor, resets: Tensor) -> Self:
        """A row for the real steps from one reset to the next."""
        batch, steps = real.shape
        device = real.device
        resets_so_far = resets.long().cumsum(1)
        sequences, times = real.nonzero(as_tuple=True)  # (R,) of each real step
        ids = resets_so_far[sequences, times]
        begins = torch.ones_like(real[sequences, times])  # (R,) where a row begins
        begins[1:] = (sequences[1:] != sequences[:-1]) | (ids[1:] != ids[:-1])
        rows = begins.long().cumsum(0) - 1
        starts = begins.nonzero().squeeze(1)  # (N,) its first real step, among all
        places = torch.arange(len(rows), device=device) - starts[rows]
        count = len(starts)
        lengths = torch.bincount(rows)
        index = torch.full((int(lengths.max()), count), -1, device=device)
        index[places, rows] = sequences * steps + times
        inverse = torch.full((batch, steps), -1, device=device)
        inverse[sequences, times] = places * count + rows

        of = sequences[starts]  # (N,) the sequence of each row
        first_in, last_in = torch.ones_like(of, dtype=torch.bool), torch.ones_like(of).bool()
        first_in[1:] = last_in[:-1] = of[1:] != of[:-1]
        reset = resets_so_far[of, times[starts]] > 0
        firsts = (of.masked_fill(~first_in | reset, batch), of.masked_fill(~last_in, batch))
        none = torch.arange(count, count + batch, device=device)
        lasts = tuple(
            none.index_put((of[ends],), torch.arange(count, device=device)[ends])
            for ends in (last_in, first_in)
        )
        return cls(index, inverse, lengths, firsts, lasts)  # type: ignore[arg-type]

    def rows(self, inputs: Tensor) -> Tensor:
        """The steps (B, T, F) of a batch in rows (N, T', F), 0 at padding."""
        return _take(inputs.flatten(0, 1), self.index, self.inverse).transpose(0, 1)

    def back(self, outputs: Tensor) -> Tensor:
        """The steps (N, T', F) of the rows in their batch (B, T, F), 0 where they are not real."""
        return _take(outputs.transpose(0, 1).flatten(0, 1), self.inverse, self.index)

    def first(
        self, state: RecurrentState, initial: RecurrentState, reverse: list[bool]
    ) -> RecurrentState:
        """The states (N, ...) that the rows begin with.

        Args:
            state: (B, ...) of the sequences, before their first step.
            initial: (1, ...) what a reset sets the state to.
            reverse: whether each layer and direction reads backwards.
        """
        if self.firsts is None:
            return state
        return self._select(state, initial, [self.firsts[way] for way in reverse])

    def last(
        self, rows: RecurrentState, before: RecurrentState, reverse: list[bool]
    ) -> RecurrentState:
        """The states (B, ...) of the sequences after all steps: of `rows` (N, ...), or `before`."""
        if self.lasts is None:
            return rows
        return self._select(rows, before, [self.lasts[way] for way in reverse])

    @staticmethod
    def _select(state: RecurrentState, other: RecurrentState, rows: list[Tensor]) -> RecurrentState:
        return tuple(
            tuple(
                torch.cat([part, rest.to(part.dtype)]).index_select(0, index)
                for part, rest in zip(cell, rests, strict=True)
            )
            for cell, rests, index in zip(state, other, rows, strict=True)
        )


def real_steps(
    mask: Tensor | None, lengths: Lengths | None, inputs: Tensor
) -> tuple[Tensor | None, Lengths | None]:
    """What a mask (B, T) says, as lengths where they say it all.

    Returns:
        The mask, or None if it has no hole before its end (a mask on the host is looked at), and the
        lengths.

    Raises:
        ValueError: a mask of another shape or type, or lengths beside it.
    """
    if mask is None:
        return None, lengths
    if lengths is not None:
        raise ValueError("a mask says which steps are real: lengths beside it are one too many")
    mask = as_flags(mask, "mask", inputs)
    if mask.device.type == "cpu" and not torch.compiler.is_compiling() and not transformed():
        ends = bool((mask[:, 1:] <= mask[:, :-1]).all())
        if ends:
            return None, mask.sum(1)
    return mask, None


def as_flags(flags: Any, name: str, inputs: Tensor) -> Tensor:
    """A boolean tensor (B, T); a ValueError if it is none."""
    flags = torch.as_tensor(flags, device=None if isinstance(flags, Tensor) else "cpu")
    if flags.dtype != torch.bool or flags.shape != inputs.shape[:2]:
        raise ValueError(
            f"{name} is a boolean tensor {tuple(inputs.shape[:2])}, one for each step, "
            f"not {flags.dtype} of shape {tuple(flags.shape)}"
        )
    return flags


def rearrangement(
    mask: Tensor | None, lengths: Lengths | None, resets: Tensor | None, inputs: Tensor
) -> Rearrangement:
    """The rows of a batch, of a mask or of lengths, and of resets (`Recurrent.forward`)."""
    batch, steps, _ = inputs.shape
    if mask is None:
        times = torch.arange(steps, device=inputs.device)
        padding = Padding.of(lengths, batch, steps, inputs.device)
        ends = steps if padding is None else padding.lengths.unsqueeze(1)
        mask = (times < ends).expand(batch, steps)
    if resets is not None:
        if torch.compiler.is_exporting() or transformed():
            raise ValueError(
                "resets are not for torch.export and torch.func: the number of sequences depends on them"
            )
        resets = upload(as_flags(resets, "resets", inputs), inputs.device)
    return Rearrangement.of(upload(mask, inputs.device), resets)


def _take(values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Rows of values (M, F) at index (X, Y), exact zeros where it is -1.

    Args:
        inverse: at the place of each row of the values, in a shape that flattens to (M,), the place
            in the flattened index that took it; -1 if none did.
    """
    if torch.compiler.is_compiling() or transformed():
        taken = values[index.clamp(min=0).flatten()]
        return taken.masked_fill((index < 0).flatten().unsqueeze(1), 0).unflatten(0, index.shape)
    return _Take.apply(values, index, inverse)


class _Take(torch.autograd.Function):
    """Takes each row at most once, so that the backward is the same cheap gather."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(index, inverse)
        flat = index.flatten()
        taken = values.index_select(0, flat.clamp(min=0))
        return taken.masked_fill_((flat < 0).unsqueeze(1), 0).unflatten(0, index.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        index, inverse = ctx.saved_tensors
        return _Take.apply(gradient.flatten(0, 1), inverse, index).flatten(0, 1), None, None
