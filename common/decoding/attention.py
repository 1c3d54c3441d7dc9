"""Attention: what a decoder reads from the memory, given its hidden state.

All kinds have the same shapes: Q queries of each sentence read one memory. The queries are all T steps
of a teacher-forced pass (Luong), one step (Bahdanau), or one step of the K hypotheses that beam search
has for a sentence: the memory is never copied for them.

An attention may have a state of its own that changes with every step, such as the coverage of the
memory so far. Then the queries of a call are those of one step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.decoding.names import AttentionKind
from common.recurrent.deferred import DeferredLinear, DeferredMixture, as_autocast, view_of
from common.recurrent.state import State

AttentionFactory = Callable[[int, int], "Attention"]
"""(query size, memory size) -> Attention: an attention's class, or a `functools.partial` of it."""


class Memory(NamedTuple):
    """A memory prepared for attention, computed once for a batch of sentences.

    Args:
        keys: (B, S, A) the part of the scores that does not depend on the query.
        values: (B, S, M) the memory, contiguous, in the type that products are computed in.
        mask: (B, S) True where the memory is real; None if all of it is.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None = None


class Attended(NamedTuple):
    """What attention read.

    Args:
        read: (B, Q, M).
        weights: (B, Q, S), which sum to 1 over S.
        state: for the next step; rows as in `Attention.forward`.
    """

    read: Tensor
    weights: Tensor
    state: State = ()


class Attention(nn.Module):
    """Reads a memory: softmax over a score of every position, then the weighted mean.

    A subclass defines `keys`, computed once for a sentence, and `scores` of queries and keys. One with
    a state of its own defines `keys`, `start` and `forward`, which calls `read` with its scores.
    """

    _mixture: DeferredMixture | None = None  # of a view, see `deferred`

    def keys(self, memory: Tensor) -> Tensor:
        """memory: (B, S, M). Returns (B, S, A): the part of the scores without the query."""
        raise NotImplementedError

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """queries: (B, Q, H); keys: (B, S, A). Returns (B, Q, S), up to a constant for each query."""
        raise NotImplementedError

    def prepare(self, memory: Tensor, mask: Tensor | None = None) -> Memory:
        """Compute what is the same for all queries.

        Args:
            memory: (B, S, M).
            mask: (B, S) True where the memory is real; a padded position has a weight of exactly 0.
        """
        values = as_autocast(memory).contiguous()
        return Memory(self.keys(values), values, mask)

    def start(self, memory: Memory) -> State:
        """The state before the first step: tensors whose first dimension is B; `()` if there is none."""
        return ()

    def deferred(self) -> Self:
        """A view for one loop over time whose steps read one memory, sharing the weights.

        The gradients of the memory, and of the weights of the queries, are each computed as one
        product after all steps ran backward. Make a new view for every pass.
        """
        view = view_of(self)
        view._mixture = DeferredMixture()
        return view

    def forward(self, queries: Tensor, memory: Memory, state: State = ()) -> Attended:
        """Read the memory.

        Args:
            queries: (B, Q, H) hidden states. Where there is a state, those of one step: Q is 1, or
                the number of hypotheses of each sentence.
            memory: of `prepare`.
            state: of `start` or of the step before. Its tensors have B Q rows: row b Q + q belongs to
                query (b, q).
        """
        return Attended(*self.read(self.scores(queries, memory.keys), memory), state)

    def read(self, scores: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """scores: (B, Q, S). Returns what is read (B, Q, M), and the weights (B, Q, S)."""
        if memory.mask is not None:
            scores = scores.masked_fill(~memory.mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(dim=-1)
        mixture = self._mixture or torch.bmm
        return mixture(weights.to(memory.values.dtype), memory.values), weights


class AdditiveAttention(Attention):
    """score(q, m) = v . tanh(W q + U m + b) (Bahdanau, Cho and Bengio 2015, section A.1.2).

    Args:
        query_size: H, features of a query.
        memory_size: M, features of the memory.
        attention_size: A, features of the sum.
    """

    _query: DeferredLinear | None = None  # of a view, see `deferred`
    _score: Tensor | None = None

    def __init__(self, query_size: int, memory_size: int, attention_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.memory = nn.Linear(memory_size, attention_size)
        self.score = nn.Linear(attention_size, 1, bias=False)

    def deferred(self) -> Self:
        view = super().deferred()
        view._query = DeferredLinear(self.query.weight * 2)
        view._score = self.score.weight * 2
        return view

    # tanh x = 2 sigmoid(2 x) - 1, and a CPU computes a sigmoid in float32 ten times as fast as a tanh.
    # So keys and queries are doubled, and v . tanh x is 2 v . sigmoid(2 x) less the sum of v, which
    # is the same for all positions and does not change the softmax.

    def keys(self, memory: Tensor) -> Tensor:
        return _at_least_float32(self.memory(memory)) * 2

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        # In a view, the weights are doubled once for all steps.
        query = self.query(queries) * 2 if self._query is None else self._query(queries)
        query = _at_least_float32(query)
        mixed = (query.unsqueeze(2) + keys.unsqueeze(1)).sigmoid_()  # (B, Q, S, A)
        weight = self.score.weight * 2 if self._score is None else self._score
        if not torch.is_autocast_enabled(mixed.device.type):
            return F.linear(mixed, weight).squeeze(-1)
        with torch.autocast(mixed.device.type, enabled=False):  # it would cast all of `mixed`
            return F.linear(mixed, weight).squeeze(-1)


class ConcatAttention(AdditiveAttention):
    """score(q, m) = v . tanh(W [q; m]) (Luong, Pham and Manning 2015, eq. 8, `concat`).

    W [q; m] is W_q q + W_m m, so it is additive attention without a bias.
    """

    def __init__(self, query_size: int, memory_size: int, attention_size: int) -> None:
        super().__init__(query_size, memory_size, attention_size)
        self.memory = nn.Linear(memory_size, attention_size, bias=False)


class GeneralAttention(Attention):
    """score(q, m) = q . W m (Luong, Pham and Manning 2015, eq. 8, `general`).

    Args:
        query_size: H, features of a query.
        memory_size: M, features of the memory.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.memory = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.memory(memory)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return torch.bmm(queries, keys.transpose(1, 2).to(queries.dtype))


class DotAttention(Attention):
    """score(q, m) = q . m (Luong, Pham and Manning 2015, eq. 8, `dot`).

    Args:
        query_size: H, features of a query.
        memory_size: M, features of the memory.

    Raises:
        ValueError: H is not M.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        if query_size != memory_size:
            raise ValueError(
                f"dot attention needs a memory as wide as the hidden state: "
                f"{memory_size} is not {query_size}. Use 'general', which has a matrix between them."
            )

    def keys(self, memory: Tensor) -> Tensor:
        return memory

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return torch.bmm(queries, keys.transpose(1, 2).to(queries.dtype))


def make_attention(
    kind: AttentionKind | AttentionFactory, query_size: int, memory_size: int, attention_size: int
) -> Attention:
    """The attention of that name, or what a factory makes of the sizes of query and memory.

    Raises:
        ValueError: the name is unknown, the sizes of `dot` differ, or the factory makes no Attention.
    """
    factories: dict[str, AttentionFactory] = {
        "additive": partial(AdditiveAttention, attention_size=attention_size),
        "dot": DotAttention,
        "general": GeneralAttention,
        "concat": partial(ConcatAttention, attention_size=attention_size),
    }
    if isinstance(kind, str) and kind not in factories:
        raise ValueError(f"unknown attention {kind!r}: use {', '.join(factories)}")
    factory = factories[kind] if isinstance(kind, str) else kind
    made = cast(object, factory(query_size, memory_size))
    if not isinstance(made, Attention):
        raise ValueError(f"attention makes a {type(made).__name__}, not an Attention")
    return made


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def coverage_penalty(weights: Tensor, real_steps: Tensor, mask: Tensor | None = None) -> Tensor:
    """Doubly stochastic regularisation: the weights of every region should sum to about 1 over time.

    sum over s of (1 - sum over t of alpha[t, s])^2 (Xu et al. 2015, eq. 14), the mean over sentences.

    Args:
        weights: (B, T, S) attention weights.
        real_steps: (B, T) 1 at real target tokens, 0 at padding.
        mask: (B, S) True where the memory is real.
    """
    seen = torch.einsum("bts,bt->bs", weights, real_steps.to(weights.dtype))
    missed = (1 - seen).square()
    if mask is not None:
        missed = missed * mask
    return missed.sum(dim=1).mean()
