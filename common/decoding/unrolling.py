"""The training pass of a decoder whose next input needs its last output: one step after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from common.decoding.context import Context
from common.decoding.decoder_step import Advanced, DecoderState, DecoderStep, TokenInput
from common.decoding.scheduled_sampling import SampledInputs


class Unrolled(NamedTuple):
    """What a pass over all steps yields.

    Args:
        features: (B, T, F) of the output layer; `RecurrentDecoder.logits` makes logits of them.
        weights: (B, T, S) of attention; None without it.
    """

    features: Tensor
    weights: Tensor | None


def unroll_step_by_step(
    decoder: DecoderStep,
    embedded: Tensor,
    state: DecoderState,
    context: Context,
    sampled: SampledInputs | None = None,
) -> Unrolled:
    """The loop where one step's result is an input of the next one.

    The step is `DecoderStep.advance`, on a deferred view of the decoder. All that needs no loop is
    computed before or after it.

    Args:
        decoder: the decoder.
        embedded: (B, T, E) the reference tokens.
        state: before the first of them.
        context: prepared.
        sampled: where the model's own predictions take their place (scheduled sampling).
    """
    view = decoder.deferred() if torch.is_grad_enabled() else decoder
    tokens = _by_step(decoder.project_tokens(embedded, context))
    rows = None if sampled is None else sampled.rows(embedded.device)  # (N,) of each step
    steps: list[Advanced] = []
    for t in range(len(tokens)):
        if sampled is not None and rows is not None and len(rows[t]):
            last = steps[-1], tokens[t - 1].embedded
            tokens[t] = _substitute(
                decoder, view, tokens[t], last, rows[t], sampled.choose, context
            )
        step = view.advance(tokens[t], state, context)
        state = step.state
        steps.append(step._replace(state=((), (), ())))  # it may be large
    weights = _stack([step.weights for step in steps])
    features = _stack([step.features for step in steps])
    if features is None:
        if sampled is not None:
            embedded = torch.stack([token.embedded for token in tokens], 1)
        outputs = torch.stack([step.output for step in steps], 1)
        read = _stack([step.read for step in steps])
        features, late = decoder.finish(outputs, read, embedded, context)
        weights = late if weights is None else weights
    return Unrolled(features, weights)


def _substitute(
    decoder: DecoderStep,
    view: DecoderStep,
    token: TokenInput,
    last: tuple[Advanced, Tensor],
    rows: Tensor,
    choose: Callable[[Tensor], Tensor],
    context: Context,
) -> TokenInput:
    """A step's input with the model's own predictions in some rows.

    Args:
        decoder, view: for what runs once, and inside the loop.
        token: the reference tokens.
        last: the step before, and its tokens (B, E).
        rows: (N,) where to substitute.
        choose: logits (N, V) -> tokens (N,).
        context: prepared.
    """
    step, embedded = last
    reads_late = decoder.attention is not None and step.read is None
    if not reads_late:  # the memory is large, and not read again
        nothing = embedded.new_empty(len(embedded), 0)
        context = replace(context, prepared_memory=None, rows=nothing)
    part = context.select(rows)
    logits = _next_token_logits(decoder, step, embedded, rows, part)
    predicted = decoder.embed(choose(logits)).unsqueeze(1)  # (N, 1, E)
    new = view.project_tokens(predicted, part)
    query = token.query
    if query is not None and new.query is not None:
        query = query.index_copy(0, rows, new.query.squeeze(1))
    return TokenInput(
        token.embedded.index_copy(0, rows, predicted.squeeze(1)),
        token.projected.index_copy(0, rows, new.projected.squeeze(1)),
        query,
    )


def _next_token_logits(
    decoder: DecoderStep, step: Advanced, embedded: Tensor, rows: Tensor, context: Context
) -> Tensor:
    """Logits (N, V) of the token after a step, for some rows (N,).

    Cut off from the graph by its inputs: under `no_grad`, autocast would remember the weights that
    it casts here as constants, and the loss would miss their gradient.
    """
    features = step.features
    if features is not None:
        return decoder.logits(features[rows].detach()).detach()
    read = None if step.read is None else step.read[rows].unsqueeze(1).detach()
    output = step.output[rows].unsqueeze(1).detach()
    joined, _ = decoder.finish(output, read, embedded[rows].unsqueeze(1).detach(), context)
    return decoder.logits(joined.squeeze(1)).detach()


def _by_step(tokens: TokenInput) -> list[TokenInput]:
    """Of (B, T, ...) each to one (B, ...) for each of T steps."""
    # A step's rows lie side by side in memory.
    projected = tokens.projected.transpose(0, 1).contiguous().unbind(0)
    embedded = tokens.embedded.unbind(1)
    if tokens.query is None:
        return [TokenInput(*parts, None) for parts in zip(embedded, projected, strict=True)]
    queries = tokens.query.unbind(1)
    return [TokenInput(*parts) for parts in zip(embedded, projected, queries, strict=True)]


def _stack(parts: list[Tensor | None]) -> Tensor | None:
    """(B, ...) of each of T steps to (B, T, ...); None where there is none."""
    present = [part for part in parts if part is not None]
    return torch.stack(present, 1) if present else None
