"""From a context to tokens: a recurrent network whose first state, inputs or output layer depend on it.

How the context's vector enters is a choice, and the choices combine (`Injection`); attention reads the
memory before each step (Bahdanau) or after the recurrent pass (Luong). Where no step's input depends on
the output of the step before, all steps of a teacher-forced pass run as one fused call.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from common.decoding.attention import AttentionFactory, make_attention
from common.decoding.context import Context
from common.decoding.decoder_step import DecoderStep, vector_parts
from common.decoding.names import AttentionKind, Injection, ReadoutKind
from common.decoding.readout import Readout
from common.decoding.scheduled_sampling import SampledInputs
from common.decoding.unrolling import Unrolled, unroll_step_by_step
from common.recurrent import Recurrent
from common.recurrent.cells import CellFactory
from common.recurrent.dropout import Dropout
from common.recurrent.names import CellName


class RecurrentDecoder(DecoderStep):
    """A conditional recurrent language model over a vocabulary; without any context, a plain one.

    `forward` scores a batch under teacher forcing; `start` and `step` run it token by token.

    Args:
        vocabulary_size: V.
        embedding_size: E, features of an embedding.
        hidden_size: H, features of the hidden state.
        context_size: C, features of `Context.vector`; None where contexts have none. Without it and
            without attention the decoder is a language model, and its context is `Context.nothing`.
        memory_size: M, features of `Context.memory`; needed for attention alone.
        cell: "rnn", "rnn_relu", "lstm", "gru", or a function (input_size, hidden_size) -> Cell.
        num_layers: stacked recurrent layers.
        inject: how the vector enters; any combination of
            "init": the tensors (B, F) of the first state are tanh(W v) (Sutskever et al. 2014; Xu et
            al. 2015); others, such as a memory (B, H, H), do not depend on it;
            "first": it is the first input, before the start token (Show and Tell, Vinyals et al. 2015);
            "every": it is part of the input of every step (the context vector of Cho et al. 2014);
            "output": it is an input of the output layer (Cho et al. 2014).
        attention: None, "additive", "dot", "general", "concat", or a function (query size H, memory
            size M) -> Attention.
        attend: "before" the step, from the previous state: what was read is an input of the step and of
            the output layer (Bahdanau et al. 2015; Xu et al. 2015); or "after" the step: what was
            read is an input of the output layer alone (Luong et al. 2015).
        attention_size: A, features of the sum in additive and concat attention; H if None.
        query_word: the query before a step is h + W_q e, with the embedding e of the previous word,
            which h does not depend on yet. (The conditional GRU of Sennrich et al. 2017, section
            3.1, uses a second recurrent step for it.)
        gate: scale what was read by sigmoid(W h), one scalar a step (Xu et al. 2015, section 4.2.1).
        input_feeding: the output layer's features (the attentional vector of attention after the step)
            are part of the next step's input (Luong et al. 2015, section 3.3).
        readout: the nonlinearity of the output layer before the logits: "linear", "tanh" (Luong et al.
            2015, eq. 5), or "maxout" (Goodfellow et al. 2013; Cho et al. 2014). If the hidden state is
            the layer's only input, and neither `readout_size` nor tied embeddings nor maxout need
            it, there is no such layer: the logits are a linear map of the hidden state.
        readout_size: F, features that the logits are a linear map of; H (or E if tied) if None.
        deep_output: the previous word is an input of the output layer (Pascanu et al. 2014; Xu et al.
            2015).
        tie_embeddings: the output matrix is the embedding matrix (Press and Wolf 2017).
        word_dropout: probability of setting a previous word's embedding to 0 while training, so that
            the context is needed to predict the next one (Bowman et al. 2016).
        embedding_dropout: probability of dropping a feature of an embedding.
        layer_dropout: of dropping a feature between recurrent layers.
        output_dropout: of dropping a feature of the recurrent outputs, and of the readout.
        padding: id of the padding token.

    Raises:
        ValueError: choices that contradict each other.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        context_size: int | None = None,
        *,
        memory_size: int | None = None,
        cell: CellName | CellFactory = "gru",
        num_layers: int = 1,
        inject: Collection[Injection] = ("init", "every"),
        attention: AttentionKind | AttentionFactory | None = None,
        attend: Literal["before", "after"] = "before",
        attention_size: int | None = None,
        query_word: bool = False,
        gate: bool = False,
        input_feeding: bool = False,
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
        attends = attention is not None
        _check_injection(inject, context_size, attends)
        _check_attention(attends, attend, memory_size, gate, query_word, input_feeding)
        context_size = context_size or 0
        self.inject = frozenset(inject)
        self.attend = attend
        self.input_feeding = input_feeding
        self.embedding_size = embedding_size
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=padding)
        # Small values keep the first softmax near uniform when this is also the output matrix.
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        with torch.no_grad():
            self.embedding.weight[padding].zero_()

        read_size = memory_size if attends and memory_size is not None else 0
        features = readout_size or (embedding_size if tie_embeddings else hidden_size)
        vector_end = embedding_size + (context_size if "every" in self.inject else 0)
        read_end = vector_end + (read_size if attend == "before" else 0)
        fed_end = read_end + (features if input_feeding else 0)
        self.vector_columns = slice(embedding_size, vector_end)
        self.read_columns = slice(vector_end, read_end)
        self.fed_columns = slice(read_end, fed_end)
        self.recurrent = Recurrent(
            cell, fed_end, hidden_size, num_layers=num_layers, dropout=layer_dropout
        )
        self.attention = None
        if attention is not None:
            sizes = (hidden_size, read_size, attention_size or hidden_size)
            self.attention = make_attention(attention, *sizes)
        self.query_word = nn.Linear(embedding_size, hidden_size, bias=False) if query_word else None
        self.gate = nn.Linear(hidden_size, 1) if gate else None

        state_size = sum(size for *_, size in vector_parts(self.recurrent))
        self.first_state = nn.Linear(context_size, state_size) if "init" in self.inject else None
        of_input = "first" in self.inject
        self.first_input = nn.Linear(context_size, embedding_size) if of_input else None
        self.readout = Readout(
            hidden_size,
            read_size,
            context_size if "output" in self.inject else 0,
            embedding_size if deep_output else 0,
            size=features,
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

    def forward(self, context: Context, tokens: Tensor) -> Tensor:
        """Logits under teacher forcing.

        Args:
            context: of B inputs.
            tokens: (B, T) the inputs of the steps: the start token first, without the end token.

        Returns:
            (B, T, V) logits of the token that follows each of them.
        """
        return self.logits(self.unroll(context, tokens).features)

    def unroll(
        self, context: Context, tokens: Tensor, sampled: SampledInputs | None = None
    ) -> Unrolled:
        """As `forward`, but without the logits, which a loss needs at real tokens only.

        Args:
            context: of B inputs.
            tokens: (B, T) as in `forward`.
            sampled: where the decoder is fed its own last prediction instead (scheduled sampling);
                None: nowhere. No gradient flows through the choice of a token.
        """
        context = self.prepare(context)
        state = self.start(context)
        embedded = self.embed(tokens)  # (B, T, E)
        recurrent, attention, fed = state
        before = self.attention is not None and self.attend == "before"
        if sampled is not None or before or attention or fed:
            return unroll_step_by_step(self, embedded, state, context, sampled)
        inputs = embedded
        if "every" in self.inject:
            assert context.vector is not None
            repeated = context.vector.unsqueeze(1).expand(-1, tokens.shape[1], -1)
            inputs = torch.cat([embedded, repeated.to(embedded.dtype)], dim=2)
        outputs, _ = self.recurrent(inputs, state=recurrent)
        return Unrolled(*self.finish(outputs, None, embedded, context))

    def set_output_bias(self, counts: Tensor) -> None:
        """Initialise the output bias with the words' log-frequencies, log((count + 1) / total).

        As neuraltalk does: the perplexity of a new model is then near that of a unigram model instead of
        near V.

        Args:
            counts: (V,) how often each word is a target in the training data.
        """
        with torch.no_grad():
            probability = (counts.to(self.output.bias) + 1) / (counts.sum() + len(counts))
            self.output.bias.copy_(probability.log())


def _check_injection(
    inject: Collection[Injection], context_size: int | None, attends: bool
) -> None:
    known = get_args(Injection)
    if isinstance(inject, str) or set(inject) - set(known):
        raise ValueError(f"inject takes a collection of {', '.join(known)}, not {inject!r}")
    if inject and not context_size:
        raise ValueError(
            f"inject={tuple(inject)} needs context_size, the features of the vector that enters; a "
            "language model has inject=()"
        )
    if context_size and not inject and not attends:
        raise ValueError("without injection and without attention the context is not used")


def _check_attention(
    attends: bool,
    attend: str,
    memory_size: int | None,
    gate: bool,
    query_word: bool,
    input_feeding: bool,
) -> None:
    if attend not in ("before", "after"):
        raise ValueError(f"attend is 'before' or 'after' the step, not {attend!r}")
    if attends and memory_size is None:
        raise ValueError("attention needs memory_size, the features of the memory it reads")
    if query_word and (not attends or attend != "before"):
        raise ValueError("query_word is for attention before the step")
    if gate and not attends:
        raise ValueError("the gate scales what attention reads: it needs attention")
    if input_feeding and (not attends or attend != "after"):
        raise ValueError("input feeding is for attention after the step")
