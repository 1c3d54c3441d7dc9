"""Attention: what a decoder reads from the memory, given its hidden state.

All kinds share one shape contract: Q queries of each sentence read one memory. The queries are all T
steps of a teacher-forced pass (Luong), the one step that comes next (Bahdanau), or the K hypotheses
that beam search holds for a sentence: the memory is never copied for them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.recurrent.deferred import as_autocast, deferred, deferred_mixture

AttentionKind = Literal["additive", "dot", "general", "concat"]


class Attention(nn.Module):
    """Reads a memory: softmax over a score of every position, then the weighted mean.

    A subclass says how the memory becomes keys (once for a sentence) and how a query scores them.
    """

    _mixture: Callable[[Tensor, Tensor], Tensor] | None = None  # of a view, see `deferred`

    def keys(self, memory: Tensor) -> Tensor:
        """memory: (B, S, M). Returns (B, S, A): all of the score that does not depend on the query."""
        raise NotImplementedError

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """queries: (B, Q, H); keys: (B, S, A). Returns (B, Q, S), up to a constant for each query."""
        raise NotImplementedError

    def values(self, memory: Tensor) -> Tensor:
        """memory: (B, S, M). Returns the same as all steps read it: cast and laid out once."""
        return as_autocast(memory).contiguous()

    def deferred(self) -> Self:
        """A view for one loop over time whose steps read one memory, sharing the weights.

        The gradients of the memory, and of the weights that queries are multiplied by, are each
        computed as one product after all steps ran backward. Make a new view for every pass.
        """
        view = copy.copy(self)
        view._mixture = deferred_mixture()
        return view

    def forward(
        self, queries: Tensor, keys: Tensor, memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read the memory.

        Args:
            queries: (B, Q, H) hidden states.
            keys: (B, S, A) from `keys(memory)`.
            memory: (B, S, M), at best `values(memory)`.
            mask: (B, S) True where the memory is real; a padded position gets a weight of exactly 0.

        Returns:
            What was read (B, Q, M), and the weights (B, Q, S), which sum to 1 over S.
        """
        scores = self.scores(queries, keys)
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(dim=-1)  # (B, Q, S)
        return (self._mixture or torch.bmm)(weights.to(memory.dtype), memory), weights


class AdditiveAttention(Attention):
    """score(q, m) = v . tanh(W q + U m + b) (Bahdanau, Cho and Bengio 2015, section A.1.2).

    Args:
        query_size: H, features of a query.
        memory_size: M, features of the memory.
        attention_size: A, features in which both meet.
    """

    _query: Callable[[Tensor], Tensor] | None = None  # of a view, see `deferred`
    _score: Tensor | None = None

    def __init__(self, query_size: int, memory_size: int, attention_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.memory = nn.Linear(memory_size, attention_size)
        self.score = nn.Linear(attention_size, 1, bias=False)

    def deferred(self) -> Self:
        view = super().deferred()
        view._query = deferred(self.query.weight * 2)
        view._score = self.score.weight * 2
        return view

    # tanh x = 2 sigmoid(2 x) - 1, and a CPU is ten times as fast at a sigmoid in float32 as at a
    # tanh. So keys and queries are doubled, and v . tanh x is 2 v . sigmoid(2 x) less the sum of v,
    # which is the same for all positions and nothing to a softmax.

    def keys(self, memory: Tensor) -> Tensor:
        return _wide(self.memory(memory)) * 2

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        # In a view, what depends on the weights alone is doubled once for all steps.
        query = _wide(self.query(queries) * 2 if self._query is None else self._query(queries))
        mixed = (query.unsqueeze(2) + keys.unsqueeze(1)).sigmoid_()  # (B, Q, S, A)
        weight = self.score.weight * 2 if self._score is None else self._score
        if not torch.is_autocast_enabled(mixed.device.type):
            return F.linear(mixed, weight).squeeze(-1)
        with torch.autocast(mixed.device.type, enabled=False):  # it would cast all of `mixed`
            return F.linear(mixed, weight).squeeze(-1)


class ConcatAttention(AdditiveAttention):
    """score(q, m) = v . tanh(W [q; m]) (Luong, Pham and Manning 2015, eq. 8, `concat`).

    W [q; m] is W_q q + W_m m, so the memory's half is computed once, as in additive attention; what
    differs is that there is no bias.
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
    """score(q, m) = q . m (Luong, Pham and Manning 2015, eq. 8, `dot`), the memory as wide as the query.

    Args:
        size: H = M.
        scaled: divide by sqrt(H), which keeps the softmax soft for wide states (Vaswani et al. 2017).
    """

    def __init__(self, size: int, *, scaled: bool = False) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(size) if scaled else 1.0

    def keys(self, memory: Tensor) -> Tensor:
        return memory

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        return torch.bmm(queries * self.scale, keys.transpose(1, 2).to(queries.dtype))


def make_attention(
    kind: AttentionKind, query_size: int, memory_size: int, attention_size: int
) -> Attention:
    """The attention of that name.

    Raises:
        ValueError: the name is unknown, or `dot` is asked for sizes that differ.
    """
    if kind == "additive":
        return AdditiveAttention(query_size, memory_size, attention_size)
    if kind == "concat":
        return ConcatAttention(query_size, memory_size, attention_size)
    if kind == "general":
        return GeneralAttention(query_size, memory_size)
    if kind == "dot":
        if query_size != memory_size:
            raise ValueError(
                f"dot attention needs a memory as wide as the hidden state: "
                f"{memory_size} is not {query_size}. Use 'general', which has a matrix between them."
            )
        return DotAttention(query_size)
    raise ValueError(f"unknown attention {kind!r}: use additive, dot, general or concat")


def _wide(tensor: Tensor) -> Tensor:
    """At least float32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def coverage_penalty(weights: Tensor, real_steps: Tensor, mask: Tensor | None = None) -> Tensor:
    """Doubly stochastic regularisation: every region should be looked at about once.

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


__all__ = [
    "AdditiveAttention",
    "Attention",
    "AttentionKind",
    "ConcatAttention",
    "DotAttention",
    "GeneralAttention",
    "coverage_penalty",
    "make_attention",
]
