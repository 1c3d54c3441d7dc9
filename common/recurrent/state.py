"""States: tuples of tensors, nested to any depth, whose first dimension is the batch.

The state of a cell is a tuple of tensors, that of a `Recurrent` a tuple of cell states, that of a
decoder or of an ensemble a tuple of those. The functions here take any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar, Union, cast

import torch
from torch import Tensor

State: TypeAlias = tuple[Tensor, ...]
"""The state of a cell; the first tensor is its output (B, H)."""

RecurrentState: TypeAlias = tuple[State, ...]
"""The state of a `Recurrent`: a cell state for each layer and direction, layers first."""

NestedState: TypeAlias = tuple[Union[Tensor, "NestedState"], ...]
"""Any state."""

AnyState = TypeVar("AnyState", bound=NestedState)


def map_state(function: Callable[[Tensor], Tensor], state: AnyState) -> AnyState:
    """The state with a function applied to each of its tensors."""
    mapped = tuple(
        function(part) if isinstance(part, Tensor) else map_state(function, part) for part in state
    )
    return cast(AnyState, mapped)


def select_rows(state: AnyState, rows: Tensor) -> AnyState:
    """The rows (N,) of every tensor of a state, in the order of `rows`."""
    return map_state(lambda part: part.index_select(0, rows), state)


def state_tensors(state: NestedState) -> Iterator[Tensor]:
    """All tensors of a state, in order."""
    for part in state:
        yield from (part,) if isinstance(part, Tensor) else state_tensors(part)


def detached(state: AnyState) -> AnyState:
    """The state without its graph, to go on from in the next part of a long sequence.

    So gradients flow through one part at a time (truncated backpropagation through time).
    """
    return map_state(Tensor.detach, state)


def fit_state(
    state: RecurrentState, shapes: Sequence[Sequence[torch.Size]], batch: int
) -> RecurrentState:
    """The state of a `Recurrent`; a ValueError if it has other shapes than (batch, *shape) each."""
    wanted = [[(batch, *shape) for shape in cell] for cell in shapes]
    found = [
        [tuple(part.shape) for part in cell]
        if isinstance(cell, tuple | list)
        else tuple(cell.shape)
        for cell in state
    ]
    if found != wanted:
        raise ValueError(
            f"the state is a tuple of {len(wanted)} cell states (layers first, then "
            f"directions) of the shapes {wanted}, not of {found}"
        )
    return state
