"""Watching states: what is called with the state after every step, within a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from common.recurrent.state import State

if TYPE_CHECKING:
    from torch import nn

OnStep: TypeAlias = Callable[[State, Tensor | None], State]
"""Takes the state of a cell after a step, and where the step is padding (B, 1), or None for nowhere;
returns the state that takes its place in all that follows."""

OnPass: TypeAlias = Callable[["nn.Module", bool], OnStep | None]
"""Called when a cell begins to run, with the cell and whether it runs backwards; None: not watched."""

_on_pass: ContextVar[OnPass | None] = ContextVar("on_pass", default=None)


@contextmanager
def watching(on_pass: OnPass) -> Iterator[None]:
    """Within the block, every cell of this thread runs step by step, and is watched.

    Torch's kernels and the loop of linear cells, whose states between the first and the last nobody
    sees, give way to the plain loop. What `torch.compile` has made is not watched.
    """
    token = _on_pass.set(on_pass)
    try:
        yield
    finally:
        _on_pass.reset(token)


def is_watched() -> bool:
    """Whether states are watched."""
    return not torch.compiler.is_compiling() and _on_pass.get() is not None


def watch_of(cell: nn.Module, reverse: bool = False) -> OnStep | None:
    """What is to be called after every step of a cell that begins to run; None for nothing."""
    if not is_watched():
        return None
    on_pass = _on_pass.get()
    return None if on_pass is None else on_pass(cell, reverse)


def watched(cell: nn.Module, state: State) -> State:
    """The state after a single step of a cell, as who watches it returns it."""
    on_step = watch_of(cell)
    return state if on_step is None else on_step(state, None)
