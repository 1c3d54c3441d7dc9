"""Several models that say a sentence together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from common.decoding.step_model import SearchContext, State, StepModel

Averaging = Literal["probabilities", "log_probabilities"]


@dataclass(frozen=True)
class EnsembleContext:
    """The same batch of inputs as each member of an ensemble encodes it.

    Args:
        members: of each member its context of the B inputs.
        state_sizes: of how many tensors each member's state consists; filled by `Ensemble.prepare`.

    Raises:
        ValueError: no member, or contexts of different numbers of inputs.
    """

    members: tuple[SearchContext, ...]
    state_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = [member.batch_size for member in self.members]
        if len(set(sizes)) != 1:
            raise ValueError(f"contexts of an ensemble must be of the same inputs: {sizes}")

    @property
    def batch_size(self) -> int:
        return self.members[0].batch_size

    def select(self, rows: Tensor) -> EnsembleContext:
        """The contexts of some rows of the batch, in the order of `rows` (N,)."""
        return replace(self, members=tuple(member.select(rows) for member in self.members))


class Ensemble:
    """A step model whose probabilities are the mean of its members' at every step.

    Any search drives it as it drives one model (`StepModel`). Its members may be of any
    architecture, with attention or without, and of any state: the ensemble's state is theirs, one
    after the other. They must know the same words by the same ids, which the caller sees to, be on
    one device and in evaluation mode.

    Args:
        members: at least one step model.
        average: what is averaged: "probabilities" (a word is likely if a member finds it so), or
            "log_probabilities", their geometric mean (if none finds it unlikely), renormalised.

    Raises:
        ValueError: no member.
    """

    def __init__(
        self, members: Sequence[StepModel[Any]], *, average: Averaging = "probabilities"
    ) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one member")
        self.members = tuple(members)
        self.average = average

    def prepare(self, context: EnsembleContext) -> EnsembleContext:
        """What is the same at every step, for each member."""
        if len(context.members) != len(self.members):
            raise ValueError(f"{len(context.members)} contexts for {len(self.members)} members")
        prepared = [
            member.prepare(own) for member, own in zip(self.members, context.members, strict=True)
        ]
        # A state does not tell where one member's tensors end, and the ensemble remembers nothing.
        sizes = context.state_sizes or tuple(len(state) for state in self._first_states(prepared))
        return EnsembleContext(tuple(prepared), sizes)

    def start(self, context: EnsembleContext) -> State:
        """The first states of all members, one after the other."""
        return tuple(tensor for state in self._first_states(context.members) for tensor in state)

    def step(self, tokens: Tensor, state: State, context: EnsembleContext) -> tuple[Tensor, State]:
        """One word further.

        Args:
            tokens: (R,) the last word of each row; see `StepModel.step`.
            state: of `start` or of the step before.
            context: as `prepare` returns it (one that is not yet prepared is prepared on the way).

        Returns:
            (R, V) log-probabilities of the next word, and the state to go on with.

        Raises:
            ValueError: the members have vocabularies of different sizes.
        """
        if not context.state_sizes:
            context = self.prepare(context)
        bounds = pairwise(accumulate(context.state_sizes, initial=0))
        logits: list[Tensor] = []
        states: list[Tensor] = []
        for member, own, (begin, end) in zip(self.members, context.members, bounds, strict=True):
            scores, new = member.step(tokens, state[begin:end], own)
            logits.append(scores)
            states += new
        return mean_log_probabilities(logits, self.average), tuple(states)

    def _first_states(self, contexts: Sequence[SearchContext]) -> list[State]:
        return [member.start(own) for member, own in zip(self.members, contexts, strict=True)]


def mean_log_probabilities(
    logits: Sequence[Tensor], average: Averaging = "probabilities"
) -> Tensor:
    """Log-probabilities of the mean of several models.

    Args:
        logits: of each model (..., V) word scores, in any float type.
        average: see `Ensemble`.

    Returns:
        (..., V) in float32.

    Raises:
        ValueError: vocabularies of different sizes, or an unknown average.
    """
    sizes = [scores.shape[-1] for scores in logits]
    if len(set(sizes)) != 1:
        raise ValueError(f"models of an ensemble must know the same words: {sizes} differ")
    each = torch.stack([F.log_softmax(scores, -1, dtype=torch.float32) for scores in logits])
    if average == "probabilities":
        return each.logsumexp(0) - math.log(len(logits))
    if average == "log_probabilities":
        return each.mean(0).log_softmax(-1)
    raise ValueError(f"average is 'probabilities' or 'log_probabilities', not {average!r}")
