"""Several models that predict a sentence together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from common.decoding.step_model import SearchContext, Step, StepModel
from common.recurrent.state import NestedState

Averaging = Literal["probabilities", "log_probabilities"]


@dataclass(frozen=True)
class EnsembleContext:
    """The same batch of inputs as each member of an ensemble encodes it.

    Args:
        members: of each member its context of the B inputs.

    Raises:
        ValueError: no member, or contexts of different numbers of inputs.
    """

    members: tuple[SearchContext, ...]

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
    architecture, with attention or without, and of any state: the ensemble's state is the tuple of
    theirs. They must know the same words by the same ids, which the caller sees to, be on
    one device and in evaluation mode.

    Args:
        members: at least one step model.
        average: what is averaged: "probabilities" (a word is likely if it is to one member), or
            "log_probabilities", their geometric mean (if it is unlikely to none), renormalised.

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
        members = zip(self.members, context.members, strict=True)
        return EnsembleContext(tuple(member.prepare(its_own) for member, its_own in members))

    def start(self, context: EnsembleContext) -> NestedState:
        """The first states of all members."""
        members = zip(self.members, context.members, strict=True)
        return tuple(member.start(its_own) for member, its_own in members)

    def step(
        self, tokens: Tensor, state: tuple[NestedState, ...], context: EnsembleContext
    ) -> Step:
        """One token further.

        Args:
            tokens: (R,) the last token of each row; see `StepModel.step`.
            state: of `start` or of the step before.
            context: as `prepare` returns it (one that is not yet prepared is prepared on the way).

        Returns:
            The log-probabilities (R, V) of the next token, the state to go on with, and the mean
            weights (R, S) of the members that attend; None where they have different positions.

        Raises:
            ValueError: the members have vocabularies of different sizes.
        """
        steps = [
            member.step(tokens, its_state, its_context)
            for member, its_state, its_context in zip(
                self.members, state, context.members, strict=True
            )
        ]
        log_probabilities = mean_log_probabilities([step.logits for step in steps], self.average)
        weights = mean_weights([step.weights for step in steps])
        return Step(log_probabilities, tuple(step.state for step in steps), weights)


def mean_weights(weights: Sequence[Tensor | None]) -> Tensor | None:
    """The mean of several models' attention weights.

    Args:
        weights: of each model (..., S); None where it has no attention.

    Returns:
        (..., S), the mean of those that attend; None where none does, or where they do not attend to
        the same positions.
    """
    attending = [each for each in weights if each is not None]
    if not attending or len({each.shape for each in attending}) > 1:
        return None
    return attending[0] if len(attending) == 1 else torch.stack(attending).mean(0)


def mean_log_probabilities(
    logits: Sequence[Tensor], average: Averaging = "probabilities"
) -> Tensor:
    """Log-probabilities of the mean of several models.

    Args:
        logits: of each model (..., V), in any float type.
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
