"""From a context to words: a recurrent network whose first state, inputs and output layer see it.

How the context enters is a choice, and the choices combine (`Injection`); attention reads the memory
before each step (Bahdanau) or after the recurrent pass (Luong). Where nothing of one step's output
feeds the next step's input, all steps of a teacher-forced pass run as one fused call.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from common.decoding.attention import Attention, AttentionKind, make_attention
from common.decoding.context import Context
from common.decoding.readout import Readout, ReadoutKind
from common.decoding.scheduled_sampling import OwnWords
from common.decoding.unrolling import Unrolled, unroll_step_by_step
from common.dropout import Dropout
from common.recurrent import Recurrent, State
from common.recurrent.cells import CellFactory
from common.recurrent.layer import StandardCell

Injection = Literal["init", "first", "every", "output"]
INJECTIONS: tuple[Injection, ...] = ("init", "first", "every", "output")


class RecurrentDecoder(nn.Module):
    """A conditional recurrent language model over a vocabulary.

    Args:
        vocabulary_size: V.
        embedding_size: E, features of a word.
        hidden_size: H, features of the hidden state.
        context_size: C, features of `Context.vector`.
        memory_size: M, features of `Context.memory`; needed for attention alone.
        cell: "rnn", "rnn_relu", "lstm", "gru", or a function (input_size, hidden_size) -> Cell.
        num_layers: stacked recurrent layers.
        inject: how the vector enters; any combination of
            "init": it sets the first state, tanh(W v) (Sutskever et al. 2014; Xu et al. 2015);
            "first": it is the first input, before the start token (Show and Tell, Vinyals et al. 2015);
            "every": it joins the input at every step (the context vector of Cho et al. 2014);
            "output": it joins the output layer (Cho et al. 2014).
        attention: None, "additive", "dot", "general" or "concat".
        attend: "before" the step, from the previous state, what was read joining the step's input and
            the output layer (Bahdanau et al. 2015; Xu et al. 2015), or "after" the recurrent pass,
            what was read joining the output layer alone (Luong et al. 2015, without its input feeding).
        attention_size: A, features in which query and memory meet; H if None.
        query_word: what asks before a step is h + W_q e, with the embedding e of the previous word, so
            that attention knows what was written last; h alone does not. (The conditional GRU of
            Sennrich et al. 2017, section 3.1, spends a second recurrent step on it.)
        gate: scale what was read by sigmoid(W h), one scalar a step (Xu et al. 2015, section 4.2.1).
        readout: what stands between the joined features and the word scores: "linear", "tanh"
            (Luong et al. 2015, eq. 5), or "maxout" (Goodfellow et al. 2013; Cho et al. 2014).
            Where nothing joins the hidden state, nothing tied asks for another size and no maxout is
            wanted, the word scores are a linear map of the hidden state itself.
        readout_size: R, features that the word scores are a linear map of; H (or E if tied) if None.
        deep_output: the previous word joins the output layer (Pascanu et al. 2014; Xu et al. 2015).
        tie_embeddings: the matrix that scores words is the embedding matrix (Press and Wolf 2017).
        word_dropout: share of the previous words that are hidden while training, so that a word must
            be told from the context as well (Bowman et al. 2016).
        embedding_dropout: share of an embedding's features dropped.
        layer_dropout: the same between recurrent layers.
        output_dropout: the same on the recurrent outputs and on the readout.
        padding: id of the padding token.

    Raises:
        ValueError: choices that contradict each other.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        context_size: int,
        *,
        memory_size: int | None = None,
        cell: StandardCell | CellFactory = "gru",
        num_layers: int = 1,
        inject: Collection[Injection] = ("init", "every"),
        attention: AttentionKind | None = None,
        attend: Literal["before", "after"] = "before",
        attention_size: int | None = None,
        query_word: bool = False,
        gate: bool = False,
        readout: ReadoutKind = "tanh",
        readout_size: int | None = None,
        deep_output: bool = False,
        tie_embeddings: bool = False,
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        layer_dropout: float = 0.0,
        output_dropout: float = 0.0,
        padding: int = 0,
    ) -> None:
        super().__init__()
        _check_choices(inject, attention, attend, memory_size, gate, query_word)
        self.inject = frozenset(inject)
        self.attend = attend
        self.embedding_size = embedding_size
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=padding)
        # A narrow start keeps the first softmax near uniform when this matrix also scores the words.
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        with torch.no_grad():
            self.embedding.weight[padding].zero_()

        joins_input = "every" in self.inject
        read_size = memory_size if attention is not None and memory_size is not None else 0
        read_before = read_size if attend == "before" else 0
        # The columns of the input product: [embedding; vector; what attention read].
        vector_end = embedding_size + (context_size if joins_input else 0)
        self._vector_columns = slice(embedding_size, vector_end)
        self.read_columns = slice(vector_end, vector_end + read_before)
        self.recurrent = Recurrent(
            cell,
            vector_end + read_before,
            hidden_size,
            num_layers=num_layers,
            dropout=layer_dropout,
        )
        self.attention = (
            make_attention(attention, hidden_size, read_size, attention_size or hidden_size)
            if attention is not None
            else None
        )
        self.query_word = nn.Linear(embedding_size, hidden_size, bias=False) if query_word else None
        self.gate = nn.Linear(hidden_size, 1) if gate else None

        state_size = self.recurrent.state_size * num_layers * hidden_size
        self.first_state = nn.Linear(context_size, state_size) if "init" in self.inject else None
        self.first_input = (
            nn.Linear(context_size, embedding_size) if "first" in self.inject else None
        )

        joined = [read_size, context_size if "output" in self.inject else 0]
        joined.append(embedding_size if deep_output else 0)
        self.readout = Readout(
            hidden_size,
            *joined,
            size=readout_size or (embedding_size if tie_embeddings else hidden_size),
            kind=readout,
            optional=not tie_embeddings and readout_size is None,
        )
        self.output = nn.Linear(self.readout.size, vocabulary_size)
        if tie_embeddings:
            if self.readout.size != embedding_size:
                raise ValueError(
                    f"tied embeddings need readout_size {self.readout.size} == "
                    f"embedding_size {embedding_size}"
                )
            self.output.weight = self.embedding.weight
        nn.init.zeros_(self.output.bias)
        self.word_dropout = word_dropout
        self.embedding_dropout = Dropout(embedding_dropout)
        self.output_dropout = Dropout(output_dropout)

    # -- all steps at once -------------------------------------------------------------------------

    def forward(self, context: Context, tokens: Tensor) -> Tensor:
        """Word scores under teacher forcing.

        Args:
            context: of B inputs.
            tokens: (B, T) the words so far at each step: the start token first, the end token absent.

        Returns:
            (B, T, V) logits of the word that follows each of them.
        """
        return self.logits(self.unroll(context, tokens).features)

    def unroll(self, context: Context, tokens: Tensor, own: OwnWords | None = None) -> Unrolled:
        """As `forward`, but short of the word scores, which a loss wants at real tokens only.

        Args:
            context: of B inputs.
            tokens: (B, T) as in `forward`.
            own: at which steps the decoder is fed its own last word instead (scheduled sampling);
                None: nowhere. No gradient flows through the choice of a word.
        """
        context = self.prepare(context)
        state = self.start(context)
        embedded = self.embed(tokens)  # (B, T, E)
        if own is not None or (self.attention is not None and self.attend == "before"):
            return unroll_step_by_step(self, embedded, state, context, own)
        inputs = embedded
        if "every" in self.inject:
            repeated = context.vector.unsqueeze(1).expand(-1, tokens.shape[1], -1)
            inputs = torch.cat([embedded, repeated.to(embedded.dtype)], dim=2)
        outputs, _ = self.recurrent(inputs, state=state)
        read, weights = self.read(outputs, context)
        return Unrolled(self.join(outputs, read, embedded, context), weights)

    def logits(self, features: Tensor) -> Tensor:
        """features: (..., R) from `unroll`. Returns (..., V) word scores."""
        return self.output(features)

    # -- one step at a time ------------------------------------------------------------------------

    def prepare(self, context: Context) -> Context:
        """All that can be computed once for an input: attention's keys, the vector's products."""
        if context.joined is not None or context.keys is not None or context.readout is not None:
            return context
        keys = joined = readout = None
        memory = context.memory
        if self.attention is not None:
            if memory is None:
                raise ValueError("attention needs a context with a memory: this one has none")
            memory = self.attention.values(memory)
            keys = self.attention.keys(memory)
        if "every" in self.inject:
            joined = self.recurrent.project(context.vector, self._vector_columns, bias=False)
        if "output" in self.inject:
            readout = self.readout.vector(context.vector)
        return replace(context, memory=memory, keys=keys, joined=joined, readout=readout)

    def start(self, context: Context) -> State:
        """The state before the start token: a tuple of (B, L, H)."""
        shape = (context.batch_size, self.recurrent.num_layers, self.recurrent.hidden_size)
        if self.first_state is not None:
            first = self.first_state(context.vector).tanh()
            parts = first.chunk(self.recurrent.state_size, dim=1)
            state: State = tuple(part.reshape(shape) for part in parts)
        else:
            zeros = context.vector.new_zeros(shape, dtype=self.output.weight.dtype)
            state = (zeros,) * self.recurrent.state_size
        if self.first_input is not None:
            context = self.prepare(context)
            word = self.first_input(context.vector).unsqueeze(1)  # (B, 1, E)
            _, state, _ = self._step(word, state, context)
        return state

    def step(self, tokens: Tensor, state: State, context: Context) -> tuple[Tensor, State]:
        """One word further. Pure: nothing is kept on the module.

        Args:
            tokens: (R,) the last word of each row. R is K times the context's batch size: rows b K to
                b K + K - 1 are hypotheses of input b and share its context without a copy.
            state: of `start` or of the step before, rows first.
            context: as `prepare` returns it (one that is not yet prepared is prepared on the way).

        Returns:
            (R, V) logits of the next word, and the state to go on with.
        """
        context = self.prepare(context)
        embedded = self.embed(tokens)
        embedded = embedded.view(context.batch_size, -1, self.embedding_size)  # (B, K, E)
        output, state, read = self._step(embedded, state, context)
        features = self.join(output, read, embedded, context)  # (B, K, R)
        return self.logits(features.flatten(0, 1)), state

    def _step(
        self, embedded: Tensor, state: State, context: Context
    ) -> tuple[Tensor, State, Tensor | None]:
        """embedded: (B, K, E). Returns the output (B, K, H), the state of B K rows, what was read."""
        batch, hypotheses, _ = embedded.shape
        projected = self.project_words(embedded, context)  # (B, K, P)
        read = None
        if self.attention is not None and self.attend == "before":
            queries = state[0][:, -1].view(batch, hypotheses, -1)
            if self.query_word is not None:
                queries = queries + self.query_word(embedded)
            read, _ = self.read(queries, context)
            assert read is not None
            projected = projected + self.recurrent.project(read, self.read_columns, bias=False)
        output, state = self.recurrent.step_projected(projected.flatten(0, 1), state)
        output = output.view(batch, hypotheses, -1)
        if self.attend == "after":
            read, _ = self.read(output, context)
        return output, state, read

    # -- what both share -----------------------------------------------------------------------------

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens: (...). Returns (..., E)."""
        embedded = self.embedding(tokens)
        if self.training and self.word_dropout:
            hidden = torch.rand(tokens.shape, device=tokens.device) < self.word_dropout
            embedded = embedded.masked_fill(hidden.unsqueeze(-1), 0.0)
        return self.embedding_dropout(embedded)

    def project_words(
        self, embedded: Tensor, context: Context, recurrent: Recurrent | None = None
    ) -> Tensor:
        """The input product of words (B, Q, E) and of the vector, if it joins every step: (B, Q, P).

        In a loop, `recurrent` is the deferred view of it.
        """
        words = slice(0, self.embedding_size)
        projected = (recurrent or self.recurrent).project(embedded, words)
        return projected if context.joined is None else projected + context.joined.unsqueeze(1)

    def read(
        self, queries: Tensor, context: Context, attention: Attention | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """queries: (B, Q, H). Returns what attention reads (B, Q, M) and its weights (B, Q, S).

        In a loop, `attention` is the deferred view of it.
        """
        attention = attention or self.attention
        if attention is None:
            return None, None
        assert context.keys is not None and context.memory is not None
        read, weights = attention(queries, context.keys, context.memory, context.mask)
        if self.gate is not None:
            read = self.gate(queries).sigmoid() * read
        return read, weights

    def join(
        self, outputs: Tensor, read: Tensor | None, embedded: Tensor, context: Context
    ) -> Tensor:
        """The features (B, Q, R) that word scores are a linear map of."""
        features = self.readout(self.output_dropout(outputs), read, embedded, context.readout)
        return features if self.readout.is_identity else self.output_dropout(features)

    def set_output_bias(self, counts: Tensor) -> None:
        """Start from the words' frequencies, so that the first steps need not learn them.

        The bias becomes log((count + 1) / total), as neuraltalk does; a new model's perplexity then
        begins near that of a unigram model instead of near V.

        Args:
            counts: (V,) how often each word is a target in the training data.
        """
        with torch.no_grad():
            share = (counts.to(self.output.bias) + 1) / (counts.sum() + len(counts))
            self.output.bias.copy_(share.log())


def _check_choices(
    inject: Collection[Injection],
    attention: AttentionKind | None,
    attend: str,
    memory_size: int | None,
    gate: bool,
    query_word: bool,
) -> None:
    unknown = set(inject) - set(INJECTIONS)
    if unknown or isinstance(inject, str):
        raise ValueError(f"inject takes a collection of {', '.join(INJECTIONS)}, not {inject!r}")
    if not inject and attention is None:
        raise ValueError("without injection and without attention the context reaches no word")
    if attend not in ("before", "after"):
        raise ValueError(f"attend is 'before' or 'after' the step, not {attend!r}")
    if attention is not None and memory_size is None:
        raise ValueError("attention needs memory_size, the features of the memory it reads")
    if query_word and (attention is None or attend != "before"):
        raise ValueError("the previous word joins the query of attention before the step alone")
    if gate and attention is None:
        raise ValueError("the gate scales what attention reads: without attention there is none")
