"""What a model must offer so that a search can drive it."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from torch import Tensor

State = tuple[Tensor, ...]


class SearchContext(Protocol):
    """What the search needs of a batch of encoded inputs; `Context` has it."""

    @property
    def batch_size(self) -> int: ...

    def select(self, rows: Tensor, /) -> Self:
        """The contexts of some rows (N,) of the batch."""
        ...


ContextT = TypeVar("ContextT", bound=SearchContext)


class StepModel(Protocol[ContextT]):
    """A model that the search can drive; `RecurrentDecoder` is one. It should be in eval mode."""

    def prepare(self, context: ContextT, /) -> ContextT:
        """Compute what is the same at every step, once per sentence."""
        ...

    def start(self, context: ContextT, /) -> State:
        """The first state: tensors whose first dimension is the B sentences of the context."""
        ...

    def step(self, tokens: Tensor, state: State, context: ContextT, /) -> tuple[Tensor, State]:
        """Logits (R, V) of the next token, and the new state, after `tokens` (R,).

        R = W * B: rows b * W to b * W + W - 1 are the W hypotheses of sentence b. They share its
        row of the context, which is never copied for them. The state's rows are in the same order.
        """
        ...
