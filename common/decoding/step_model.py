"""The interface of the models that a search can use."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor

from common.recurrent.state import NestedState


class SearchContext(Protocol):
    """A batch of encoded inputs, as the search needs it; `Context` is one."""

    @property
    def batch_size(self) -> int: ...

    def select(self, rows: Tensor, /) -> Self:
        """The contexts of some rows (N,) of the batch."""
        ...


ContextT = TypeVar("ContextT", bound=SearchContext)


class Step(NamedTuple):
    """What a model returns for one more token of R hypotheses.

    Args:
        logits: (R, V) of the next token.
        state: for the next step, nested tuples of tensors, rows first.
        weights: (R, S) of attention; None without attention.
    """

    logits: Tensor
    state: Any
    weights: Tensor | None = None


class StepModel(Protocol[ContextT]):
    """A model that a search can use, in evaluation mode; `RecurrentDecoder` is one."""

    def prepare(self, context: ContextT, /) -> ContextT:
        """The context with what is the same at every step, computed once for each sentence."""
        ...

    def start(self, context: ContextT, /) -> NestedState:
        """The first state: nested tuples of tensors whose first dimension is the B sentences."""
        ...

    def step(self, tokens: Tensor, state: Any, context: ContextT, /) -> Step:
        """One step, from the last tokens (R,) and the state before them.

        R = W * B: rows b * W to b * W + W - 1 are the W hypotheses of sentence b. They share its
        row of the context, which is not copied for them. The rows of the state have the same order.
        """
        ...
