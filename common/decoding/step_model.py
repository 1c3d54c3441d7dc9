"""What a model must offer so that a search can drive it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor

from common.recurrent.state import NestedState


class SearchContext(Protocol):
    """What the search needs of a batch of encoded inputs; `Context` has it."""

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
        state: to go on with, nested tuples of tensors, rows first.
        weights: (R, S) where attention looked for it; None without attention.
    """

    logits: Tensor
    state: Any
    weights: Tensor | None = None


class StepModel(Protocol[ContextT]):
    """A model that the search can drive; `RecurrentDecoder` is one. It should be in eval mode."""

    def prepare(self, context: ContextT, /) -> ContextT:
        """Compute what is the same at every step, once per sentence."""
        ...

    def start(self, context: ContextT, /) -> NestedState:
        """The first state: nested tuples of tensors whose first dimension is the B sentences."""
        ...

    def step(self, tokens: Tensor, state: Any, context: ContextT, /) -> Step:
        """One step further, from the last tokens (R,) and the state before them.

        R = W * B: rows b * W to b * W + W - 1 are the W hypotheses of sentence b. They share its
        row of the context, which is never copied for them. The state's rows are in the same order.
        """
        ...
