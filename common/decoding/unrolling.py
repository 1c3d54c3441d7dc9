"""The training pass of a decoder whose next input needs its last output: one step after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from common.decoding.context import Context
from common.decoding.scheduled_sampling import OwnWords
from common.recurrent import State

if TYPE_CHECKING:
    from common.decoding.decoder import RecurrentDecoder


class Unrolled(NamedTuple):
    """What a pass over all steps yields: features of the output layer, and where attention looked."""

    features: Tensor  # (B, T, R)
    weights: Tensor | None  # (B, T, S)


def unroll_step_by_step(
    decoder: RecurrentDecoder,
    embedded: Tensor,
    state: State,
    context: Context,
    own: OwnWords | None = None,
) -> Unrolled:
    """The loop that attention before the step forces, or a decoder that is fed its own words.

    All that does not need the loop is hoisted out of it: what the right words are multiplied by,
    attention after the step, the readout.

    Args:
        decoder: the decoder.
        embedded: (B, T, E) the right words.
        state: before the first of them.
        context: prepared.
        own: where the model's own words take their place.
    """
    recurrent, attention = decoder.recurrent, decoder.attention
    before = attention is not None and decoder.attend == "before"
    if torch.is_grad_enabled():
        recurrent = recurrent.deferred()
        attention = attention.deferred() if attention is not None and before else attention
    projected = decoder.project_words(embedded, context).transpose(0, 1).contiguous()
    words = list(embedded.unbind(1))  # (B, E) each
    asked: list[Tensor] = []  # (B, 1, H) each: what the words add to the queries
    if decoder.query_word is not None:
        asked = list(decoder.query_word(embedded).split(1, dim=1))
    outputs: list[Tensor] = []
    reads: list[Tensor] = []
    all_weights: list[Tensor] = []
    chosen = None if own is None else own.rows(embedded.device)  # (N,) sentences of each step
    for t, projected_t in enumerate(projected.unbind(0)):  # (B, P)
        if own is not None and chosen is not None and len(chosen[t]):
            rows = chosen[t]
            part = _of_rows(context, rows, memory=not before)
            read = reads[-1][rows].unsqueeze(1) if before else None
            last = outputs[-1][rows].unsqueeze(1), read, words[t - 1][rows].unsqueeze(1)
            said = decoder.embed(own.choose(_say(decoder, *last, part))).unsqueeze(1)  # (N, 1, E)
            product = decoder.project_words(said, part, recurrent).squeeze(1)
            projected_t = projected_t.index_copy(0, rows, product)
            words[t] = words[t].index_copy(0, rows, said.squeeze(1))
            if decoder.query_word is not None:
                asked[t] = asked[t].index_copy(0, rows, decoder.query_word(said))
        if before:
            queries = state[0][:, -1:] + asked[t] if asked else state[0][:, -1:]
            read, weights = decoder.read(queries, context, attention)
            assert read is not None and weights is not None
            reads.append(read.squeeze(1))
            all_weights.append(weights.squeeze(1))
            joined = recurrent.project(reads[-1], decoder.read_columns, bias=False)
            projected_t = projected_t + joined
        output, state = recurrent.step_projected(projected_t, state)
        outputs.append(output)
    output = torch.stack(outputs, 1)
    embedded = embedded if own is None else torch.stack(words, 1)
    if before:
        read, weights = torch.stack(reads, 1), torch.stack(all_weights, 1)
    else:
        read, weights = decoder.read(output, context)
    return Unrolled(decoder.join(output, read, embedded, context), weights)


def _say(
    decoder: RecurrentDecoder,
    output: Tensor,
    read: Tensor | None,
    embedded: Tensor,
    context: Context,
) -> Tensor:
    """Logits (N, V) of the word after a step, from its output (N, 1, H) and the rest of it.

    Cut off from the graph by its inputs: under `no_grad`, autocast would remember the weights that
    it casts here as constants, and the loss would miss their gradient.
    """
    if decoder.attend == "after":
        read, _ = decoder.read(output.detach(), context)
    read = None if read is None else read.detach()
    features = decoder.join(output.detach(), read, embedded.detach(), context)
    return decoder.logits(features.squeeze(1)).detach()


def _of_rows(context: Context, rows: Tensor, memory: bool) -> Context:
    """Some rows of a context; without its memory, which is large, where it is not read again."""
    if not memory:
        context = replace(context, memory=None, mask=None, keys=None)
    return context.select(rows)
