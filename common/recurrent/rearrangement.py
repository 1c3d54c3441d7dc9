"""Masks with holes and resets, turned into rows of real steps that end in padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor

from common.compute.device import upload
from common.recurrent.deferred import transformed
from common.recurrent.padding import Lengths, Padding
from common.recurrent.state import RecurrentState, map_state


@dataclass(eq=False)
class Rearrangement:
    """Where the real steps of a batch lie in rows without holes; made by `Rearrangement.of`.

    A step that is not real leaves the state as it is, and a reset begins with the first state. So the
    real steps from one reset to the next are a sequence by itself, and every way to unroll a cell
    serves it: kernels, scans and directions know nothing of masks and resets.

    Rows of about the same length are one batch; the batches lie one after the other in memory.

    Args:
        index: (R,) the step of the input, b T + t, at each step of the batches, time-major; -1 at
            padding.
        inverse: (B, T) the place in `index` of each step of the input; -1 where it is not real.
        lengths: for each batch, the real steps of its rows.
        steps: for each batch, the most steps of a row.
        firsts: for each direction (N,), the sequence whose state a row begins with; B: the first state.
        lasts: for each direction (B,), the row whose last state is that of a sequence; N + b where
            sequence b has no real step, and so keeps its state.
    """

    index: Tensor
    inverse: Tensor
    lengths: list[Tensor]
    steps: list[int]
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
        index = (rows * steps + order).masked_fill(~real.gather(1, order), -1)
        places = order.argsort(dim=1)  # (B, T) where each step went
        inverse = (places * batch + rows).masked_fill(~real, -1)
        return cls(index.t().flatten(), inverse, [real.sum(1)], [steps])

    @classmethod
    def _by_segment(cls, real: Tensor, resets: Tensor) -> Self:
        """A row for the real steps from one reset to the next."""
        batch, steps = real.shape
        resets_so_far = resets.long().cumsum(1)
        sequences, times = real.nonzero(as_tuple=True)  # (M,) of each real step
        ids = resets_so_far[sequences, times]
        begins = torch.ones_like(ids, dtype=torch.bool)  # (M,) where a row begins
        begins[1:] = (sequences[1:] != sequences[:-1]) | (ids[1:] != ids[:-1])
        starts = begins.nonzero().squeeze(1)  # (N,) the first real step of each row
        row = begins.long().cumsum(0) - 1  # (M,) of each step, in the order of the input
        time = torch.arange(len(row), device=real.device) - starts[row]

        # The longest first, so that rows of one batch lie side by side.
        lengths, order = torch.bincount(row).sort(descending=True, stable=True)
        rank = order.argsort()  # (N,) where each row went
        sizes, longest = _batches(lengths.cpu())
        first, stride, total = _layout(sizes, longest, real.device)
        places = first[rank[row]] + time * stride[rank[row]]  # (M,) in the index
        index = torch.full((total,), -1, device=real.device)
        index[places] = sequences * steps + times
        inverse = torch.full((batch, steps), -1, device=real.device)
        inverse[sequences, times] = places

        reset = ids[starts] > 0  # (N,) whether a row begins with the first state
        firsts, lasts = _ends(sequences[starts], reset, order, rank, batch)
        return cls(index, inverse, list(lengths.split(sizes)), longest, firsts, lasts)

    def rows(self, inputs: Tensor) -> list[Tensor]:
        """The steps (B, T, F) of the input in batches (N, T', F), 0 at padding."""
        flat = _take(inputs.flatten(0, 1), self.index, self.inverse.flatten())
        sizes = [lengths.shape[0] for lengths in self.lengths]
        spans = [size * most for size, most in zip(sizes, self.steps, strict=True)]
        parts = flat.split(spans)
        return [
            part.unflatten(0, (most, size)).transpose(0, 1)
            for part, most, size in zip(parts, self.steps, sizes, strict=True)
        ]

    def back(self, outputs: Sequence[Tensor]) -> Tensor:
        """The steps of the batches (N, T', F) in their place (B, T, F), 0 where they are not real."""
        flat = torch.cat([output.transpose(0, 1).flatten(0, 1) for output in outputs])
        return _take(flat, self.inverse.flatten(), self.index).unflatten(0, self.inverse.shape)

    def first(
        self, state: RecurrentState, initial: RecurrentState, reverse: list[bool]
    ) -> list[RecurrentState]:
        """The states (N, ...) that the rows of each batch begin with.

        Args:
            state: (B, ...) of the sequences, before their first step.
            initial: (1, ...) what a reset sets the state to.
            reverse: whether each layer and direction reads backwards.
        """
        if self.firsts is None:
            return [state]
        state = self._select(state, initial, [self.firsts[way] for way in reverse])
        ends = list(accumulate(lengths.shape[0] for lengths in self.lengths))
        return [
            map_state(lambda part: part[start:end], state)  # noqa: B023
            for start, end in zip([0, *ends], ends, strict=False)
        ]

    def last(
        self, batches: Sequence[RecurrentState], before: RecurrentState, reverse: list[bool]
    ) -> RecurrentState:
        """The states (B, ...) of the sequences after all steps: those of the batches, or `before`."""
        if self.lasts is None:
            return batches[0]
        rows = tuple(
            tuple(torch.cat(parts) for parts in zip(*cell, strict=True))
            for cell in zip(*batches, strict=True)
        )
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


def _batches(lengths: Tensor) -> tuple[list[int], list[int]]:
    """How many rows each batch has, and the steps of its longest: less than half of it is padding.

    Args:
        lengths: (N,) of the rows, on the host, the longest first; at least 1.
    """
    powers = torch.ceil(
        torch.log2(lengths.double())
    ).long()  # alike for lengths in (2^k, 2^(k + 1)]
    _, sizes = torch.unique_consecutive(powers, return_counts=True)
    starts = sizes.cumsum(0) - sizes
    return sizes.tolist(), lengths[starts].tolist()


def _layout(
    sizes: list[int], longest: list[int], device: torch.device
) -> tuple[Tensor, Tensor, int]:
    """Of each row (N,), its first place in the index and the stride of its steps; and all places."""
    offsets = [0, *accumulate(size * most for size, most in zip(sizes, longest, strict=True))]
    counts = [torch.arange(size, device=device) for size in sizes]
    firsts = [count + offset for count, offset in zip(counts, offsets, strict=False)]
    strides = [torch.full_like(count, len(count)) for count in counts]
    return torch.cat(firsts), torch.cat(strides), offsets[-1]


def _ends(
    sequences: Tensor, reset: Tensor, order: Tensor, rank: Tensor, batch: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """`firsts` and `lasts` of a `Rearrangement`.

    Args:
        sequences: (N,) the sequence of each row, in the order of the input.
        reset: (N,) whether a row begins with the first state.
        order, rank: (N,) which row comes where, and where each row went.
        batch: B.
    """
    first_in, last_in = (torch.ones_like(sequences, dtype=torch.bool) for _ in range(2))
    first_in[1:] = last_in[:-1] = sequences[1:] != sequences[:-1]
    forwards = sequences.masked_fill(~first_in | reset, batch)[order]
    backwards = sequences.masked_fill(~last_in, batch)[order]
    none = torch.arange(len(rank), len(rank) + batch, device=rank.device)
    lasts = (none.index_put((sequences[ends],), rank[ends]) for ends in (last_in, first_in))
    forwards_last, backwards_last = lasts
    return (forwards, backwards), (forwards_last, backwards_last)


def _take(values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Rows of values (M, F) at index (R,), exact zeros where it is -1.

    Args:
        inverse: (M,) the place in the index that takes each row; -1 if none does.
    """
    if torch.compiler.is_compiling() or transformed():
        return values[index.clamp(min=0)].masked_fill((index < 0).unsqueeze(1), 0)
    return _Take.apply(values, index, inverse)


class _Take(torch.autograd.Function):
    """Takes each row at most once, so that the backward is the same cheap gather."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(index, inverse)
        taken = values.index_select(0, index.clamp(min=0))
        return taken.masked_fill_((index < 0).unsqueeze(1), 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        index, inverse = ctx.saved_tensors
        return _Take.apply(gradient, inverse, index), None, None
