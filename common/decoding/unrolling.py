"""The training pass of a decoder where a step's input depends on the last output: a loop over time."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from common.decoding.context import Context
from common.decoding.decoder_step import Advanced, DecoderState, DecoderStep, TokenInput
from common.decoding.scheduled_sampling import SampledInputs
from common.recurrent.deferred import deferring


class Unrolled(NamedTuple):
    """The result of a pass over all steps.

    Args:
        features: (B, T, F) of the output layer, the input of `RecurrentDecoder.logits`.
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
    """All steps of a teacher-forced pass, one after the other.

    The step is `DecoderStep.advance`, on a deferred view of the decoder. What needs no loop is computed
    before or after it.

    Args:
        decoder: the decoder.
        embedded: (B, T, E) the reference tokens.
        state: before the first of them.
        context: prepared.
        sampled: where they are replaced by the model's own predictions (scheduled sampling).
    """
    view = decoder.deferred() if deferring() else decoder
    tokens = _by_step(decoder.project_tokens(embedded, context))
    rows = None if sampled is None else sampled.rows(embedded.device)  # (N,) of each step
    steps: list[Advanced] = []
    for t in range(len(tokens)):
        if sampled is not None and rows is not None and len(rows[t]):
            last, part = steps[-1], _select(decoder, context, steps[-1], rows[t])
            logits = _next_token_logits(decoder, last, tokens[t - 1].embedded, rows[t], part)
            predicted = decoder.embed(sampled.choose(logits)).unsqueeze(1)  # (N, 1, E)
            pairs = zip(tokens[t], view.project_tokens(predicted, part), strict=True)
            tokens[t] = TokenInput(*(_replace_rows(old, rows[t], new) for old, new in pairs))  # type: ignore[arg-type]
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


def _select(decoder: DecoderStep, context: Context, step: Advanced, rows: Tensor) -> Context:
    """The context of some rows (N,), without its memory if attention has read it already."""
    if decoder.attention is None or step.read is not None:
        context = replace(context, prepared_memory=None, rows=rows.new_empty(context.batch_size, 0))
    return context.select(rows)


def _replace_rows(old: Tensor | None, rows: Tensor, new: Tensor | None) -> Tensor | None:
    """old: (B, ...); new: (N, 1, ...). Returns `old` with `new` in some rows (N,)."""
    return None if old is None or new is None else old.index_copy(0, rows, new.squeeze(1))


def _next_token_logits(
    decoder: DecoderStep, step: Advanced, embedded: Tensor, rows: Tensor, context: Context
) -> Tensor:
    """Logits (N, V) of the token after a step, for some rows (N,); context: of these rows.

    Its inputs are detached. Under `no_grad` instead, autocast would cache the weights that it casts here
    as constants, and the loss would miss their gradient.
    """
    features = step.features
    if features is not None:
        return decoder.logits(features[rows].detach()).detach()
    read = None if step.read is None else step.read[rows].unsqueeze(1).detach()
    output = step.output[rows].unsqueeze(1).detach()
    finished, _ = decoder.finish(output, read, embedded[rows].unsqueeze(1).detach(), context)
    return decoder.logits(finished.squeeze(1)).detach()


def _by_step(tokens: TokenInput) -> list[TokenInput]:
    """From (B, T, ...) each to T times (B, ...)."""
    # The rows of a step are contiguous.
    projected = tokens.projected.transpose(0, 1).contiguous().unbind(0)
    queries = [None] * len(projected) if tokens.query is None else tokens.query.unbind(1)
    columns = zip(tokens.embedded.unbind(1), projected, queries, strict=True)
    return [TokenInput(*parts) for parts in columns]


def _stack(parts: list[Tensor | None]) -> Tensor | None:
    """From T times (B, ...) to (B, T, ...); None where there is none."""
    present = [part for part in parts if part is not None]
    return torch.stack(present, 1) if present else None
