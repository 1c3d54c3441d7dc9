"""One step of a decoder: its equations, which training and search both run.

What can be computed for many steps at once is not part of it: the input products of the tokens,
attention that no later step depends on, the output layer's features and the logits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple, Self, TypeAlias

import torch
from torch import Tensor, nn

from common.decoding.attention import Attended, Attention
from common.decoding.context import Context
from common.decoding.readout import Readout
from common.decoding.step_model import Step
from common.recurrent import Recurrent, RecurrentState, State
from common.recurrent.deferred import view_of
from common.recurrent.dropout import Dropout

DecoderState: TypeAlias = tuple[RecurrentState, State, State]
"""The state of the recurrent network; that of attention, `()` if it has none; the features (R, F) of
input feeding, `()` without it. Rows first."""


class TokenInput(NamedTuple):
    """What a step needs of the last token of each row.

    Args:
        embedded: (R, E).
        projected: (R, P) its input product in the first layer, plus the vector's with "every".
        query: (R, H) its part of the query; None without `query_word`.
    """

    embedded: Tensor
    projected: Tensor
    query: Tensor | None


class Advanced(NamedTuple):
    """The result of a step.

    Args:
        output: (R, H) of the recurrent network.
        state: for the next step.
        read: (R, M) what attention read in the step; None where it reads after all steps, or never.
        weights: (R, S) of that attention.
        features: (R, F) of the output layer, with input feeding.
    """

    output: Tensor
    state: DecoderState
    read: Tensor | None = None
    weights: Tensor | None = None
    features: Tensor | None = None


class DecoderStep(nn.Module):
    """The step of `RecurrentDecoder`, which makes the modules and documents them."""

    embedding: nn.Embedding
    recurrent: Recurrent
    attention: Attention | None
    attend: Literal["before", "after"]
    query_word: nn.Linear | None
    gate: nn.Linear | None
    first_state: nn.Linear | None
    first_input: nn.Linear | None
    readout: Readout
    output: nn.Linear
    embedding_dropout: Dropout
    output_dropout: Dropout
    word_dropout: float
    input_feeding: bool
    inject: frozenset[str]
    # Columns of the input product after those of the embedding.
    vector_columns: slice
    read_columns: slice
    fed_columns: slice

    # -- what a search calls -----------------------------------------------------------------------

    def prepare(self, context: Context) -> Context:
        """Compute what depends on the input alone: attention's keys, the vector's products.

        Raises:
            ValueError: the context has no memory or no vector, and the decoder needs it.
        """
        done = context.prepared_memory, context.vector_input_projection
        if any(part is not None for part in (*done, context.vector_readout_projection)):
            return context
        filled: dict[str, object] = {}
        if self.attention is not None:
            if context.memory is None:
                raise ValueError("attention needs a context with a memory: this one has none")
            prepared = self.attention.prepare(context.memory, context.mask)
            filled |= {"prepared_memory": prepared, "memory": None, "mask": None}
        if self.inject:
            if context.vector is None:
                raise ValueError("inject needs a context with a vector: this one has none")
            if "every" in self.inject:
                filled["vector_input_projection"] = self.recurrent.project(
                    context.vector, self.vector_columns, bias=False
                )
            if "output" in self.inject:
                filled["vector_readout_projection"] = self.readout.vector(context.vector)
        return replace(context, **filled) if filled else context  # type: ignore[arg-type]

    def start(self, context: Context) -> DecoderState:
        """The state before the start token, of B rows.

        "init" sets the tensors (B, F) of it; the others are those of `Cell.initial_state`.
        """
        context = self.prepare(context)
        like = self.output.weight
        cells = [list(cell) for cell in self.recurrent.initial_state(context.batch_size, like)]
        if self.first_state is not None:
            places = vector_parts(self.recurrent)
            first = self.first_state(context.vector).tanh()
            values = first.split([size for *_, size in places], dim=1)
            for (layer, part, _), value in zip(places, values, strict=True):
                cells[layer][part] = value
        memory = context.prepared_memory
        attention: State = ()
        if self.attention is not None and memory is not None:
            attention = self.attention.start(memory)
        fed: State = ()
        if self.input_feeding:
            fed = (like.new_zeros(context.batch_size, self.readout.size),)
        state: DecoderState = (tuple(tuple(cell) for cell in cells), attention, fed)
        if self.first_input is not None:
            word = self.first_input(context.vector).unsqueeze(1)  # (B, 1, E)
            state = self.advance(_rows(self.project_tokens(word, context)), state, context).state
        return state

    def step(self, tokens: Tensor, state: DecoderState, context: Context) -> Step:
        """One step. Pure: nothing is kept on the module.

        Args:
            tokens: (R,) the last token of each row. R is K times the context's batch size: rows b K to
                b K + K - 1 are hypotheses of input b and share its context without a copy.
            state: of `start` or of the step before, rows first.
            context: as `prepare` returns it; one that is not prepared is prepared first.

        Returns:
            The logits (R, V) of the next token, the next state, and the weights (R, S) of attention, or
            None without attention.
        """
        context = self.prepare(context)
        embedded = _by_sentence(self.embed(tokens), context)  # (B, K, E)
        token = self.project_tokens(embedded, context)
        output, state, read, weights, features = self.advance(_rows(token), state, context)
        if features is None:
            outputs = _by_sentence(output, context)
            reads = None if read is None else _by_sentence(read, context)
            finished, late = self.finish(outputs, reads, embedded, context)
            features = finished.flatten(0, 1)
            weights = weights if late is None else late.flatten(0, 1)
        return Step(self.logits(features), state, weights)

    # -- the equations -----------------------------------------------------------------------------

    def advance(self, token: TokenInput, state: DecoderState, context: Context) -> Advanced:
        """One step, as far as a later step depends on it.

        Args:
            token: of R rows.
            state: before the step.
            context: prepared; R is a multiple of its batch size, as in `step`.
        """
        recurrent, attention, fed = state
        projected, read, weights, features = token.projected, None, None, None
        if self.attention is not None and self.attend == "before":
            hidden = recurrent[-1][0]  # of the top layer
            query = hidden if token.query is None else hidden + token.query
            read, weights, attention = self._read_rows(query, hidden, attention, context)
            projected = projected + self.recurrent.project(read, self.read_columns, bias=False)
        if fed:
            projected = projected + self.recurrent.project(fed[0], self.fed_columns, bias=False)
        output, recurrent = self.recurrent.step_projected(projected, recurrent)
        if self.attention is not None and self.attend == "after" and (attention or fed):
            read, weights, attention = self._read_rows(output, output, attention, context)
        if fed:
            outputs, embedded = (_by_sentence(x, context) for x in (output, token.embedded))
            reads = None if read is None else _by_sentence(read, context)
            features = self.features(outputs, reads, embedded, context).flatten(0, 1)
            fed = (features,)
        return Advanced(output, (recurrent, attention, fed), read, weights, features)

    def finish(
        self, outputs: Tensor, read: Tensor | None, embedded: Tensor, context: Context
    ) -> tuple[Tensor, Tensor | None]:
        """The rest of Q steps, on which no later step depends.

        Args:
            outputs: (B, Q, H).
            read: (B, Q, M) what attention read in the steps; None: attention, if any, reads now.
            embedded: (B, Q, E) the last tokens.
            context: prepared.

        Returns:
            The features (B, Q, F) of the output layer, and the weights (B, Q, S) if attention reads now.
        """
        weights = None
        if self.attention is not None and read is None:
            read, weights, _ = self.read(outputs, outputs, (), context)
        return self.features(outputs, read, embedded, context), weights

    def read(self, queries: Tensor, hidden: Tensor, state: State, context: Context) -> Attended:
        """What attention reads for queries (B, Q, H), scaled by the gate, if there is one.

        The gate is sigmoid(W h) of hidden (B, Q, H), without the previous token (Xu et al. 2015,
        section 4.2.1).
        """
        assert self.attention is not None and context.prepared_memory is not None
        attended = self.attention(queries, context.prepared_memory, state)
        if self.gate is None:
            return attended
        return attended._replace(read=self.gate(hidden).sigmoid() * attended.read)

    def features(
        self, outputs: Tensor, read: Tensor | None, embedded: Tensor, context: Context
    ) -> Tensor:
        """The features (B, Q, F) that logits are a linear map of; see `finish`."""
        vector = context.vector_readout_projection
        features = self.readout(self.output_dropout(outputs), read, embedded, vector)
        return features if self.readout.is_identity else self.output_dropout(features)

    def logits(self, features: Tensor) -> Tensor:
        """features: (..., F). Returns (..., V)."""
        return self.output(features)

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens: (...). Returns (..., E)."""
        embedded = self.embedding(tokens)
        if self.training and self.word_dropout:
            dropped = torch.rand(tokens.shape, device=tokens.device) < self.word_dropout
            embedded = embedded.masked_fill(dropped.unsqueeze(-1), 0.0)
        return self.embedding_dropout(embedded)

    def project_tokens(self, embedded: Tensor, context: Context) -> TokenInput:
        """The `TokenInput` of Q steps from embeddings (B, Q, E): (B, Q, ...) each."""
        projected = self.recurrent.project(embedded, slice(0, embedded.shape[-1]))
        if context.vector_input_projection is not None:
            projected = projected + context.vector_input_projection.unsqueeze(1)
        query = None if self.query_word is None else self.query_word(embedded)
        return TokenInput(embedded, projected, query)

    def deferred(self) -> Self:
        """A view for one loop over time, sharing the weights; see `Recurrent.deferred`."""
        view = view_of(self)
        view._modules = dict(self._modules)  # replaced in the view alone
        view.recurrent = self.recurrent.deferred()
        if self.attention is not None:
            view.attention = self.attention.deferred()
        if self.input_feeding:
            view.readout = self.readout.deferred()
        return view

    def _read_rows(
        self, query: Tensor, hidden: Tensor, state: State, context: Context
    ) -> tuple[Tensor, Tensor, State]:
        """As `read`, of rows: query, hidden (R, H). Returns (R, M), (R, S) and the next state."""
        queries = _by_sentence(query, context)
        hiddens = queries if hidden is query else _by_sentence(hidden, context)
        read, weights, state = self.read(queries, hiddens, state, context)
        return read.flatten(0, 1), weights.flatten(0, 1), state


def vector_parts(recurrent: Recurrent) -> list[tuple[int, int, int]]:
    """The tensors (B, size) of a network's state: (layer, place in the cell's state, size) of each.

    All first tensors (h) come before all second ones (c): so the rows of `first_state` are ordered.
    """
    found = [
        (layer, part, shape[0])
        for layer, shapes in enumerate(recurrent.state_shapes)
        for part, shape in enumerate(shapes)
        if len(shape) == 1
    ]
    return sorted(found, key=lambda each: each[1])


def _by_sentence(rows: Tensor, context: Context) -> Tensor:
    """rows: (B K, F). Returns (B, K, F)."""
    batch, (count, features) = context.batch_size, rows.shape
    return rows.reshape(batch, count // max(1, batch), features)


def _rows(token: TokenInput) -> TokenInput:
    """From (B, K, ...) each to (B K, ...)."""
    return TokenInput(*(None if part is None else part.flatten(0, 1) for part in token))  # type: ignore[arg-type]
