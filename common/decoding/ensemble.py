"""Several models whose predictions are averaged at every step of a search."""

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
        members: the context of the B inputs for each member.

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

    Any search can use it as one model (`StepModel`). Its members may have any architecture, with
    attention or without, and any state: the ensemble's state is the tuple of theirs. They must have
    the same vocabulary with the same ids, which is not checked, be on one device and in evaluation
    mode.

    Args:
        members: at least one step model.
        average: what is averaged: "probabilities" (a word is likely if one member finds it likely), or
            "log_probabilities", the geometric mean, renormalised (if no member finds it unlikely).

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
        """The contexts of the members, each prepared by its member."""
        if len(context.members) != len(self.members):
            raise ValueError(f"{len(context.members)} contexts for {len(self.members)} members")
        pairs = zip(self.members, context.members, strict=True)
        return EnsembleContext(tuple(member.prepare(part) for member, part in pairs))

    def start(self, context: EnsembleContext) -> NestedState:
        """The first states of all members."""
        pairs = zip(self.members, context.members, strict=True)
        return tuple(member.start(part) for member, part in pairs)

    def step(
        self, tokens: Tensor, state: tuple[NestedState, ...], context: EnsembleContext
    ) -> Step:
        """One step.

        Args:
            tokens: (R,) the last token of each row; see `StepModel.step`.
            state: of `start` or of the step before.
            context: as `prepare` returns it; members prepare one that is not prepared.

        Returns:
            The log-probabilities (R, V) of the next token, the next state, and the mean weights (R, S)
            of the members with attention; None where their memories differ in length.

        Raises:
            ValueError: the members have vocabularies of different sizes.
        """
        members = zip(self.members, state, context.members, strict=True)
        steps = [member.step(tokens, its_state, part) for member, its_state, part in members]
        log_probabilities = mean_log_probabilities([step.logits for step in steps], self.average)
        weights = mean_weights([step.weights for step in steps])
        return Step(log_probabilities, tuple(step.state for step in steps), weights)


def mean_weights(weights: Sequence[Tensor | None]) -> Tensor | None:
    """The mean of several models' attention weights.

    Args:
        weights: (..., S) of each model; None where it has no attention.

    Returns:
        (..., S), the mean over the models with attention; None if there is none, or if their memories
        differ in length.
    """
    given = [each for each in weights if each is not None]
    if not given or len({each.shape for each in given}) > 1:
        return None
    return given[0] if len(given) == 1 else torch.stack(given).mean(0)


def mean_log_probabilities(
    logits: Sequence[Tensor], average: Averaging = "probabilities"
) -> Tensor:
    """Log-probabilities of the mean of several models.

    Args:
        logits: (..., V) of each model, in any float type.
        average: see `Ensemble`.

    Returns:
        (..., V) in float32.

    Raises:
        ValueError: vocabularies of different sizes, or an unknown average.
    """
    sizes = [part.shape[-1] for part in logits]
    if len(set(sizes)) != 1:
        raise ValueError(f"models of an ensemble must know the same words: {sizes} differ")
    each = torch.stack([F.log_softmax(part, -1, dtype=torch.float32) for part in logits])
    if average == "probabilities":
        return each.logsumexp(0) - math.log(len(logits))
    if average == "log_probabilities":
        return each.mean(0).log_softmax(-1)
    raise ValueError(f"average is 'probabilities' or 'log_probabilities', not {average!r}")
